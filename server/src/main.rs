//! The sample replica: `GET /home` says which server answered, `GET /heartbeat` that it lives.
//!
//! Environment: `PORT` (5000; 0 takes a free one), `BIND` (0.0.0.0), `SERVER_ID`. An empty value counts as not set.
//! `ringkeeper-server check` asks the one that listens on `PORT` for its heartbeat: a HEALTHCHECK where there is no shell.
//! SIGTERM and SIGINT end it cleanly, also as process 1 of a container. Exit codes: 0 stopped, 1 could not serve or
//! had to drop requests (or, for `check`, no answer), 2 bad setting.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use axum::{
    Router, http::StatusCode, http::header, response::IntoResponse, routing::get, serve::ListenerExt,
};
use bytes::Bytes;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// How long requests in flight may take once the server was told to stop: less than the 5 s after which a balancer
/// or Docker kills.
const DRAIN: Duration = Duration::from_secs(4);

/// How long a check waits for the heartbeat.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("check") => check().await,
        _ => run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringkeeper-server: {error}");
            ExitCode::from(if matches!(error, Error::Setting { .. }) { 2 } else { 1 })
        }
    }
}

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{name} is not {wanted}: {value:?}")]
    Setting { name: &'static str, wanted: &'static str, value: String },
    #[error("cannot listen on {address} (another port: PORT=…): {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    #[error("cannot serve: {0}")]
    Serve(io::Error),
    #[error("no heartbeat from {address}: {source}")]
    Unwell { address: SocketAddr, source: io::Error },
    #[error("stopped, dropping requests that had not ended after {DRAIN:?}")]
    Dropped,
}

async fn run() -> Result<(), Error> {
    let (stop, stopped) = watch::channel(false);
    let signals = Signals::new().map_err(Error::Signals)?;
    let address = SocketAddr::new(
        setting("BIND", "an IP address", IpAddr::from([0, 0, 0, 0]))?,
        setting("PORT", "a port number (0 to 65535)", 5000)?,
    );
    let listening = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    let (listener, bound) = listening.await.map_err(|source| Error::Listen { address, source })?;
    eprintln!("ringkeeper-server: listening on {bound}");

    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let serve = axum::serve(listener, routes(&server_id())).with_graceful_shutdown(told(stopped.clone()));
    let deadline = async {
        signals.first().await;
        eprintln!("ringkeeper-server: stopping");
        stop.send_replace(true);
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serve.into_future() => served.map_err(Error::Serve),
        () = deadline => Err(Error::Dropped),
    }
}

/// Whether the server on this machine answers its heartbeat.
async fn check() -> Result<(), Error> {
    let port = setting("PORT", "a port number (0 to 65535)", 5000)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let asked = tokio::time::timeout(CHECK_TIMEOUT, heartbeat(address)).await;
    asked.unwrap_or_else(|late| Err(late.into())).map_err(|source| Error::Unwell { address, source })
}

async fn heartbeat(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(1024).read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Ends when the server is told to stop.
async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn routes(server_id: &str) -> Router {
    let home = answer(json!({"message": format!("Hello from Server: {server_id}"), "status": "successful"}));
    let missing = answer(json!({"message": "<Error> no such endpoint", "status": "failure"}));
    Router::new()
        .route("/home", get(move || async move { home }))
        .route("/heartbeat", get(|| async {}))
        .fallback(move || async move { (StatusCode::NOT_FOUND, missing) })
}

/// An answer that never changes, spelled once.
fn answer(body: serde_json::Value) -> impl IntoResponse + Clone {
    ([(header::CONTENT_TYPE, "application/json")], Bytes::from(body.to_string()))
}

fn server_id() -> String {
    from_environment("SERVER_ID").unwrap_or_else(|| "unknown".into())
}

fn setting<T: std::str::FromStr>(name: &'static str, wanted: &'static str, default: T) -> Result<T, Error> {
    let Some(value) = from_environment(name) else { return Ok(default) };
    value.parse().map_err(|_| Error::Setting { name, wanted, value })
}

fn from_environment(name: &str) -> Option<String> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

/// The two signals that end the server, caught from the moment this exists.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ends when either arrives.
    async fn first(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}
