//! Calls of a running balancer's admin listener.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::api::Secret;

/// Where to connect to a balancer that listens there: a wildcard address is none to connect to.
pub(super) fn reachable(admin: SocketAddr) -> SocketAddr {
    match admin {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

/// The status and the body of the answer to a call without a body of its own.
pub(super) async fn call(
    admin: SocketAddr,
    token: Option<&Secret>,
    method: Method,
    path: &str,
    deadline: Duration,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let called = timeout(deadline, exchange(admin, token, method, path)).await;
    called.with_context(|| format!("the balancer on {admin} does not answer within {deadline:?}"))?
}

async fn exchange(
    admin: SocketAddr,
    token: Option<&Secret>,
    method: Method,
    path: &str,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream =
        TcpStream::connect(admin).await.with_context(|| format!("no balancer answers on {admin}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let json = (CONTENT_TYPE, "application/json");
    let mut request =
        Request::builder().method(method).uri(path).header(HOST, admin.to_string()).header(json.0, json.1);
    if let Some(Secret(token)) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok((head.status, body))
}
