//! The sample replica as its users meet it: a process, a port, signals.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running server; killed if the test ends before it does.
struct Server {
    process: Child,
    log: BufReader<std::process::ChildStderr>,
    address: SocketAddr,
}

impl Server {
    /// A server on a free port of the loopback.
    fn start() -> Server {
        let mut process = command("0").env("SERVER_ID", "2").spawn().expect("the server starts");
        let mut log = BufReader::new(process.stderr.take().expect("piped"));
        let mut line = String::new();
        log.read_line(&mut line).expect("a first line");
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        Server { process, log, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream
    }

    fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("delivered");
    }

    /// Waits until the server has said that it is stopping and no longer accepts.
    fn stops_accepting(&mut self) {
        let mut line = String::new();
        self.log.read_line(&mut line).expect("a second line");
        assert!(line.contains("stopping"), "{line:?}");
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(self.address).is_ok() {
            assert!(Instant::now() < deadline, "still accepts");
        }
    }

    fn ends(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("the rest of the log");
        (self.process.wait().expect("ends"), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(port: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper-server"));
    command.env_clear().env("BIND", "127.0.0.1").env("PORT", port).stderr(Stdio::piped());
    command
}

fn fails(port: &str) -> (Option<i32>, String) {
    let output = command(port).output().expect("the server starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_check_succeeds_only_where_the_heartbeat_is_answered() {
    let check = |port: u16| {
        let output = command(&port.to_string()).arg("check").output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let server = Server::start();
    assert_eq!(check(server.address.port()), (Some(0), String::new()));
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    assert_eq!(check(port).0, Some(1), "nobody answers");
    drop(silent);
    let (code, said) = check(port);
    assert_eq!(code, Some(1), "nobody listens");
    assert!(said.contains(&format!("no heartbeat from 127.0.0.1:{port}")), "{said}");
}

#[test]
fn home_names_the_server() {
    let answer = Server::start().get("/home");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\n{\"message\":\"Hello from Server: 2\",\"status\":\"successful\"}"),
        "{answer}"
    );
}

#[test]
fn a_heartbeat_is_200_with_an_empty_body() {
    let answer = Server::start().get("/heartbeat");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-length: 0\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn any_other_path_is_404_with_json() {
    let answer = Server::start().get("/other");
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(
        answer.ends_with("{\"message\":\"<Error> no such endpoint\",\"status\":\"failure\"}"),
        "{answer}"
    );
}

#[test]
fn sigterm_ends_an_idle_server_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start();
        let mut kept_alive = server.connect();
        write!(kept_alive, "GET /heartbeat HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
        assert_ne!(kept_alive.read(&mut [0; 512]).expect("an answer"), 0);

        let told = Instant::now();
        server.signal(signal);
        let (status, log) = server.ends();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(told.elapsed() < Duration::from_secs(3), "an idle connection held it up");
    }
}

#[test]
fn sigterm_lets_a_request_in_flight_finish() {
    let mut server = Server::start();
    let mut stream = server.connect();
    write!(stream, "GET /home HTTP/1.1\r\nHo").expect("half a request");
    // Connections are accepted in turn: once a later one is answered, the half is in flight.
    server.get("/heartbeat");

    server.signal(Signal::TERM);
    server.stops_accepting();
    write!(stream, "st: test\r\n\r\n").expect("the other half");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (status, log) = server.ends();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_request_that_does_not_end_is_dropped_before_a_kill_would_come() {
    let server = Server::start();
    let mut stream = server.connect();
    write!(stream, "GET /home HTTP/1.1\r\nHo").expect("half a request");
    server.get("/heartbeat");

    let told = Instant::now();
    server.signal(Signal::TERM);
    let (status, log) = server.ends();
    assert!(told.elapsed() < Duration::from_secs(5));
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("dropping"), "{log}");
}

#[test]
fn a_taken_port_is_a_clear_error() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("its address");
    let (code, log) = fails(&address.port().to_string());
    assert_eq!(code, Some(1));
    assert!(log.contains(&format!("cannot listen on {address}")) && log.contains("in use"), "{log}");
}

#[test]
fn a_port_that_is_no_number_is_a_clear_error() {
    for port in ["http", "65536", "-1"] {
        let (code, log) = fails(port);
        assert_eq!(code, Some(2));
        assert!(log.contains("PORT is not a port number") && log.contains(port), "{log}");
    }
}
