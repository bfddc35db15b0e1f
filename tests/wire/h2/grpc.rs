//! gRPC through the balancer: tonic on both sides, without generated code.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle, time::timeout};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service, tokio_stream::wrappers::ReceiverStream},
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};

use crate::support::{Balancer, Deployment, PATIENCE, until};

/// Messages that are texts.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        Text
    }

    fn decoder(&mut self) -> Text {
        Text
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(String::from_utf8(bytes.into()).expect("text")))
    }
}

type Replies = mpsc::Receiver<Result<String, Status>>;

/// A service that does what the first message says: `echo` every message, `count` to five, tell how many there were at the
/// `end`, `fail`, or `hang`.
#[derive(Clone, Default)]
struct Talk {
    /// Calls whose client left.
    left: Arc<AtomicUsize>,
}

impl NamedService for Talk {
    const NAME: &'static str = "test.Talk";
}

impl Service<http::Request<Body>> for Talk {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let talk = self.clone();
        Box::pin(async move { Ok(tonic::server::Grpc::new(Text).streaming(talk, request).await) })
    }
}

impl Service<Request<Streaming<String>>> for Talk {
    type Response = Response<ReceiverStream<Result<String, Status>>>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<String>>) -> Self::Future {
        let left = self.left.clone();
        Box::pin(async move {
            let mut messages = request.into_inner();
            let first = messages.message().await?.unwrap_or_default();
            match &*first {
                "fail" => return Err(Status::failed_precondition("100 % \u{e4}")),
                "late" => std::future::pending().await,
                _ => {}
            }
            let (tell, replies): (_, Replies) = mpsc::channel(1);
            tokio::spawn(async move {
                if talk(&first, &mut messages, &tell).await.is_none() {
                    left.fetch_add(1, SeqCst);
                }
            });
            Ok(Response::new(ReceiverStream::new(replies)))
        })
    }
}

/// `None` where the client left.
async fn talk(
    first: &str,
    messages: &mut Streaming<String>,
    tell: &mpsc::Sender<Result<String, Status>>,
) -> Option<()> {
    match first {
        "echo" => {
            tell.send(Ok("echo".into())).await.ok()?;
            while let Some(message) = messages.message().await.ok()? {
                tell.send(Ok(message)).await.ok()?;
            }
        }
        "count" => {
            for number in 1..=5 {
                tell.send(Ok(number.to_string())).await.ok()?;
                // the next is not sent before the client has said that it has this one
                messages.message().await.ok()?;
            }
        }
        "end" => {
            let mut count = 1;
            while messages.message().await.ok()?.is_some() {
                count += 1;
            }
            tell.send(Ok(count.to_string())).await.ok()?;
        }
        _ => {
            tell.closed().await;
            return None;
        }
    }
    Some(())
}

/// A replica, and the service in it.
struct Replica {
    address: SocketAddr,
    talk: Talk,
    server: JoinHandle<()>,
}

impl Replica {
    fn start() -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let (address, talk) = (incoming.local_addr().expect("bound"), Talk::default());
        let service = talk.clone();
        let server = tokio::spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(incoming).await.expect("it serves");
        });
        Replica { address, talk, server }
    }

    async fn balancer(&self, deployment: &Deployment, settings: &[&str]) -> Balancer {
        let address = self.address.to_string();
        let own = ["--upstream", &address, "--probe", "tcp", "--protocol", "h2c", "--control-paths", "off"];
        deployment.start(&[&own[..], settings].concat()).await
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A connection to the balancer.
#[derive(Clone)]
struct Channel(http2::SendRequest<Body>);

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<http::Response<Incoming>, hyper::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

type Client = tonic::client::Grpc<Channel>;

async fn client(balancer: &Balancer) -> Client {
    let stream = TcpStream::connect(balancer.traffic).await.expect("the balancer accepts");
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    tonic::client::Grpc::with_origin(
        Channel(sender),
        format!("http://{}", balancer.traffic).parse().expect("a URL"),
    )
}

fn path() -> PathAndQuery {
    PathAndQuery::from_static("/test.Talk/Talk")
}

/// Has a call begin, and returns where its messages are put in, and where they come out.
async fn call(client: &mut Client, first: &str) -> Result<(mpsc::Sender<String>, Streaming<String>), Status> {
    let (say, messages) = mpsc::channel(1);
    say.send(first.to_owned()).await.expect("it is open");
    client.ready().await.expect("it is open");
    let request = Request::new(ReceiverStream::new(messages));
    let response = timeout(PATIENCE, client.streaming(request, path(), Text)).await.expect("in time")?;
    Ok((say, response.into_inner()))
}

async fn unary(client: &mut Client, request: Request<String>) -> Result<String, Status> {
    client.ready().await.expect("it is open");
    let answered = timeout(PATIENCE, client.unary(request, path(), Text)).await.expect("in time");
    answered.map(Response::into_inner)
}

async fn next(messages: &mut Streaming<String>) -> Option<String> {
    timeout(PATIENCE, messages.message()).await.expect("it comes in time").expect("a message or the end")
}

#[tokio::test]
async fn calls_are_answered_with_a_message_or_a_status() {
    let (replica, deployment) = (Replica::start(), Deployment::of_upstreams());
    let balancer = replica.balancer(&deployment, &[]).await;
    let mut client = client(&balancer).await;
    assert_eq!(unary(&mut client, Request::new("echo".into())).await.unwrap(), "echo");
    let status = unary(&mut client, Request::new("fail".into())).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "100 % \u{e4}"));
}

