//! Exchanges without a network: the client at the end of one pipe, who answers (in place of the control API) at the end of
//! another. What the script does between two waits the forwarder sees at once.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    sync::{mpsc, watch},
    task::yield_now,
};

use super::client::{Downstream, serve};
use crate::{
    caller::Caller,
    proxy::{
        Config, Limits, Links, Listener, Networks, Pool, PoolConfig, Protocol, Routing, Settings, Tells,
        key::Key, retry::Rules, thread::Core,
    },
    table::{PoolId, Published},
};

const MINUTE: Duration = Duration::from_secs(60);
/// Where clients are.
pub(super) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// Where they come in.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2);
/// What may be held for one connection in any case, in bytes.
const CONNECTION: usize = 3 * 1024;

/// A client's connection that can break.
pub(super) struct Pipe {
    pub(super) stream: DuplexStream,
    pub(super) state: Rc<State>,
}

#[derive(Default)]
pub(super) struct State {
    is_broken: Cell<bool>,
    watching: RefCell<Option<Waker>>,
}

impl State {
    fn break_off(&self) {
        self.is_broken.set(true);
        self.watching.take().expect("somebody watches").wake();
    }
}

impl Downstream for Pipe {
    fn break_off(&self) {}

    fn is_broken(&self) -> bool {
        self.state.is_broken.get()
    }

    fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.watching.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn go_on_in_http2(
        self,
        _: Rc<Core>,
        _: Vec<u8>,
        _: Caller,
        _: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        unreachable!("no script speaks it")
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, read)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Whom the script speaks for.
struct Stage {
    client: DuplexStream,
    state: Rc<State>,
    answerers: mpsc::Receiver<(DuplexStream, Caller)>,
}

impl Stage {
    /// Whoever is asked next, and has got this.
    async fn asked(&mut self, ends_with: &str) -> DuplexStream {
        let (mut answerer, _) = self.answerers.recv().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(ends_with.as_bytes()) {
            assert!(answerer.read_buf(&mut got).await.unwrap() > 0);
        }
        answerer
    }

