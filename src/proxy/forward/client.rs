//! A client's connection: its requests one after the other, each to its candidate and back.
//!
//! What is not here yet: repeating what may have been executed (but for the race with a replica that closes an idle
//! connection), holding responses, hedging, keys in bodies, the control API.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Arrived, Buffers, Deadline, Deadlines, Flow, Idle, NoHead, Upstream, attempt::Failed};
use crate::{
    name::InstanceId,
    proxy::framing::{
        Asked, Body, Framing, Limits, Request, Version,
        rewrite::{self, Delivery, Forwarding},
    },
    table::Published,
};

/// How replicas are reached.
pub trait Network {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Upstream;
    /// A new one.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// What all connections of a thread share.
pub struct Thread<N: Network> {
    /// How replicas are reached.
    pub network: N,
    /// Where the snapshots are.
    pub published: Arc<Published>,
    /// Connections to replicas that nobody uses now.
    pub idle: Idle<N::Stream>,
    /// What is waited for at most.
    pub deadlines: Rc<Deadlines>,
    /// Where bytes pass through.
    pub buffers: RefCell<Buffers>,
    /// How large heads may be.
    pub limits: Limits,
    /// A request's place on the ring.
    pub id: fn(&Request<'_>) -> u64,
    /// How long a client may take for a head, and for each piece of a body.
    pub client_timeout: Duration,
    /// How long a replica may take until its response begins.
    pub response_timeout: Duration,
}

pub(super) struct Client<S> {
    pub(super) stream: S,
    pub(super) arrived: Arrived,
    address: String,
    pub(super) deadline: Deadline,
}

/// A request that was read: what it says of the exchange, and what goes to the replica.
pub(super) struct Asking {
    pub(super) id: u64,
    pub(super) upload: Flow,
    pub(super) asked: Asked,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) idempotent: bool,
}

/// Serves a client's connection until it ends.
pub async fn serve<N: Network, S: AsyncRead + AsyncWrite + Unpin>(
    thread: &Thread<N>,
    stream: S,
    peer: SocketAddr,
) {
    let (address, deadline) = (peer.ip().to_string(), thread.deadlines.deadline());
    let mut client = Client { stream, arrived: Arrived::default(), address, deadline };
    while client.next(thread).await.unwrap_or(false) {}
    let _may_be_closed = poll_fn(|cx| Pin::new(&mut client.stream).poll_shutdown(cx)).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Answers the next request. Whether another may follow.
    async fn next<N: Network>(&mut self, thread: &Thread<N>) -> io::Result<bool> {
        self.deadline.set(thread.client_timeout);
        let asking = match poll_fn(|cx| self.poll_request(cx, thread)).await {
            Ok(asking) => asking,
            Err(NoHead::Refused(refusal)) => {
                return self.own(thread, None, refusal.status(), &refusal.to_string()).await;
            }
            Err(NoHead::Ended | NoHead::Broken(_)) => return Ok(false),
        };
        self.deadline.clear();
        let (mut asking, mut tried) = (asking, Vec::<InstanceId>::new());
        while let Some(claim) = thread.published.claim(asking.id, &tried) {
            tried.push(claim.replica().instance.clone());
            match self.attempt(thread, &mut asking, claim).await {
                Ok(kept) => return Ok(kept),
                Err(Failed::Refused(refusal)) => {
                    return self.own(thread, None, refusal.status(), &refusal.to_string()).await;
                }
                Err(Failed::Client) => return Ok(false),
                Err(_) if asking.upload.is_unsent() => {}
                Err(Failed::Replica) => {
                    return self
                        .own(thread, Some(&asking), 502, "the replica broke off before it answered")
                        .await;
                }
                Err(Failed::Late) => {
                    return self.own(thread, Some(&asking), 504, "the replica did not answer in time").await;
                }
            }
        }
        self.own(thread, Some(&asking), 503, "no replica is ready, try again in a second").await
    }

    fn poll_request<N: Network>(
        &mut self,
        cx: &mut Context<'_>,
        thread: &Thread<N>,
    ) -> Poll<Result<Asking, NoHead>> {
        let Buffers { input, fields, .. } = &mut *thread.buffers.borrow_mut();
        let forwarding = Forwarding { client: &self.address, scheme: "http", default_host: "ringkeeper" };
        let taken = self.arrived.poll_head(cx, &mut self.stream, input, |_, bytes, progress| {
            let Some(request) = Request::parse(bytes, progress, &thread.limits, fields)? else {
                return Ok(None);
            };
            let mut body = Body::new(request.framing);
            let taken = body.feed(&bytes[request.len..])?.taken;
            let used = request.len + taken;
            let mut out = Vec::with_capacity(used + 256);
            rewrite::request(&mut out, &request, &forwarding, &[]);
            out.extend_from_slice(&bytes[request.len..used]);
            let expects_continue = request.expects_continue && !body.is_ended() && taken == 0;
            let asking = Asking {
                id: (thread.id)(&request),
                upload: Flow::of_message(out, body),
                asked: Asked { is_head: request.method == "HEAD", upgrades: request.upgrades },
                version: request.version,
                keep_alive: request.keep_alive,
                expects_continue,
                idempotent: is_idempotent(request.method),
            };
            Ok(Some((used, asking)))
        });
        match taken {
            Poll::Pending if self.deadline.is_over(cx) => {
                Poll::Ready(Err(NoHead::Broken(io::ErrorKind::TimedOut.into())))
            }
            taken => taken,
        }
    }

    /// An answer of our own.
    async fn own<N: Network>(
        &mut self,
        thread: &Thread<N>,
        asking: Option<&Asking>,
        status: u16,
        message: &str,
    ) -> io::Result<bool> {
        let keep_alive = asking.is_some_and(|asking| asking.keep_alive && asking.upload.is_repeatable());
        let version = asking.map_or(Version::Http11, |asking| asking.version);
        let delivery = Delivery { version, keep_alive, framing: Framing::None };
        let body =
            serde_json::json!({ "message": format!("<Error> {message}"), "status": "failure" }).to_string();
        let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let retry: &[rewrite::Extra<'_>] = if status == 503 { &[("Retry-After", b"1")] } else { &[] };
        let fields = [&[("Content-Type", &b"application/json"[..])], retry].concat();
        let is_head = asking.is_some_and(|asking| asking.asked.is_head);
        let mut out = Vec::new();
        rewrite::own(
            &mut out,
            status,
            reason.unwrap_or_default(),
            &delivery,
            &fields,
            body.as_bytes(),
            is_head,
        );
        self.deadline.set(thread.client_timeout);
        self.write(&out).await.map(|()| keep_alive)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut pending = super::Pending::new(bytes.to_vec(), false);
        poll_fn(|cx| match pending.poll_flush(&mut self.stream, cx) {
            Poll::Pending if self.deadline.is_over(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            flushed => flushed,
        })
        .await
    }
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::Ipv4Addr, time::Instant};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        task::LocalSet,
    };

    use super::*;
    use crate::{
        name::Number,
        ring::{Member, Ring, Spec, Weight},
        table::{Replica, Snapshot, Table},
    };

    /// What a replica answers to a head, and whether it closes then.
    type Script = fn(&str) -> (String, bool);

    /// Replicas that follow a script. Those below this number are down.
    struct Stage {
        script: Script,
        down: u16,
        connects: Cell<usize>,
    }

    impl Network for Stage {
        type Stream = UnixStream;

        async fn connect(&self, address: SocketAddr) -> io::Result<UnixStream> {
            if address.port() < self.down {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            self.connects.set(self.connects.get() + 1);
            let (near, far) = UnixStream::pair()?;
            tokio::task::spawn_local(replica(far, self.script));
            Ok(near)
        }
    }

    async fn replica(mut stream: UnixStream, script: Script) {
        let (mut came, mut input) = (String::new(), [0; 4096]);
        while let Ok(read @ 1..) = stream.read(&mut input).await {
            came += std::str::from_utf8(&input[..read]).unwrap();
            let Some(end) = came.find("\r\n\r\n") else { continue };
            let (answer, closes) = script(&came[..end + 4]);
            came.clear();
            if stream.write_all(answer.as_bytes()).await.is_err() || closes {
                break;
            }
        }
    }

    /// What a client gets that sends this and then nothing more, in connections one after the other, and how many
    /// connections to replicas that took. There are two replicas.
    fn carried(script: Script, down: u16, sent: &[&str]) -> (String, usize) {
        let replicas = (1..=2).map(|number| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
            let name = format!("Server-{number}").parse().unwrap();
            let instance = InstanceId::from_bits(number.into());
            Some(Arc::new(Replica::new(name, Number::new(number).unwrap(), instance, address)))
        });
        let members =
            [1, 2].map(|number| Member { number: Number::new(number).unwrap(), weight: Weight::ONE });
        let ring = Arc::new(Ring::build(&members, &Spec::assignment()).unwrap());
        let snapshot = Snapshot { default: Table::new(ring, replicas.collect()) };
        let thread = Thread {
            network: Stage { script, down, connects: Cell::default() },
            published: Arc::new(Published::new(snapshot, 1)),
            idle: Idle::default(),
            deadlines: Deadlines::new(Instant::now()),
            buffers: RefCell::default(),
            limits: Limits::default(),
            id: |_| 7,
            client_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(10),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let work = async {
            let mut got = String::new();
            for sent in sent {
                let (mut client, near) = UnixStream::pair().unwrap();
                client.write_all(sent.as_bytes()).await.unwrap();
                client.shutdown().await.unwrap();
                let peer = "192.0.2.7:1".parse().unwrap();
                let (_, read) = tokio::join!(serve(&thread, near, peer), client.read_to_string(&mut got));
                read.unwrap();
            }
            got
        };
        let got = LocalSet::new().block_on(&runtime, work);
        (got, thread.network.connects.get())
    }

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

    fn ok(head: &str) -> (String, bool) {
        let line = head.lines().next().unwrap();
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len()), false)
    }

