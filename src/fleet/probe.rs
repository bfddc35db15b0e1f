//! One heartbeat.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, header::HOST};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::limits::is_own_want;

/// A way to ask an instance whether it lives.
pub trait Probe: Send + Sync + 'static {
    /// Whether it answers in time that it does; `None` where it could not be asked for want of something of our own.
    fn answers<'a>(
        &'a self,
        address: SocketAddr,
        path: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Option<bool>>;
}

/// `GET path` on a new connection, to be answered with a status from 200 to 299.
#[derive(Clone, Copy, Debug)]
pub struct HttpProbe;

impl Probe for HttpProbe {
    fn answers<'a>(
        &'a self,
        address: SocketAddr,
        path: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Option<bool>> {
        timeout(deadline, connect_and_ask(address, path)).map(|asked| asked.unwrap_or(Some(false))).boxed()
    }
}

async fn connect_and_ask(address: SocketAddr, path: &str) -> Option<bool> {
    match TcpStream::connect(address).await {
        Ok(stream) => Some(ask(stream, address, path).await.unwrap_or(false)),
        Err(error) if is_own_want(&error) => None,
        Err(_) => Some(false),
    }
}

async fn ask(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
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
        let answered = HttpProbe.answers(address, "/heartbeat", Duration::from_millis(300)).await;
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
        assert_eq!(HttpProbe.answers(closed, "/heartbeat", Duration::from_secs(1)).await, Some(false));
    }
}
