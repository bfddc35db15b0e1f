//! A heartbeat by HTTP.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, Response, StatusCode, header::HOST};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{AskError, Probe, over_a_connection};
use crate::engine::Instance;

/// `GET` of a path on a new connection, to be answered with a status from 200 to 299.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    path: Box<str>,
    http2: bool,
}

impl HttpProbe {
    /// Asks for this path.
    pub fn new(path: &str) -> Self {
        HttpProbe { path: path.into(), http2: false }
    }

    /// The same in HTTP/2, from the first byte.
    pub fn in_http2(path: &str) -> Self {
        HttpProbe { http2: true, ..HttpProbe::new(path) }
    }

    /// Whether whoever listens there answers in time.
    pub async fn asks(&self, address: SocketAddr, deadline: Duration) -> Option<bool> {
        over_a_connection(Some(address), deadline, |stream, address| self.ask(stream, address)).await
    }

    async fn ask(&self, stream: TcpStream, address: SocketAddr) -> Result<bool, AskError> {
        let stream = TokioIo::new(stream);
        let status = match self.http2 {
            true => {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                let request = Request::get(format!("http://{address}{}", self.path));
                ask(sender.send_request(request.body(Full::<Bytes>::default())?), connection).await?
            }
            false => {
                let (mut sender, connection) = http1::handshake(stream).await?;
                let request = Request::get(&*self.path).header(HOST, address.to_string());
                ask(sender.send_request(request.body(Full::<Bytes>::default())?), connection).await?
            }
        };
        Ok(status.is_success())
    }
}

impl Probe for HttpProbe {
    fn answers<'a>(&'a self, instance: &'a Instance, deadline: Duration) -> BoxFuture<'a, Option<bool>> {
        over_a_connection(instance.address(), deadline, |stream, address| self.ask(stream, address)).boxed()
    }
}

/// The status of what is asked over this connection.
async fn ask(
    asked: impl Future<Output = hyper::Result<Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> hyper::Result<StatusCode> {
    tokio::pin!(asked);
    let response = tokio::select! {
        response = &mut asked => response,
        _ended = connection => asked.await, // it may have ended with the answer
    };
    Ok(response?.status())
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
    /// One that speaks HTTP/2 alone, and one that speaks HTTP/1.1 alone.
    #[tokio::test]
    async fn what_is_asked_in_another_version_does_not_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper::service::service_fn(async |request: Request<Incoming>| {
                    let status = if request.uri().path() == "/heartbeat" { 204 } else { 404 };
                    Response::builder().status(status).body(Full::<Bytes>::default())
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        let second = Duration::from_secs(1);
        assert_eq!(HttpProbe::in_http2("/heartbeat").asks(address, second).await, Some(true));
        assert_eq!(HttpProbe::in_http2("/other").asks(address, second).await, Some(false));
        assert_eq!(HttpProbe::new("/heartbeat").asks(address, second).await, Some(false));
        server.abort();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(async |_: Request<Incoming>| {
                Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::default()))
            });
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
        assert_eq!(HttpProbe::in_http2("/heartbeat").asks(address, second).await, Some(false));
        server.abort();
    }
}
