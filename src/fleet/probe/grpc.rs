//! A heartbeat by gRPC: `grpc.health.v1.Health/Check` (the gRPC health checking protocol) over HTTP/2 without TLS.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{
    HeaderMap, Request,
    header::{CONTENT_TYPE, TE},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{AskError, Probe, over_a_connection};
use crate::engine::Instance;

/// The longest reply that is read, in bytes; one that says what is asked has 7.
const LONGEST_REPLY: usize = 4096;
/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// The health service says that the service, or the server as a whole, is SERVING.
#[derive(Clone, Debug)]
pub struct GrpcProbe {
    request: Bytes,
}

impl GrpcProbe {
    /// Asks about this service; an empty name is the server as a whole.
    pub fn new(service: &str) -> Self {
        GrpcProbe { request: request(service).into() }
    }
}

impl Probe for GrpcProbe {
    fn answers<'a>(&'a self, instance: &'a Instance, deadline: Duration) -> BoxFuture<'a, Option<bool>> {
        let ask = move |stream, address| ask(stream, address, self.request.clone(), deadline);
        over_a_connection(instance.address(), deadline, ask).boxed()
    }
}

async fn ask(
    stream: TcpStream,
    address: SocketAddr,
    message: Bytes,
    deadline: Duration,
) -> Result<bool, AskError> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header("grpc-timeout", format!("{}m", deadline.as_millis().min(99_999_999))) // 8 digits at most
        .body(Full::new(message))?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST_REPLY).collect().await?;
        let ok = is_ok(&head.headers) || body.trailers().is_some_and(is_ok); // a refusal may be all header
        Ok(head.status.is_success() && ok && is_serving(&body.to_bytes()))
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        _ended = connection => answered.await, // it may have ended with the answer
    }
}

fn is_ok(fields: &HeaderMap) -> bool {
    fields.get("grpc-status").is_some_and(|status| status == "0")
}

/// A `HealthCheckRequest` as it goes over the wire: its field 1 is the service, left out where that is empty.
fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).expect("a setting is shorter than 4 GiB");
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

/// Whether a reply is one whole `HealthCheckResponse` that says so: its field 1 is the status.
fn is_serving(reply: &[u8]) -> bool {
    let Some((prefix, message)) = reply.split_at_checked(PREFIX) else { return false };
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    let whole = prefix[0] == 0 && message.len() as u64 == u64::from(length);
    whole && status(message) == Some(SERVING)
}

/// The status in a message, 0 where it has none; `None` where it is no message (Protocol Buffers' encoding).
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let skipped = match (key >> 3, key & 7) {
            (1, 0) => {
                status = take_varint(&mut message)?;
                0
            }
            (_, 0) => take_varint(&mut message).map(|_| 0)?,
            (_, 1) => 8,
            (_, 2) => usize::try_from(take_varint(&mut message)?).ok()?,
            (_, 5) => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tonic::transport::{Server, server::TcpIncoming};
    use tonic_health::{ServingStatus, server::health_reporter};

    use super::*;
    use crate::fleet::probe::instance_at;

    async fn answers(address: SocketAddr, service: &str) -> Option<bool> {
        GrpcProbe::new(service).answers(&instance_at(address), Duration::from_millis(500)).await
    }

    #[tokio::test]
    async fn a_health_service_is_believed_about_each_service_it_knows() {
        let (reporter, health) = health_reporter();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(health).serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(server);
        assert_eq!(answers(address, "").await, Some(true), "the server as a whole");
        assert_eq!(answers(address, "shop.Cart").await, Some(false), "a service that it does not know");
        for (status, lives) in [
            (ServingStatus::Serving, true),
            (ServingStatus::NotServing, false),
            (ServingStatus::Unknown, false),
            (ServingStatus::Serving, true),
        ] {
            reporter.set_service_status("shop.Cart", status).await;
            assert_eq!(answers(address, "shop.Cart").await, Some(lives), "{status:?}");
        }
        let long = "x".repeat(300);
        reporter.set_service_status(&long, ServingStatus::Serving).await;
        assert_eq!(answers(address, &long).await, Some(true));
        server.abort();
    }

    /// Another protocol, silence, and nobody.
    #[tokio::test]
    async fn what_is_no_health_service_does_not_live() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(async || "no gRPC");
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        assert_eq!(answers(address, "").await, Some(false));
        server.abort();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        assert_eq!(answers(address, "").await, Some(false));
        drop(silent);
        assert_eq!(answers(address, "").await, Some(false));
    }

    #[test]
    fn only_a_whole_message_with_the_right_status_is_serving() {
        assert!(is_serving(&[0, 0, 0, 0, 2, 0x08, 1]));
        // a field of each kind that a later version may have
        let later =
            [0x10, 0x96, 0x01, 0x1a, 2, 8, 2, 0x25, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 1];
        assert_eq!(status(&later), Some(SERVING));
        for reply in [
            &[][..],
            &[0, 0, 0, 0, 0],                // UNKNOWN
            &[0, 0, 0, 0, 2, 0x08, 2],       // NOT_SERVING
            &[1, 0, 0, 0, 2, 0x08, 1],       // compressed
            &[0, 0, 0, 0, 3, 0x08, 1],       // cut off
            &[0, 0, 0, 0, 1, 0x08],          // a field without its value
            &[0, 0, 0, 0, 2, 0x08, 0x81],    // a number without its end
            &[0, 0, 0, 0, 3, 0x12, 0x7f, 1], // longer than the message
        ] {
            assert!(!is_serving(reply), "{reply:?}");
        }
    }

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }
}
