//! The same messages to hyper and to us: what we accept, hyper reads the same way.
//! `PROPTEST_CASES=1000000` is the long form.

use std::{cell::RefCell, convert::Infallible, rc::Rc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request as HyperRequest, Response as HyperResponse, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{tests::Draw, *};

/// A message as either side read it.
#[derive(Clone, Debug, PartialEq)]
struct Read {
    /// Method and target, or the status.
    line: String,
    content: Vec<u8>,
    /// The names and values of the fields that we pass on.
    fields: Vec<(String, Vec<u8>)>,
}

/// What follows each message; whoever reads it as a request of its own has found the message's end.
const SENTINEL: &str = "GET /sentinel HTTP/1.1\r\nHost: a\r\n\r\n";

/// More bytes than any message here.
const PIPE: usize = 1024 * 1024;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let late = async { timeout(Duration::from_secs(20), work).await.expect("hyper comes to an end") };
    tokio::task::LocalSet::new().block_on(&runtime, late)
}

/// Those among hyper's fields that we pass on by the same name and in the same order, sorted: hyper keeps no order.
fn sorted(fields: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = fields.collect();
    fields.sort();
    fields
}

fn of_hyper(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    sorted(headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_owned())))
}

fn of_ours(fields: &Fields<'_>) -> Vec<(String, Vec<u8>)> {
    let lower = |name: &[u8]| String::from_utf8(name.to_ascii_lowercase()).unwrap();
    sorted(fields.iter().map(|(name, value, _)| (lower(name), value.to_owned())))
}

/// The requests that hyper finds in these bytes, until it finds something wrong.
fn requests_of_hyper(bytes: &[u8]) -> Vec<Read> {
    let found = Rc::new(RefCell::new(Vec::new()));
    let notes = found.clone();
    let service = service_fn(move |request: HyperRequest<Incoming>| {
        let notes = notes.clone();
        async move {
            let (head, body) = request.into_parts();
            let path = head.uri.path_and_query().map_or("", |path| path.as_str());
            let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
            if let Ok(body) = body.collect().await {
                let line = format!("{} {path}", head.method);
                let content = body.to_bytes().to_vec();
                notes.borrow_mut().push(Read { line, content, fields: of_hyper(&head.headers) });
            }
            Ok::<_, Infallible>(HyperResponse::new(Empty::<Bytes>::new()))
        }
    });
    block_on(async {
        let (near, mut far) = tokio::io::duplex(PIPE);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let mut builder = hyper::server::conn::http1::Builder::new();
        let _how_it_ended =
            builder.half_close(true).max_headers(128).serve_connection(TokioIo::new(near), service).await;
    });
    found.take()
}

/// The requests that we find in these bytes, until we find something wrong.
fn requests_of_ours(mut bytes: &[u8]) -> Vec<Read> {
    let mut found = Vec::new();
    let mut scratch = Scratch::default();
    while let Ok(Some(it)) = Request::parse(bytes, &mut Progress::default(), &Limits::default(), &mut scratch)
    {
        let mut content = Vec::new();
        let fed = Body::new(it.framing).feed_with(&bytes[it.len..], |data| content.extend_from_slice(data));
        let Ok(Fed { taken, ended: true }) = fed else { break };
        let mut line = format!("{} ", it.method).into_bytes();
        match it.target {
            // of a URL without a path hyper says `/` even to OPTIONS
            Target { authority: Some(_), path: "*", .. } => line.push(b'/'),
            target => target.write(&mut line),
        }
        found.push(Read { line: String::from_utf8(line).unwrap(), content, fields: of_ours(&it.fields) });
        bytes = &bytes[it.len + taken..];
        if !it.keep_alive {
            break;
        }
    }
    found
}

