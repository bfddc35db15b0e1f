//! A server that answers as a test says, also in ways that no balancer does.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What a request gets.
pub enum Script {
    /// A status and a JSON body.
    Answer(u16, String),
    /// The end of the connection.
    Cut,
    /// Nothing, as long as the client waits.
    Hold,
}

/// A listener whose threads end with the test's process.
pub struct Server {
    /// Where it is.
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request, of which `script` gets the method and the path, such as `GET /rep`.
    pub fn start(script: impl Fn(&str) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, noted) = (Arc::new(script), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, noted) = (script.clone(), noted.clone());
                thread::spawn(move || {
                    let _the_client_has_gone = serve(stream, &*script, &noted);
                });
            }
        });
        Server { url, seen }
    }

    /// The heads and bodies of the requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no test panics here").clone()
    }
}

fn serve(
    stream: TcpStream,
    script: &dyn Fn(&str) -> Script,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let first = head.split(" HTTP/").next().unwrap_or_default().to_owned();
    seen.lock().expect("no test panics here").push(format!("{head}{}", String::from_utf8_lossy(&body)));
    match script(&first) {
        Script::Answer(status, body) => write!(
            &stream,
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        Script::Cut => Ok(()),
        Script::Hold => {
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            reader.read(&mut [0]).map(drop) // until the client goes
        }
    }
}

/// What `/rep` answers.
pub fn replicas(names: &[&str]) -> Script {
    let message = serde_json::json!({"N": names.len(), "replicas": names});
    Script::Answer(200, serde_json::json!({"message": message, "status": "successful"}).to_string())
}

/// A refusal under `/v1`.
pub fn problem(status: u16, detail: &str) -> Script {
    Script::Answer(status, serde_json::json!({"title": "x", "status": status, "detail": detail}).to_string())
}