#[tokio::test]
async fn what_a_server_streams_comes_at_once() {
    let (replica, deployment) = (Replica::start(), Deployment::of_upstreams());
    let balancer = replica.balancer(&deployment, &[]).await;
    let mut client = client(&balancer).await;
    let (say, mut messages) = call(&mut client, "count").await.unwrap();
    for number in 1..=5 {
        assert_eq!(next(&mut messages).await, Some(number.to_string()));
        say.send("go on".into()).await.unwrap();
    }
    assert_eq!(next(&mut messages).await, None);
}

#[tokio::test]
async fn what_a_client_streams_is_answered_at_its_end() {
    let (replica, deployment) = (Replica::start(), Deployment::of_upstreams());
    let balancer = replica.balancer(&deployment, &[]).await;
    let mut client = client(&balancer).await;
    let (say, mut messages) = call(&mut client, "end").await.unwrap();
    for _ in 0..99 {
        say.send("x".repeat(10_000)).await.unwrap();
    }
    drop(say);
    assert_eq!(next(&mut messages).await, Some("100".into()));
    assert_eq!(next(&mut messages).await, None);
}

/// A call that pauses longer than a client of HTTP may, and than a response may take to begin.
#[tokio::test]
async fn both_sides_talk_and_pause_as_they_like() {
    let (replica, deployment) = (Replica::start(), Deployment::of_upstreams());
    let times = ["--body-timeout", "300ms", "--response-timeout", "300ms", "--idle-timeout", "300ms"];
    let balancer = replica.balancer(&deployment, &times).await;
    let mut client = client(&balancer).await;
    let (say, mut messages) = call(&mut client, "echo").await.unwrap();
    assert_eq!(next(&mut messages).await, Some("echo".into()));
    for pause in [0, 0, 1500, 0] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        say.send(pause.to_string()).await.unwrap();
        assert_eq!(next(&mut messages).await, Some(pause.to_string()));
    }
    drop(say);
    assert_eq!(next(&mut messages).await, None);
}

#[tokio::test]
async fn deadlines_hold_the_clients_at_the_server_and_ours_here() {
    let (replica, deployment) = (Replica::start(), Deployment::of_upstreams());
    let balancer = replica.balancer(&deployment, &["--response-timeout", "1s"]).await;
    let mut client = client(&balancer).await;
    let mut request = Request::new("late".to_owned());
    request.set_timeout(Duration::from_millis(200));
    let status = unary(&mut client, request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert!(!status.message().contains("did not answer"), "it is the server's: {status:?}");
    let status = unary(&mut client, Request::new("late".into())).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(status.message().contains("did not answer in time"), "{status:?}");
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_cancelled_at_the_server() {
    let (replica, deployment) = (Replica::start(), Deployment::of_upstreams());
    let balancer = replica.balancer(&deployment, &[]).await;
    let mut client = client(&balancer).await;
    let (say, messages) = call(&mut client, "hang").await.unwrap();
    drop((say, messages));
    until("the server sees it", async || replica.talk.left.load(SeqCst) == 1).await;
    assert_eq!(unary(&mut client, Request::new("echo".into())).await.unwrap(), "echo");
}

#[tokio::test]
async fn where_nobody_serves_a_call_is_unavailable() {
    let (replica, deployment) = (Replica::start(), Deployment::of_upstreams());
    let quick = ["--heartbeat-interval", "100ms", "--heartbeat-timeout", "200ms"];
    let balancer = replica.balancer(&deployment, &quick).await;
    let mut client = client(&balancer).await;
    assert_eq!(unary(&mut client, Request::new("echo".into())).await.unwrap(), "echo");
    let address = replica.address;
    drop(replica);
    until("nobody listens", async || TcpStream::connect(address).await.is_err()).await;
    let unavailable = async || {
        let status = unary(&mut client, Request::new("echo".into())).await;
        status.is_err_and(|status| {
            status.code() == Code::Unavailable && status.message().contains("No server replica is ready")
        })
    };
    until("it is told so", unavailable).await;
}
