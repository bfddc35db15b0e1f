//! HTTP/1.1 by hyper: moves bytes, asks [`exchange`](super::exchange), decides nothing.

use std::{convert::Infallible, net::SocketAddr, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri, request::Parts, uri::PathAndQuery};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    answer::{Answer, Failure},
    connections::handshake,
    delivery::Delivery,
    exchange::{Exchange, Target},
    headers::{to_client, to_replica},
    kept::Kept,
    key::BODY_LIMIT,
    relay::Relayed,
    thread::Core,
};

/// How long a client may take for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a body may take that is read whole: for its key, or to keep a connection whose response is not sent on.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest response body that is read only to keep its connection, in bytes.
const UNUSED_BODY: usize = 64 * 1024;
/// Bytes under way to the control API, each direction.
const CONTROL_PIPE: usize = 16 * 1024;

type Reply = Response<Either<Relayed, Full<Bytes>>>;

/// Serves a client's connection until it ends; after `stopping` until its request in flight is answered.
pub(super) async fn serve(
    core: Rc<Core>,
    stream: TcpStream,
    peer: SocketAddr,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let core = core.clone();
        async move { Ok::<_, Infallible>(answer(core, request, peer).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(true);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopping.wait_for(|stopping| *stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection broke off");
    }
}

async fn answer(core: Rc<Core>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let answered = match core.config.exchange.target(&path) {
        Target::Control(path) => control(&core, head, body, peer, path).await,
        Target::Pool => pool(core, head, body, peer, path).await,
    };
    answered.unwrap_or_else(|failure| own(&failure.answer()))
}

/// Hands a request to the control API.
async fn control(
    core: &Core,
    mut head: Parts,
    body: Incoming,
    peer: SocketAddr,
    path: PathAndQuery,
) -> Result<Reply, Failure> {
    let (near, far) = tokio::io::duplex(CONTROL_PIPE);
    core.links.control.send((far, peer)).await.map_err(|_| Failure::Broken)?;
    let mut sender = handshake(near).await.ok_or(Failure::Broken)?;
    to_replica(&mut head.headers, peer);
    head.uri = Uri::from(path);
    let sent = sender.send_request(Request::from_parts(head, Kept::new(body, 0).send()));
    let (mut head, body) = sent.await.map_err(|_| Failure::Broken)?.into_parts();
    to_client(&mut head.headers);
    Ok(Response::from_parts(head, Either::Left(Relayed::of_control(body))))
}

/// Has a request answered by a replica of the pool.
async fn pool(
    core: Rc<Core>,
    mut head: Parts,
    body: Incoming,
    peer: SocketAddr,
    path: PathAndQuery,
) -> Result<Reply, Failure> {
    let now = Instant::now();
    core.count_request(now.into());
    let (key, retry) = (&core.config.exchange.key, &core.config.exchange.retry);
    let repeatable = retry.may_repeat(&head.method);
    let needs_body = key.needs_body(&head);
    let kept = if repeatable { retry.body_limit } else { 0 };
    let body = Kept::new(body, if needs_body { kept.max(BODY_LIMIT) } else { kept });
    let known = match needs_body {
        true => Some(
            timeout(BODY_TIMEOUT, body.whole()).await.ok().and_then(Result::ok).ok_or(Failure::BadBody)?,
        ),
        false => None,
    };
    let id = key.id(&head, known.as_deref(), peer.ip(), &mut *core.rng.borrow_mut());
    to_replica(&mut head.headers, peer);
    let (method, asked) = (head.method.clone(), path.path().to_owned());
    head.uri = Uri::from(path);
    let deadline = (now + core.config.response_timeout).into();
    let delivery = Delivery { core, head, body, repeatable, deadline };
    let (mut head, relayed) = delivery.answer(Exchange::new(id, repeatable)).await?;
    if let Some(answer) = delivery.core.config.exchange.instead_of(head.status, &method, &asked) {
        tokio::task::spawn_local(timeout(BODY_TIMEOUT, Limited::new(relayed, UNUSED_BODY).collect()));
        return Ok(own(&answer));
    }
    to_client(&mut head.headers);
    Ok(Response::from_parts(head, Either::Left(relayed)))
}

/// An answer of the balancer's own.
fn own(answer: &Answer) -> Reply {
    let mut response = Response::new(Either::Right(Full::from(answer.body.clone())));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers();
    response
}
