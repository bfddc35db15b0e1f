//! `ringtest origin`: the replica of `ringtest chaos`. It answers as the sample replica does, can be told to misbehave, and
//! counts every POST at the tester before it answers it: who executed what is known outside of what is killed.
//!
//! `GET /heartbeat` is always well; `GET /work?ms=2000` takes so long; `PUT /fault?mode=errors|deaf|none` sets what becomes
//! of everything else. Environment: `PORT`, `BIND` and `SERVER_ID` as the sample replica has them; `COLLECTOR`, where
//! executions are counted; `CRASH`, the number of the server that ends at once.

mod ledger;

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use self::ledger::Ledger;

/// How long requests in flight may take once it was told to stop: less than the 5 s after which it is killed.
const DRAIN: Duration = Duration::from_secs(4);

/// No work takes longer.
const LONGEST_WORK: u64 = 60_000;

/// What becomes of everything but heartbeats. A POST is executed in any case: a second try of it is a second execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// It is answered.
    Well,
    /// It is answered with 500.
    Errors,
    /// It is never answered.
    Deaf,
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "none" => Ok(Mode::Well),
            "errors" => Ok(Mode::Errors),
            "deaf" => Ok(Mode::Deaf),
            _ => Err(()),
        }
    }
}

/// What its connections share.
struct Origin {
    hello: Bytes,
    mode: AtomicU8,
    ledger: Ledger,
}

/// Serves until SIGTERM or SIGINT; whether it ended as it was told, dropping nothing.
pub async fn run() -> anyhow::Result<bool> {
    let server = setting("SERVER_ID", "unknown".to_owned())?;
    if setting("CRASH", String::new())? == server {
        eprintln!("server {server} crashes, as it was told to");
        return Ok(false);
    }
    let ip = setting("BIND", IpAddr::from(Ipv4Addr::UNSPECIFIED))?;
    let address = SocketAddr::new(ip, setting("PORT", 5000)?);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    eprintln!("listening on {}", listener.local_addr()?);
    let hello = format!(r#"{{"message":"Hello from Server: {server}","status":"successful"}}"#).into();
    let ledger = Ledger::at(&setting("COLLECTOR", String::new())?);
    let origin = Arc::new(Origin { hello, mode: AtomicU8::new(Mode::Well as u8), ledger });
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, origin.clone(), stopped.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    Ok(tokio::time::timeout(DRAIN, drained).await.is_ok())
}

/// One connection, until its end or, after a stop, the end of the request that it has.
async fn serve(stream: TcpStream, origin: Arc<Origin>, mut stopped: watch::Receiver<bool>) {
    let _slower_then = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let origin = origin.clone();
        async move { Ok::<_, Infallible>(origin.answer(request).await) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ended = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _its_client_is_gone = connection.await;
}

impl Origin {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match (request.method().clone(), request.uri().path()) {
            (_, "/heartbeat") => return answer(StatusCode::OK, Bytes::new()),
            (Method::PUT, "/fault") => return self.set(value(&query, "mode")),
            (Method::POST, _) => {
                let _its_content_does_not_matter = request.into_body().collect().await;
                if self.ledger.enter(value(&query, "request_id")).await.is_err() {
                    return answer(StatusCode::INTERNAL_SERVER_ERROR, "not counted".into());
                }
            }
            (_, "/work") => {
                let millis = value::<u64>(&query, "ms").unwrap_or_default().min(LONGEST_WORK);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            _ => {}
        }
        match self.mode.load(Relaxed) {
            mode if mode == Mode::Well as u8 => answer(StatusCode::OK, self.hello.clone()),
            mode if mode == Mode::Errors as u8 => {
                answer(StatusCode::INTERNAL_SERVER_ERROR, "as it was told to".into())
            }
            _ => std::future::pending().await,
        }
    }

    fn set(&self, mode: Option<Mode>) -> Response<Full<Bytes>> {
        let Some(mode) = mode else {
            return answer(StatusCode::BAD_REQUEST, "mode is errors, deaf or none".into());
        };
        self.mode.store(mode as u8, Relaxed);
        answer(StatusCode::OK, Bytes::new())
    }
}

fn answer(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Full::new(body)).expect("a sound head")
}

/// The value of a query's parameter.
fn value<T: FromStr>(query: &str, name: &str) -> Option<T> {
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(key, _)| *key == name)?.1.parse().ok()
}

/// A variable of the environment; an empty one counts as not set.
fn setting<T: FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().map_err(|_| anyhow!("{name} is not valid: {text:?}")),
        _ => Ok(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_wherever_it_stands() {
        assert_eq!(value("ms=2000&request_id=17", "request_id"), Some(17_u64));
        assert_eq!(value("request_id=17&ms=x", "ms"), None::<u64>);
        assert_eq!(value("mode=deaf", "mode"), Some(Mode::Deaf));
    }
}