/// The response that hyper finds in these bytes, which are followed by the end of the connection.
fn response_of_hyper(bytes: &[u8], is_head: bool) -> Option<Read> {
    block_on(async {
        let (near, mut far) = tokio::io::duplex(PIPE);
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_headers(128);
        let (mut sender, connection) = builder.handshake(TokioIo::new(near)).await.unwrap();
        tokio::task::spawn_local(connection);
        let method = if is_head { "HEAD" } else { "GET" };
        let request = HyperRequest::builder().method(method).uri("/").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request);
        let write = async {
            // a response before its request is none
            let mut first = [0; 1];
            tokio::io::AsyncReadExt::read_exact(&mut far, &mut first).await.unwrap();
            let _may_be_closed = far.write_all(bytes).await;
            let _may_be_closed = far.shutdown().await;
        };
        let (answer, ()) = tokio::join!(answer, write);
        let (head, body) = answer.ok()?.into_parts();
        let content = body.collect().await.ok()?.to_bytes().to_vec();
        Some(Read { line: head.status.as_str().to_owned(), content, fields: of_hyper(&head.headers) })
    })
}

/// The response that we find there, interim ones passed over.
fn response_of_ours(mut bytes: &[u8], is_head: bool) -> Option<Read> {
    let asked = Asked { is_head, upgrades: false };
    let mut scratch = Scratch::default();
    loop {
        let parsed =
            Response::parse(bytes, asked, &mut Progress::default(), &Limits::default(), &mut scratch);
        let it = parsed.ok()??;
        bytes = &bytes[it.len..];
        if it.is_interim() {
            continue;
        }
        let mut content = Vec::new();
        let mut body = Body::new(it.framing);
        body.feed_with(bytes, |data| content.extend_from_slice(data)).ok()?;
        body.close().ok()?;
        return Some(Read { line: format!("{:03}", it.status), content, fields: of_ours(&it.fields) });
    }
}

/// Checks that what we read in `bytes` hyper reads, too. Returns how many requests that were.
fn compare(bytes: &[u8]) -> Result<usize, TestCaseError> {
    let (ours, theirs) = (requests_of_ours(bytes), requests_of_hyper(bytes));
    let text = String::from_utf8_lossy(bytes);
    prop_assert!(
        ours.len() <= theirs.len(),
        "hyper refuses or awaits more of: {text:?}\n{ours:#?}\n{theirs:#?}"
    );
    for (our, their) in ours.iter().zip(&theirs) {
        prop_assert_eq!(our, their, "{:?}", text);
    }
    Ok(ours.len())
}

proptest! {
    #[test]
    fn a_request_that_is_accepted_is_what_hyper_reads(seed: u64) {
        let mut draw = Draw::new(seed);
        let mut bytes = draw.request();
        while draw.chance(4) {
            bytes.extend(draw.request());
        }
        bytes.extend_from_slice(SENTINEL.as_bytes());
        compare(&bytes)?;
    }

    #[test]
    fn a_response_that_is_accepted_is_what_hyper_reads(seed: u64, is_head: bool) {
        let bytes = Draw::new(seed).response();
        if let Some(ours) = response_of_ours(&bytes, is_head) {
            let theirs = response_of_hyper(&bytes, is_head);
            prop_assert_eq!(Some(ours), theirs, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn the_comparison_compares() {
    let good = "POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
    assert_eq!(compare(format!("{good}{SENTINEL}").as_bytes()).unwrap(), 2);
    let drawn = 300;
    let accepted =
        (0..drawn).filter(|seed| !requests_of_ours(&Draw::new(*seed).request()).is_empty()).count();
    assert!(accepted > drawn as usize / 8, "{accepted}");
    let accepted =
        (0..drawn).filter(|seed| response_of_ours(&Draw::new(*seed).response(), false).is_some()).count();
    assert!(accepted > drawn as usize / 8, "{accepted}");
}

#[test]
fn every_byte_of_good_messages_may_be_any_other() {
    let good = "POST /a HTTP/1.1\r\nHost: a\r\nConnection: b\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\nA: b\r\n\r\n";
    let bytes = format!("{good}{SENTINEL}").into_bytes();
    for at in 0..good.len() {
        for byte in b"\0\t\n\r 05:;,Aa\x7f\xff" {
            let mut changed = bytes.clone();
            changed[at] = *byte;
            compare(&changed).unwrap();
        }
        let mut shorter = bytes.clone();
        shorter.remove(at);
        compare(&shorter).unwrap();
    }
}
