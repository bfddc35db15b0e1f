//! A heartbeat by HTTP.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, header::HOST};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{AskError, Probe, over_a_connection};
use crate::engine::Instance;

/// `GET` of a path on a new connection, to be answered with a status from 200 to 299.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    path: Box<str>,
}

impl HttpProbe {
    /// Asks for this path.
    pub fn new(path: &str) -> Self {
        HttpProbe { path: path.into() }
    }

    /// Whether whoever listens there answers in time.
    pub async fn asks(&self, address: SocketAddr, deadline: Duration) -> Option<bool> {
        over_a_connection(Some(address), deadline, |stream, address| ask(stream, address, &self.path)).await
    }
}

impl Probe for HttpProbe {
    fn answers<'a>(&'a self, instance: &'a Instance, deadline: Duration) -> BoxFuture<'a, Option<bool>> {
        over_a_connection(instance.address(), deadline, |stream, address| ask(stream, address, &self.path))
            .boxed()
    }
}

async fn ask(stream: TcpStream, address: SocketAddr, path: &str) -> Result<bool, AskError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let asked = sender.send_request(request);
    tokio::pin!(asked);
    let response = tokio::select! {
        response = &mut asked => response,
        _ended = connection => asked.await, // it may have ended with the answer
    };
    Ok(response?.status().is_success())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Asks a server that reads a request and then answers with this; `None` never answers.
    async fn probe(answer: Option<&'static str>) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            assert!(head[..length].starts_with(b"GET /heartbeat HTTP/1.1\r\n"));
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
        });
        let answered = HttpProbe::new("/heartbeat").asks(address, Duration::from_millis(300)).await;
        server.abort();
        answered.expect("descriptors and ports")
    }

    #[tokio::test]
    async fn only_an_answer_in_time_with_a_good_status_counts() {
        assert!(probe(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await);
        assert!(!probe(Some("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")).await);
        assert!(!probe(Some("no http at all\r\n\r\n")).await);
        assert!(!probe(Some("")).await);
        assert!(!probe(None).await);
    }

    #[tokio::test]
    async fn a_closed_port_does_not_answer() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let answered = HttpProbe::new("/heartbeat").asks(closed, Duration::from_secs(1)).await;
        assert_eq!(answered, Some(false));
    }
}