    #[test]
    fn requests_go_one_after_the_other_over_one_connection() {
        let post = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let (got, connects) = carried(ok, 0, &[&[GET, post, GET].concat(), GET]);
        let each = |line: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
        let (get, post) = (each("GET /a HTTP/1.1"), each("POST /b HTTP/1.1"));
        assert_eq!(got, [&get[..], &post, &get, &get].concat());
        assert_eq!(connects, 1);
    }

    #[test]
    fn a_connection_that_the_replica_closed_is_not_used_again() {
        let (got, connects) = carried(|head| (ok(head).0, true), 0, &[GET, GET, &[GET, GET].concat()]);
        assert_eq!(got.matches("200 OK").count(), 4);
        assert_eq!(connects, 4);
    }

    #[test]
    fn a_replica_that_is_down_is_passed_over() {
        let (got, connects) = carried(ok, 2, &[GET]);
        assert!(got.starts_with("HTTP/1.1 200 OK") && connects == 1, "{got}");
        let (got, _) = carried(ok, 3, &[GET]);
        assert!(
            got.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && got.contains("Retry-After: 1"),
            "{got}"
        );
    }

    #[test]
    fn nonsense_is_refused_on_both_sides() {
        let (got, _) = carried(|_| ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n".into(), false), 0, &[GET]);
        assert!(got.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{got}");
        let (got, connects) = carried(ok, 0, &["GET /a HTTP/1.1\r\n\r\n"]);
        assert!(
            got.starts_with("HTTP/1.1 400 Bad Request\r\n") && got.contains("Connection: close"),
            "{got}"
        );
        assert_eq!(connects, 0);
    }

    #[test]
    fn interim_responses_and_chunks_reach_whom_can_take_them() {
        let script: Script = |_| {
            let interim = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
            let chunks =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n";
            (format!("{interim}{chunks}"), false)
        };
        assert_eq!(carried(script, 0, &[GET]).0, script("").0);
        let old = carried(script, 0, &["GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"]).0;
        assert_eq!(old, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    }

    #[test]
    fn another_protocol_goes_both_ways() {
        let script: Script = |head| match head.contains("Upgrade: echo") {
            true => ("HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly".into(), false),
            false => (format!("got {head}"), false),
        };
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        let switched = "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        let (got, _) = carried(script, 0, &[&[upgrade, "ping\r\n\r\n"].concat()]);
        assert_eq!(got, format!("{switched}earlygot ping\r\n\r\n"));
    }
}
