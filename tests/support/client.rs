//! A client that keeps its connection.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// The deadline of an answer: more than `/add` may take.
const ANSWER: Duration = Duration::from_secs(40);

/// One connection, over which requests go one after the other.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    driver: JoinHandle<()>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        Client::open(address).await.expect("the balancer accepts")
    }

    /// Connects, if someone accepts.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Client::over(TcpStream::connect(address).await?, address).await)
    }

    /// Connects from this address of loopback.
    pub async fn connect_from(client: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((client, 0).into()).expect("loopback has many addresses");
        Client::over(socket.connect(address).await.expect("the balancer accepts"), address).await
    }

    async fn over(stream: TcpStream, address: SocketAddr) -> Self {
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        let driver = tokio::spawn(async move {
            let _told_by_the_request = connection.await;
        });
        Client { sender, host: address.to_string(), driver }
    }

    /// The answer to one request. What a call that changes something has for a body, or any that is not empty, is
    /// called JSON.
    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if method != "GET" && method != "HEAD" || !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Full::from(body.to_owned())).expect("a request")).await
    }

    /// The answer to this request.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let answered = timeout(ANSWER, self.attempt(request)).await;
        answered.expect("an answer in time").expect("the connection is kept, and a whole answer")
    }

    /// The answer to this request, unless the connection breaks.
    pub async fn attempt(&mut self, mut request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        request.headers_mut().entry("host").or_insert_with(|| self.host.parse().expect("a value"));
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().into()).expect("text");
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Answer {
    /// Its body's value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a header field, if it has that.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The number of the sample replica that gave this answer.
    pub fn server(&self) -> u64 {
        assert_eq!(self.status, 200, "{}", self.body);
        let number = self.body.strip_prefix(r#"{"message":"Hello from Server: "#);
        let number = number.and_then(|rest| rest.strip_suffix(r#"","status":"successful"}"#));
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no sample replica: {}", self.body))
    }
}
