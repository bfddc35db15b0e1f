//! A replica that shows what reaches it. This very test binary, started again by the balancer.
//!
//! `/echo` sends the request's body back as it comes; `/seen` tells the server's number, the client's port and the
//! request's header; `/hops` has a header full of fields for one connection; `/deaf` closes the listener and every connection;
//! `/break` ends the connection instead of answering; `/die` ends the process; `/freeze` stops it.

use std::{net::SocketAddr, process::exit, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

type Reply = Response<Either<Incoming, Full<Bytes>>>;

/// The exit code of one that was told to die.
pub const DIED: i32 = 7;

/// The `--command` that starts one.
pub fn command() -> String {
    command_of("replica")
}

/// The `--command` that starts what this test of the binary is.
pub fn command_of(test: &str) -> String {
    let this = std::env::current_exe().expect("a test binary");
    format!("'{}' {test} --exact --ignored --nocapture", this.display())
}

/// Serves at `$BIND:$PORT` for ever. Returns at once where nobody says which replica this is.
pub fn serve() {
    let setting = |name| std::env::var(name).ok();
    let (Some(bind), Some(port), Some(server)) = (setting("BIND"), setting("PORT"), setting("SERVER_ID"))
    else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(listen(format!("{bind}:{port}").parse().expect("an address"), server.into()));
}

async fn listen(address: SocketAddr, server: Arc<str>) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let (deaf, mut deafened) = watch::channel(false);
    let deaf = Arc::new(deaf);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, peer) = accepted.expect("a connection");
                tokio::spawn(attend(stream, peer, server.clone(), deaf.clone()));
            }
            _ = deafened.changed() => break,
        }
    }
    drop(listener);
    std::future::pending().await
}

async fn attend(stream: TcpStream, peer: SocketAddr, server: Arc<str>, deaf: Arc<watch::Sender<bool>>) {
    let mut deafened = deaf.subscribe();
    let service = service_fn(move |request| answer(request, peer, server.clone(), deaf.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _broken_or_not = &mut connection => return,
        _ = deafened.wait_for(|deaf| *deaf) => connection.as_mut().graceful_shutdown(),
    }
    let _broken_or_not = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    server: Arc<str>,
    deaf: Arc<watch::Sender<bool>>,
) -> Result<Reply, std::io::Error> {
    let text = |text: String| Response::new(Either::Right(Full::from(text)));
    Ok(match request.uri().path() {
        "/echo" => Response::new(Either::Left(request.into_body())),
        "/seen" => text(seen(&request, peer, &server)),
        "/hops" => {
            let mut reply = text("hops".into());
            for (name, value) in [
                ("connection", "x-for-one-hop, keep-alive"),
                ("x-for-one-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("upgrade", "h2c"),
                ("x-for-all", "2"),
            ] {
                reply.headers_mut().append(name, value.parse().expect("a value"));
            }
            reply
        }
        "/deaf" => {
            deaf.send_replace(true);
            text("deaf from now on".into())
        }
        "/break" => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        "/die" => exit(DIED),
        "/freeze" => {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::STOP).expect("delivered");
            text("thawed".into())
        }
        _ => text(String::new()),
    })
}

fn seen(request: &Request<Incoming>, peer: SocketAddr, server: &str) -> String {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), value.to_str().expect("text")]))
        .collect();
    let uri = request.uri().to_string();
    json!({ "server": server, "port": peer.port(), "method": request.method().as_str(), "uri": uri, "headers": headers })
        .to_string()
}
