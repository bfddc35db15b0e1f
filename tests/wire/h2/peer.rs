//! The two ends of HTTP/2 around the balancer: a client that says what it got to the frame, and an origin that notes what
//! it was asked.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

use crate::support::PATIENCE;

/// A client's connection.
pub struct Client {
    pub sender: client::SendRequest<Bytes>,
    pub driver: JoinHandle<Result<(), h2::Error>>,
}

/// A whole response.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// A request for this path.
pub fn get(path: &str) -> Request<()> {
    Request::get(format!("http://a{path}")).body(()).expect("a request")
}

/// The same with another method.
pub fn with_method(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a{path}")).body(()).expect("a request")
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the balancer accepts");
        let (sender, connection) = client::handshake(stream).await.expect("a connection");
        Client { sender, driver: tokio::spawn(connection) }
    }

    /// Opens a stream.
    pub async fn open(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> (client::ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.expect("room for a stream");
        sender.send_request(request, ends).expect("it is sent")
    }

    /// The answer to this request.
    pub async fn call(&mut self, request: Request<()>) -> Result<Got, h2::Error> {
        let (response, _) = self.open(request, true).await;
        got(response).await
    }

    /// The answer to this request with this body and these trailers.
    pub async fn send(
        &mut self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<Got, h2::Error> {
        let (response, mut stream) = self.open(request, false).await;
        let upload = async {
            let sent = upload(&mut stream, body).await;
            match trailers {
                Some(trailers) if sent.is_ok() => _ = stream.send_trailers(trailers),
                _ => _ = stream.send_data(Bytes::new(), true),
            }
        };
        tokio::join!(upload, got(response)).1
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends all of this as the other side takes it.
pub async fn upload(stream: &mut SendStream<Bytes>, body: &[u8]) -> Result<(), h2::Error> {
    let mut left = Bytes::copy_from_slice(body);
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.ok_or(h2::Error::from(Reason::CANCEL))??;
        stream.send_data(left.split_to(room.min(left.len())), false)?;
    }
    Ok(())
}

/// A whole response, or why there is none.
pub async fn got(response: client::ResponseFuture) -> Result<Got, h2::Error> {
    let whole = async {
        let (head, mut stream) = response.await?.into_parts();
        let body = rest(&mut stream).await?;
        let trailers = stream.trailers().await?;
        Ok(Got { status: head.status.as_u16(), headers: head.headers, body, trailers })
    };
    timeout(PATIENCE, whole).await.expect("a response in time")
}

/// The rest of a body.
pub async fn rest(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

impl Got {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// An origin that speaks HTTP/2 alone. `/echo` sends body and trailers back as they come; `/length` has a length;
/// `/head` is all header; `/cut` breaks off in its body, when it is told to; `/hang` never answers; `/stream` has
/// a body that never ends; `/last` answers, and takes no more on its connection; anything else says what it was asked.
pub struct Origin {
    pub address: SocketAddr,
    pub state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Default)]
pub struct State {
    /// Connections so far, and those that are open.
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    /// Requests that were given up by who sent them.
    pub cancelled: AtomicUsize,
    /// Told when `/cut` is to break off.
    pub cut: Notify,
    /// Whether it does nothing of what it is asked.
    pub refuses: AtomicBool,
    /// What was asked.
    pub asked: Mutex<Vec<String>>,
}

type Reply = BoxBody<Bytes, h2::Error>;

/// A body of these frames, and then maybe an error, or nothing more.
struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    then: Option<(Wait, Reason)>,
    guard: Option<Guard>,
}

type Wait = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Counts a request as given up unless it was done.
struct Guard(Arc<State>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(1, SeqCst);
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Frames { frames, then, guard } = self.get_mut();
        if let Some(frame) = frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match then {
            Some((wait, reason)) => wait.as_mut().poll(cx).map(|()| Some(Err((*reason).into()))),
            None if guard.is_some() => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.then.is_none() && self.guard.is_none()
    }
}

impl Origin {
    pub async fn start() -> Self {
        Origin::at("127.0.0.1:0".parse().expect("an address")).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let (address, state) = (listener.local_addr().expect("bound"), Arc::<State>::default());
        let shared = state.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, SeqCst);
                shared.open.fetch_add(1, SeqCst);
                tokio::spawn(attend(stream, shared.clone()));
            }
        });
        Origin { address, state, server }
    }

    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().expect("nobody panics").clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn attend(stream: TcpStream, state: Arc<State>) {
    let is_last = Arc::new(Notify::new());
    let (shared, last) = (state.clone(), is_last.clone());
    let service = service_fn(move |request| answer(request, shared.clone(), last.clone()));
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ended = &mut connection => {}
        () = is_last.notified() => {
            connection.as_mut().graceful_shutdown();
            let _ended = connection.await;
        }
    }
    state.open.fetch_sub(1, SeqCst);
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    is_last: Arc<Notify>,
) -> Result<Response<Reply>, h2::Error> {
    let mut seen = format!("{} {}", request.method(), request.uri());
    for (name, value) in request.headers() {
        seen.push_str(&format!("\n{name}: {}", value.to_str().expect("text")));
    }
    state.asked.lock().expect("nobody panics").push(seen.clone());
    let data = |text: &str| Frame::data(Bytes::copy_from_slice(text.as_bytes()));
    let body = |frames: Vec<Frame<Bytes>>, then, guard| Frames { frames: frames.into(), then, guard }.boxed();
    let is_broken = |_| h2::Error::from(Reason::INTERNAL_ERROR);
    if state.refuses.load(SeqCst) {
        return Err(Reason::REFUSED_STREAM.into());
    }
    Ok(match request.uri().path() {
        path if path.starts_with("/echo") => Response::new(request.into_body().map_err(is_broken).boxed()),
        "/length" => {
            let reply = Response::builder().header("content-length", "5");
            reply.body(body(vec![data("he"), data("llo")], None, None)).expect("a response")
        }
        "/head" => {
            let reply = Response::builder().header("grpc-status", "7").header("x-a", "b");
            reply.body(body(Vec::new(), None, None)).expect("a response")
        }
        "/cut" => {
            let cut: Wait = Box::pin(async move { state.cut.notified().await });
            Response::new(body(vec![data("some")], Some((cut, Reason::INTERNAL_ERROR)), None))
        }
        "/hang" => {
            let _guard = Guard(state);
            std::future::pending().await
        }
        "/stream" => Response::new(body(vec![data("begun")], None, Some(Guard(state)))),
        "/last" => {
            is_last.notify_one();
            Response::new(body(vec![data("last")], None, None))
        }
        _ => Response::new(body(vec![data(&seen)], None, None)),
    })
}
