//! An origin that does what it is told, and notes every byte that it gets.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What the origin does after its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request.
    Keep,
    /// It closes.
    Close,
    /// It breaks off.
    Break,
    /// It sends everything back that comes from now on.
    Echo,
}

/// Follows the script of the moment on each connection.
pub struct Origin {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    reply: String,
    then: Then,
    /// Each request that came whole, as it came.
    requests: Vec<String>,
}

impl Origin {
    /// One that listens on a port of its own, until the test ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = State { reply: String::new(), then: Then::Keep, requests: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || attend(stream, &shared));
            }
        });
        Origin { address, state }
    }

    /// Has it answer every request with `reply` from now on, and forget what it got.
    pub fn script(&self, reply: &str, then: Then) {
        let mut state = self.state.lock().expect("nobody panics");
        (state.reply, state.then) = (reply.to_owned(), then);
        state.requests.clear();
    }

    /// The requests that came whole since the script began.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().expect("nobody panics").requests.clone()
    }
}

fn attend(mut stream: TcpStream, state: &Mutex<State>) {
    let mut came = Vec::new();
    loop {
        let Some(len) = whole(&came) else {
            match more(&mut stream, &mut came) {
                0 => return,
                _ => continue,
            }
        };
        let request: Vec<u8> = came.drain(..len).collect();
        let (reply, then) = {
            let mut state = state.lock().expect("nobody panics");
            state.requests.push(String::from_utf8_lossy(&request).into_owned());
            (state.reply.clone(), state.then)
        };
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
        match then {
            Then::Keep => {}
            Then::Close => return,
            Then::Break => {
                let socket = socket2::SockRef::from(&stream);
                return socket.set_linger(Some(Duration::ZERO)).expect("a socket");
            }
            Then::Echo => return echo(&mut stream, &came),
        }
    }
}

fn more(stream: &mut TcpStream, came: &mut Vec<u8>) -> usize {
    let mut input = [0; 65536];
    let read = stream.read(&mut input).unwrap_or(0);
    came.extend_from_slice(&input[..read]);
    read
}

fn echo(stream: &mut TcpStream, came: &[u8]) {
    let mut bytes = came.to_vec();
    loop {
        if stream.write_all(&bytes).is_err() {
            return;
        }
        bytes.clear();
        if more(stream, &mut bytes) == 0 {
            return;
        }
    }
}

/// The length of the request at the beginning of these bytes, if it is whole. It was written by the balancer.
fn whole(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let body = text.find("\r\n\r\n")? + 4;
    let head = &text[..body];
    if head.contains("transfer-encoding: chunked") {
        let last =
            if text[body..].starts_with("0\r\n") { body } else { body + text[body..].find("\r\n0\r\n")? + 2 };
        return Some(last + text[last..].find("\r\n\r\n")? + 4);
    }
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
        rest.split("\r\n").next().and_then(|digits| digits.parse().ok()).expect("a length")
    });
    (bytes.len() >= body + length).then_some(body + length)
}