    async fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// What the client gets up to the end, if it sends no more.
    async fn rest(mut self) -> String {
        self.client.shutdown().await.unwrap();
        let mut got = String::new();
        self.client.read_to_string(&mut got).await.unwrap();
        got
    }
}

/// What a thread has, and who is asked in place of the control API.
pub(super) fn core() -> (Rc<Core>, mpsc::Receiver<(DuplexStream, Caller)>) {
    let config = Config {
        idle_timeout: MINUTE,
        header_timeout: MINUTE,
        body_timeout: MINUTE,
        limits: Limits::default(),
        trusted_proxies: Networks::default(),
        proxy_protocol_from: Networks::default(),
        forwarded: Tells::Both,
        debug_headers: false,
        max_concurrent_streams: 100,
    };
    let pool = PoolConfig {
        exchange: Settings {
            key: Key::default(),
            sticky: None,
            priority: None,
            unknown_path_is_400: false,
            retry: Rules::default(),
        },
        connect_timeout: MINUTE,
        max_connections: usize::MAX,
        response_timeout: MINUTE,
        eject_after: 0,
        protocol: Protocol::Http1,
        drain_timeout: MINUTE,
        stats_path: None,
        health_path: None,
    };
    let pool = Arc::new(Pool::new(PoolId(0), "default", pool, 1));
    let listener = Arc::new(Listener::new(LISTEN, LISTEN, Vec::new()));
    let routing = Arc::new(Routing::new(vec![listener], Some("".into()), Vec::new(), vec![pool]));
    let (control, answerers) = mpsc::channel(1);
    let (epoch, routing) = (watch::channel(0).1, watch::channel(routing).1);
    let links = Links { published: Arc::new(Published::new(1)), epoch, routing, control };
    (Rc::new(Core::new(0, 1, config, links, Instant::now())), answerers)
}

/// What comes of a script with a client whose pipe holds so many bytes.
async fn play<T>(pipe: usize, script: impl AsyncFnOnce(Stage) -> T) -> T {
    let (client, stream) = duplex(pipe);
    let (state, (core, answerers)) = (Rc::<State>::default(), core());
    let served = serve(core, Pipe { stream, state: state.clone() }, PEER, LISTEN);
    tokio::join!(served, script(Stage { client, state, answerers })).1
}

fn put(fields: &str) -> String {
    format!("PUT /rep HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

#[tokio::test]
async fn a_client_gets_the_same_however_little_it_takes_at_once() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
    for pipe in [1, 2, 3, 50, 4096] {
        let got = play(pipe, async |mut stage: Stage| {
            let asks = "GET /rep HTTP/1.1\r\nHost: a\r\n\r\n";
            for (pieces, body_ends) in
                [([early, first, "3\r\nabc\r\n0\r\n", "\r\n"], false), (["", last, "ab", "c"], true)]
            {
                stage.say(asks).await;
                let mut answerer = stage.asked("\r\n\r\n").await;
                for piece in pieces {
                    answerer.write_all(piece.as_bytes()).await.unwrap();
                    yield_now().await;
                }
                if body_ends {
                    return stage.rest().await;
                }
                let mut got = Vec::new();
                while !got.ends_with(b"0\r\n\r\n") {
                    stage.client.read_buf(&mut got).await.unwrap();
                }
                assert_eq!(String::from_utf8(got).unwrap(), [early, first, "3\r\nabc\r\n0\r\n\r\n"].concat());
            }
            unreachable!("the last one ends")
        });
        assert!(got.await.ends_with("\r\n\r\nabc"), "{pipe}");
    }
}

#[tokio::test]
async fn who_takes_no_more_of_a_request_may_still_answer_it() {
    let whole = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nabcd";
    for (answered, status) in [("", "502"), (whole, "413")] {
        let got = play(4096, async |mut stage: Stage| {
            stage.say(&(put("Content-Length: 8") + "half")).await;
            let mut answerer = stage.asked("half").await;
            stage.say("more").await;
            answerer.write_all(answered.as_bytes()).await.unwrap();
            drop(answerer);
            stage.rest().await
        });
        let got = got.await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
    }
}

#[tokio::test]
async fn the_rest_of_an_answer_comes_from_who_takes_no_more() {
    let got = play(4096, async |mut stage: Stage| {
        stage.say(&(put("Content-Length: 8") + "half")).await;
        let mut answerer = stage.asked("half").await;
        answerer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await.unwrap();
        let mut begun = [0; 100];
        assert!(stage.client.read(&mut begun).await.unwrap() > 0);
        stage.say("more").await;
        answerer.write_all(b"cd").await.unwrap();
        drop(answerer);
        stage.rest().await
    });
    assert_eq!(got.await, "cd");
}

#[tokio::test]
async fn a_request_that_ends_early_is_refused_and_goes_no_further() {
    for (fields, body) in [("Content-Length: 8", "half"), ("Transfer-Encoding: chunked", "8\r\nhalf")] {
        let got = play(4096, async |mut stage: Stage| {
            stage.say(&(put(fields) + body)).await;
            let mut answerer = stage.asked(body).await;
            let got = stage.rest().await;
            assert_eq!(answerer.read(&mut [0; 9]).await.unwrap(), 0, "{fields}");
            got
        });
        assert!(got.await.starts_with("HTTP/1.1 400 "), "{fields}");
    }
}

#[tokio::test]
async fn a_client_is_told_to_go_on_once() {
    for pipe in [1, 4096] {
        let got = play(pipe, async |mut stage: Stage| {
            stage.say(&put("Expect: 100-continue\r\nContent-Length: 4")).await;
            let mut answerer = stage.asked("\r\n\r\n").await;
            let mut told = [0; 25];
            stage.client.read_exact(&mut told).await.unwrap();
            assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
            stage.say("body").await;
            // what asks for the body too asks in vain
            answerer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            answerer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            stage.rest().await
        });
        let got = got.await;
        assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\n"), "{pipe} {got}");
    }
}

#[tokio::test]
async fn who_breaks_off_is_left_wherever_the_exchange_is() {
    let ask = "GET /rep HTTP/1.1\r\nHost: a\r\n\r\n";
    for answered in ["", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"] {
        play(4096, async |mut stage: Stage| {
            stage.say(ask).await;
            let mut answerer = stage.asked("\r\n\r\n").await;
            answerer.write_all(answered.as_bytes()).await.unwrap();
            yield_now().await;
            stage.state.break_off();
            assert_eq!(answerer.read(&mut [0; 9]).await.unwrap(), 0, "{answered}");
        })
        .await;
    }
}

#[test]
fn a_connection_needs_little_memory() {
    let (core, _answerers) = core();
    let (_client, stream) = duplex(1);
    let size = size_of_val(&serve(core, Pipe { stream, state: Rc::default() }, PEER, LISTEN));
    assert!(size <= CONNECTION, "{size}");
}
