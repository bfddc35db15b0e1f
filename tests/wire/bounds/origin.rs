//! An origin that does what the path says, and counts.
//!
//! `/flood` sends [`FLOOD`] bytes that it makes as they go; `/hold` answers when it is told to; `/deaf` takes nothing after the
//! head; `/pause` begins a response and does not go on; `/drip` sends its response byte by byte; `/refuse` answers before the
//! body has come and closes, `/refuse-and-stay` does not close. Anything else takes the body and says `ok`.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::Response;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::watch};

use super::wire::Wire;

/// The length of a flood.
pub const FLOOD: u64 = 200 * 1024 * 1024;
/// The bytes of a drip, and what is between two of them.
pub const DRIPS: usize = 10;
pub const DRIP: Duration = Duration::from_millis(200);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const REFUSAL: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";

/// One that listens on a port of its own until the test ends.
pub struct Origin {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Requests that wait, be it for their answer or for the rest of it.
    held: AtomicUsize,
    /// Of those, whose connection ended first.
    left: AtomicUsize,
    /// Bytes that were taken of all floods.
    flooded: AtomicU64,
    released: watch::Sender<bool>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = listener();
        let address = listener.local_addr().expect("bound");
        let state = Arc::<State>::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move { attend(Wire::new(stream), &shared).await });
            }
        });
        Origin { address, state }
    }

    /// One that speaks HTTP/2 alone, and answers every request when it is told to.
    pub async fn start_in_http2() -> Self {
        let listener = listener();
        let address = listener.local_addr().expect("bound");
        let state = Arc::<State>::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |_| {
                    let shared = shared.clone();
                    async move {
                        shared.held.fetch_add(1, Relaxed);
                        let mut released = shared.released.subscribe();
                        let _the_test_is_over = released.wait_for(|released| *released).await.is_err();
                        Ok::<_, Infallible>(Response::new("ok".to_owned()))
                    }
                });
                let builder = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        Origin { address, state }
    }

    /// Answers what is held.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }

    pub fn held(&self) -> usize {
        self.state.held.load(Relaxed)
    }

    pub fn left(&self) -> usize {
        self.state.left.load(Relaxed)
    }

    pub fn flooded(&self) -> u64 {
        self.state.flooded.load(Relaxed)
    }
}

/// A listener that thousands may connect to at once.
pub fn listener() -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    socket.listen(4096).expect("bound")
}

async fn attend(mut wire: Wire, state: &State) -> io::Result<()> {
    while let Some(head) = wire.head().await? {
        match head.split(' ').nth(1).expect("a path") {
            "/flood" => flood(&mut wire, state).await?,
            "/hold" => {
                hold(&mut wire, state).await;
                wire.write(OK.as_bytes()).await?;
            }
            "/deaf" => {
                state.held.fetch_add(1, Relaxed);
                std::future::pending().await
            }
            "/pause" => {
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha").await?;
                hold(&mut wire, state).await;
            }
            "/drip" => {
                wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {DRIPS}\r\n\r\n").as_bytes()).await?;
                for _ in 0..DRIPS {
                    tokio::time::sleep(DRIP).await;
                    wire.write(b"x").await?;
                }
                wire.skip(&head).await?;
            }
            "/refuse" => return wire.write(REFUSAL.as_bytes()).await,
            "/refuse-and-stay" => {
                wire.write(REFUSAL.as_bytes()).await?;
                wire.skip(&head).await?;
            }
            _ => {
                wire.skip(&head).await?;
                wire.write(OK.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

async fn flood(wire: &mut Wire, state: &State) -> io::Result<()> {
    wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {FLOOD}\r\n\r\n").as_bytes()).await?;
    state.held.fetch_add(1, Relaxed);
    let bytes = vec![0; 64 * 1024];
    for _ in 0..FLOOD / bytes.len() as u64 {
        wire.write(&bytes).await?;
        state.flooded.fetch_add(bytes.len() as u64, Relaxed);
    }
    Ok(())
}

/// Waits until what is held is released, or this connection ends.
async fn hold(wire: &mut Wire, state: &State) {
    state.held.fetch_add(1, Relaxed);
    let mut released = state.released.subscribe();
    tokio::select! {
        _ = released.wait_for(|released| *released) => {}
        () = wire.ends() => { state.left.fetch_add(1, Relaxed); }
    }
}
