//! The replica of the chaos, as the tester and a balancer see it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running origin; killed when this is dropped.
struct Origin {
    process: Child,
    address: String,
}

impl Origin {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut process = command(variables).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stderr.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Origin { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends a request on a connection of its own.
    fn send(&self, method: &str, path: &str) -> TcpStream {
        let mut stream = self.connect();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        stream
    }

    /// The status and the body of the answer.
    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        answer(self.send(method, path))
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("it ends", || {
            status = self.process.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("ended")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtest"));
    command.arg("origin").env_clear().envs([("BIND", "127.0.0.1"), ("PORT", "0"), ("SERVER_ID", "2")]);
    command.envs(variables.iter().copied()).stderr(Stdio::piped());
    command
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "between two looks at a condition, which has a deadline")]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const HELLO: &str = r#"{"message":"Hello from Server: 2","status":"successful"}"#;

#[test]
fn it_answers_as_the_sample_replica_does_and_misbehaves_when_it_is_told_to() {
    let origin = Origin::start(&[]);
    assert_eq!(origin.ask("GET", "/home?request_id=1"), (200, HELLO.to_owned()));
    assert_eq!(origin.ask("PUT", "/fault?mode=errors").0, 200);
    assert_eq!((origin.ask("GET", "/home").0, origin.ask("GET", "/heartbeat").0), (500, 200));
    assert_eq!(origin.ask("PUT", "/fault?mode=deaf").0, 200);
    let deaf = origin.send("GET", "/home");
    assert_eq!(origin.ask("GET", "/heartbeat").0, 200);
    deaf.set_nonblocking(true).expect("nonblocking");
    let unanswered = (&deaf).read(&mut [0]).expect_err("no answer");
    assert_eq!(unanswered.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(origin.ask("PUT", "/fault?mode=loud").0, 400);
    assert_eq!(origin.ask("PUT", "/fault?mode=none").0, 200);
    assert_eq!(origin.ask("GET", "/home").0, 200);
}

#[test]
fn a_post_is_answered_when_the_collector_has_it_and_not_before() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let collector = listener.local_addr().expect("an address").to_string();
    let origin = Origin::start(&[("COLLECTOR", &collector)]);
    let post = origin.send("POST", "/order?request_id=17");
    let mut stream = listener.accept().expect("the origin connects").0;
    let mut line = [0; 3];
    stream.read_exact(&mut line).expect("an id");
    assert_eq!(&line, b"17\n");
    post.set_nonblocking(true).expect("nonblocking");
    assert!((&post).read(&mut [0]).is_err(), "not acknowledged yet");
    post.set_nonblocking(false).expect("blocking");
    stream.write_all(b"+").expect("acknowledged");
    assert_eq!(answer(post), (200, HELLO.to_owned()));
    drop(stream);
    drop(listener);
    assert_eq!(origin.ask("POST", "/order?request_id=18").0, 500, "nobody knows of it");
}

#[test]
fn told_to_stop_it_finishes_what_it_has_and_takes_nothing_new() {
    let mut origin = Origin::start(&[]);
    let begun = Instant::now();
    let work = origin.send("GET", "/work?ms=1000");
    let idle = origin.connect();
    assert_eq!(origin.ask("GET", "/heartbeat").0, 200, "so it has accepted the work too");
    kill_process(Pid::from_child(&origin.process), Signal::TERM).expect("delivered");
    until("it takes nothing new", || TcpStream::connect(&origin.address).is_err());
    assert_eq!(answer(work), (200, HELLO.to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(1000));
    assert_eq!((&idle).read(&mut [0]).expect("closed"), 0);
    assert_eq!(origin.ended().code(), Some(0));
}

#[test]
fn the_one_that_is_to_crash_does_and_the_others_do_not() {
    let output = command(&[("CRASH", "2")]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(Origin::start(&[("CRASH", "3")]).ask("GET", "/heartbeat").0, 200);
}
