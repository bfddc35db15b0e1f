//! HTTP/2 connections, each shared by several workers (RFC 9113), also for what gRPC makes of them.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Mutex};

use super::report::{Answered, Failure};
use crate::grpc;

/// A message of gRPC: the text "world" as field 1.
const MESSAGE: &[u8] = b"\x0a\x05world";

/// A connection that is there when it is needed.
#[derive(Default)]
pub(super) struct Multiplexed {
    /// Held while it is opened, so that it is opened once.
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Multiplexed {
    /// Asks for this URL, or calls it by gRPC, and reads the answer to its end.
    pub async fn exchange(
        &self,
        addresses: &[SocketAddr],
        url: &str,
        calls: bool,
    ) -> Result<Answered, Failure> {
        let mut sender = self.sender(addresses).await.map_err(|_| Failure::Connect)?;
        let request = Request::builder().uri(url);
        let request = match calls {
            true => {
                let request = request.method(Method::POST).header(CONTENT_TYPE, grpc::CONTENT_TYPE);
                request.header("te", "trailers").body(grpc::message(MESSAGE).into())
            }
            false => request.body(Full::default()),
        };
        let request = request.expect("a URL of ours");
        read(sender.send_request(request).await.map_err(|_| Failure::Broken)?, calls).await
    }

    async fn sender(&self, addresses: &[SocketAddr]) -> io::Result<SendRequest<Full<Bytes>>> {
        let mut sender = self.sender.lock().await;
        if let Some(open) = sender.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let stream = TcpStream::connect(addresses).await?;
        stream.set_nodelay(true)?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (opened, driver) = handshake.await.map_err(io::Error::other)?;
        tokio::spawn(driver);
        Ok(sender.insert(opened).clone())
    }
}

/// The rest of an answer. What was called by gRPC has to say at its end that all is well.
async fn read(answer: Response<Incoming>, called: bool) -> Result<Answered, Failure> {
    let status = answer.status().as_u16();
    let at_once = answer.headers().get(grpc::STATUS).cloned();
    let whole = answer.into_body().collect().await.map_err(|_| Failure::Truncated)?;
    let at_the_end = whole.trailers().and_then(|trailers| trailers.get(grpc::STATUS).cloned());
    if called && at_the_end.or(at_once).is_none_or(|status| status != "0") {
        return Err(Failure::Broken);
    }
    Ok(Answered::new(status, &whole.to_bytes()))
}
