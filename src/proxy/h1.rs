//! HTTP/1.1 by hyper: moves bytes, asks [`exchange`](super::exchange), decides nothing.

use std::{
    cell::RefCell,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Uri, request::Parts, uri::PathAndQuery};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::rngs::StdRng;
use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{
    Config, Links,
    connections::{Blame, Connections, Outgoing, Sender, connect, handshake},
    exchange::{Answer, Exchange, Failure, Target, to_client, to_replica},
};
use crate::table::InFlight;

/// How long a client may take for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a body may take that is read whole: for its key, or to keep a connection whose response is not sent on.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest response body that is read only to keep its connection, in bytes.
const UNUSED_BODY: usize = 64 * 1024;
/// Bytes under way to the control API, each direction.
const CONTROL_PIPE: usize = 16 * 1024;

/// Everything that the connections of one thread share.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) links: Links,
    pub(super) connections: Connections,
    pub(super) rng: RefCell<StdRng>,
}

impl Core {
    /// Closes connections that nobody needs any more.
    pub(super) fn sweep(&self) {
        let snapshot = self.links.published.load();
        self.connections.sweep(&snapshot.default, self.config.idle_timeout, Instant::now());
    }
}

type Reply = Response<Either<Relayed, Full<Bytes>>>;

/// Why a request got no response from a replica.
enum SendError {
    /// Nothing of it was sent: here it is.
    Unsent(Box<Request<Outgoing>>, Blame),
    /// It may have been executed.
    Failed(Failure),
}

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
    let sent = sender.send_request(Request::from_parts(head, Either::Left(body)));
    let (mut head, body) = sent.await.map_err(|_| Failure::Broken)?.into_parts();
    to_client(&mut head.headers);
    Ok(Response::from_parts(head, Either::Left(Relayed { body, home: None, claim: None })))
}

/// Has a request answered by a replica of the pool.
async fn pool(
    core: Rc<Core>,
    mut head: Parts,
    body: Incoming,
    peer: SocketAddr,
    path: PathAndQuery,
) -> Result<Reply, Failure> {
    let key = &core.config.exchange.key;
    let (body, known) = if key.needs_body(&head) {
        let collected = timeout(BODY_TIMEOUT, body.collect()).await;
        let whole = collected.map_err(|_| Failure::BadBody)?.map_err(|_| Failure::BadBody)?.to_bytes();
        (Either::Right(Full::new(whole.clone())), Some(whole))
    } else {
        (Either::Left(body), None)
    };
    let id = key.id(&head, known.as_deref(), peer.ip(), &mut *core.rng.borrow_mut());
    to_replica(&mut head.headers, peer);
    let (method, asked) = (head.method.clone(), path.path().to_owned());
    head.uri = Uri::from(path);
    let (response, sender, claim) = send(&core, Exchange::new(id), Request::from_parts(head, body)).await?;
    let (mut head, body) = response.into_parts();
    let instead = core.config.exchange.instead_of(head.status, &method, &asked);
    let relayed = Relayed::new(body, core, sender, claim);
    if let Some(answer) = instead {
        tokio::task::spawn_local(timeout(BODY_TIMEOUT, Limited::new(relayed, UNUSED_BODY).collect()));
        return Ok(own(&answer));
    }
    to_client(&mut head.headers);
    Ok(Response::from_parts(head, Either::Left(relayed)))
}

/// Sends the request to its first candidate that a connection can be had to.
async fn send(
    core: &Core,
    mut exchange: Exchange,
    mut request: Request<Outgoing>,
) -> Result<(Response<Incoming>, Sender, InFlight), Failure> {
    while let Some(claim) = exchange.next(&core.links.published) {
        match send_to(core, &claim, request).await {
            Ok((response, sender)) => return Ok((response, sender, claim)),
            Err(SendError::Failed(failure)) => return Err(failure),
            Err(SendError::Unsent(unsent, blame)) => {
                if blame == Blame::Replica {
                    claim.replica().suspect();
                    core.links.nudge.notify_one();
                }
                request = *unsent;
            }
        }
    }
    Err(Failure::NoCandidate)
}

/// Sends the request to this replica: over an idle connection, or a new one where those prove closed before the first
/// byte.
async fn send_to(
    core: &Core,
    claim: &InFlight,
    mut request: Request<Outgoing>,
) -> Result<(Response<Incoming>, Sender), SendError> {
    loop {
        let idle = core.connections.take(claim.replica());
        let is_new = idle.is_none();
        let sender = match idle {
            Some(sender) => Ok(sender),
            None => connect(claim.replica(), core.config.connect_timeout).await,
        };
        let mut sender = match sender {
            Ok(sender) => sender,
            Err(blame) => return Err(SendError::Unsent(Box::new(request), blame)),
        };
        match timeout(core.config.response_timeout, sender.try_send_request(request)).await {
            Ok(Ok(response)) => return Ok((response, sender)),
            Err(_) => return Err(SendError::Failed(Failure::Late)),
            Ok(Err(mut error)) => match error.take_message() {
                Some(unsent) if is_new => return Err(SendError::Unsent(Box::new(unsent), Blame::Replica)),
                Some(unsent) => request = unsent,
                None => return Err(SendError::Failed(Failure::Broken)),
            },
        }
    }
}

/// An answer of the balancer's own.
fn own(answer: &Answer) -> Reply {
    let mut response = Response::new(Either::Right(Full::from(answer.body.clone())));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers();
    response
}

/// A response's body on its way from a replica. It holds the claim on the replica, and gives the connection back when
/// the replica has sent the last byte; dropped before that, it closes the connection.
pub(super) struct Relayed {
    body: Incoming,
    home: Option<(Rc<Core>, Sender)>,
    claim: Option<InFlight>,
}

impl Relayed {
    fn new(body: Incoming, core: Rc<Core>, sender: Sender, claim: InFlight) -> Self {
        let mut relayed = Relayed { body, home: Some((core, sender)), claim: Some(claim) };
        if relayed.body.is_end_stream() {
            relayed.end();
        }
        relayed
    }

    fn end(&mut self) {
        if let (Some((core, sender)), Some(claim)) = (self.home.take(), &self.claim) {
            core.connections.give_back(claim.replica(), sender);
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.home = None,
            None => self.end(),
            Some(Ok(_)) if self.body.is_end_stream() => self.end(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
