//! A replica that is told what trouble to make, and remembers what it was asked. This very test binary, started again by
//! the balancer.
//!
//! `PUT /trouble` with a [`Trouble`] changes what becomes of all requests but heartbeats; `GET /asked` tells them, one a
//! line, as `METHOD URI LENGTH-OF-THE-BODY`. Without trouble, the answer is the server's number.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Reply = Response<BoxBody<Bytes, io::Error>>;

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// They are answered.
    None,
    /// They get this status.
    Status(u16),
    /// They get no answer.
    Silence,
    /// They are answered after this time.
    Delay(Duration),
    /// The connection ends in place of an answer.
    Break,
    /// The connection ends after half of a body of so many bytes.
    Half(usize),
}

struct Server {
    number: String,
    trouble: Mutex<Trouble>,
    asked: Mutex<String>,
}

/// Serves at `$BIND:$PORT` for ever. Returns at once where nobody says which replica this is.
pub fn serve() {
    let setting = |name| std::env::var(name).ok();
    let (Some(bind), Some(port), Some(number)) = (setting("BIND"), setting("PORT"), setting("SERVER_ID"))
    else {
        return;
    };
    let address: SocketAddr = format!("{bind}:{port}").parse().expect("an address");
    let server = Server { number, trouble: Mutex::new(Trouble::None), asked: Mutex::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(listen(address, Arc::new(server)));
}

async fn listen(address: SocketAddr, server: Arc<Server>) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let server = server.clone();
        let service = service_fn(move |request| answer(request, server.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, server: Arc<Server>) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    match (head.method, head.uri.path()) {
        (_, "/heartbeat") => return Ok(text(StatusCode::OK, String::new())),
        (_, "/asked") => return Ok(text(StatusCode::OK, lock(&server.asked).clone())),
        (Method::PUT, "/trouble") => {
            let trouble = String::from_utf8_lossy(&body).parse().expect("a trouble");
            *lock(&server.trouble) = trouble;
            return Ok(text(StatusCode::OK, String::new()));
        }
        (method, _) => lock(&server.asked).push_str(&format!("{method} {} {}\n", head.uri, body.len())),
    }
    let trouble = *lock(&server.trouble);
    match trouble {
        Trouble::None => {}
        Trouble::Status(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return Ok(text(status, format!("trouble at {}", server.number)));
        }
        Trouble::Silence => std::future::pending().await,
        Trouble::Delay(time) => tokio::time::sleep(time).await,
        Trouble::Break => return Err(io::ErrorKind::ConnectionAborted.into()),
        Trouble::Half(length) => return Ok(half(length)),
    }
    Ok(text(StatusCode::OK, server.number.clone()))
}

fn text(status: StatusCode, text: String) -> Reply {
    let body = Full::from(text).map_err(|never: Infallible| match never {}).boxed();
    Response::builder().status(status).body(body).expect("a response")
}

fn half(length: usize) -> Reply {
    let frames = futures_util::stream::unfold(0, move |turn| async move {
        match turn {
            0 => Some((Ok(Frame::data(Bytes::from(vec![b'x'; length / 2]))), 1)),
            _ => {
                tokio::task::yield_now().await; // the head and what there is of the body are sent by then
                Some((Err(io::ErrorKind::ConnectionAborted.into()), 2))
            }
        }
    });
    let body = BodyExt::boxed(StreamBody::new(Box::pin(frames)));
    Response::builder().header("content-length", length).body(body).expect("a response")
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().expect("nobody panics while holding it")
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::None => f.write_str("none"),
            Trouble::Status(status) => write!(f, "status {status}"),
            Trouble::Silence => f.write_str("silence"),
            Trouble::Delay(time) => write!(f, "delay {}", time.as_millis()),
            Trouble::Break => f.write_str("break"),
            Trouble::Half(length) => write!(f, "half {length}"),
        }
    }
}

impl FromStr for Trouble {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, number) = text.split_once(' ').unwrap_or((text, "0"));
        Ok(match word {
            "status" => Trouble::Status(number.parse()?),
            "silence" => Trouble::Silence,
            "delay" => Trouble::Delay(Duration::from_millis(number.parse()?)),
            "break" => Trouble::Break,
            "half" => Trouble::Half(number.parse()?),
            _ => Trouble::None,
        })
    }
}
