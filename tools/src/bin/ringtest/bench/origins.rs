//! `ringtest origins`: what stands behind the subjects. Servers that answer as fast as one thread can: `/small` with the
//! sample replica's greeting, `/large` with 64 KiB, and any request only when its body has come whole. Those that speak
//! HTTP/2 alone answer with the greeting, and calls of gRPC with a message.

use std::{convert::Infallible, io, rc::Rc};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ringkeeper_tools::grpc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinSet, LocalSet},
};

use super::listen;

/// The length of the large answer's body.
const LARGE: usize = 64 << 10;

/// What is read at a time; no head is longer.
const BUFFER: usize = 64 << 10;

/// No head has more fields.
const MOST_FIELDS: usize = 64;

/// Answer requests with a greeting, or with 64 KiB
#[derive(clap::Args, Clone, Debug)]
pub struct OriginsArgs {
    /// How many, each on a port of its own
    #[arg(value_name = "N", default_value_t = 3)]
    count: usize,

    /// Speak HTTP/2 alone, also with gRPC
    #[arg(long)]
    http2: bool,
}

/// One origin's answers, heads and bodies.
struct Answers {
    greeting: Bytes,
    small: Vec<u8>,
    large: Vec<u8>,
}

/// Serves until it is killed.
pub async fn run(args: OriginsArgs) -> anyhow::Result<bool> {
    let listeners: Vec<TcpListener> =
        (0..args.count).map(|_| listen::here()).collect::<anyhow::Result<_>>()?;
    listen::say(&listeners.iter().collect::<Vec<_>>())?;
    let local = LocalSet::new();
    let mut serving = JoinSet::new();
    for (listener, number) in listeners.into_iter().zip(1..) {
        serving.spawn_local_on(accept(listener, Rc::new(Answers::of(number)), args.http2), &local);
    }
    match local.run_until(serving.join_next()).await {
        Some(ended) => ended?.map(|()| true),
        None => Ok(true),
    }
}

async fn accept(listener: TcpListener, answers: Rc<Answers>, http2: bool) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        stream.set_nodelay(true)?;
        match http2 {
            true => drop(tokio::task::spawn_local(serve_http2(stream, answers.greeting.clone()))),
            false => drop(tokio::task::spawn_local(serve(stream, answers.clone()))),
        }
    }
}

/// All requests of one connection.
async fn serve_http2(stream: TcpStream, greeting: Bytes) -> hyper::Result<()> {
    let service = service_fn(|request| answer(request, greeting.clone()));
    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
}

async fn answer(
    request: Request<Incoming>,
    greeting: Bytes,
) -> hyper::Result<Response<BoxBody<Bytes, Infallible>>> {
    let calls = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == grpc::CONTENT_TYPE);
    request.into_body().collect().await?;
    if !calls {
        return Ok(Response::new(Full::from(greeting).boxed()));
    }
    let trailers =
        HeaderMap::from_iter([(grpc::STATUS.parse().expect("a name"), HeaderValue::from_static("0"))]);
    let message = Full::from(grpc::message(&greeting)).with_trailers(async move { Some(Ok(trailers)) });
    let mut answer = Response::new(message.boxed());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    Ok(answer)
}

/// Request after request of one connection.
async fn serve(mut stream: TcpStream, answers: Rc<Answers>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let Some(head) = Head::read(&buffer[..filled])? else {
            if filled == buffer.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                length => filled += length,
            }
            continue;
        };
        buffer.copy_within(head.length..filled, 0);
        filled -= head.length;
        let mut left = head.body;
        while left > filled {
            left -= filled;
            filled = stream.read(&mut buffer).await?;
            if filled == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        buffer.copy_within(left..filled, 0);
        filled -= left;
        stream.write_all(if head.large { &answers.large } else { &answers.small }).await?;
        if !head.keeps {
            return stream.shutdown().await;
        }
    }
}

impl Answers {
    fn of(number: usize) -> Self {
        let whole = |kind: &str, body: &[u8]| {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nserver: origin\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
            );
            [head.as_bytes(), body].concat()
        };
        let greeting = format!(r#"{{"message":"Hello from Server: {number}","status":"successful"}}"#);
        let mut large = greeting.clone().into_bytes();
        large.resize(LARGE, b' ');
        Answers {
            greeting: greeting.clone().into(),
            small: whole("application/json", greeting.as_bytes()),
            large: whole("application/json", &large),
        }
    }
}

/// What matters of a request's head.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Its own length in bytes.
    pub length: usize,
    body: usize,
    large: bool,
    keeps: bool,
}

impl Head {
    /// `None` while it is not whole. A body whose length is not said is refused.
    pub fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes).map_err(|_| malformed())? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let large = request.path.is_some_and(|path| path.starts_with("/large"));
        let mut head = Head { length, body: 0, large, keeps: request.version == Some(1) };
        for field in request.headers.iter() {
            let value = std::str::from_utf8(field.value).map_err(|_| malformed())?;
            match field.name {
                name if name.eq_ignore_ascii_case("content-length") => {
                    head.body = value.trim().parse().map_err(|_| malformed())?;
                }
                name if name.eq_ignore_ascii_case("transfer-encoding") => return Err(malformed()),
                name if name.eq_ignore_ascii_case("connection") => {
                    head.keeps &= !value.eq_ignore_ascii_case("close");
                }
                _ => {}
            }
        }
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read_from_a_head() {
        let text =
            "POST /large?request_id=1 HTTP/1.1\r\nhost: h\r\nContent-Length: 7\r\nConnection: close\r\n\r\n";
        let expected = Head { length: text.len(), body: 7, large: true, keeps: false };
        assert_eq!(Head::read(text.as_bytes()).expect("sound"), Some(expected));
        assert_eq!(Head::read(&text.as_bytes()[..20]).expect("sound so far"), None);
        assert!(Head::read(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
