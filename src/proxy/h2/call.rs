//! One request to a replica that speaks HTTP/2, and its response: to the forwarder, a connection of HTTP/1.1.

use std::{
    cell::Cell,
    error::Error,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use hyper::body::{Body, Frame, Incoming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    task::AbortHandle,
    time::timeout,
};

use super::{PIPE, head, links::Sender, reading::Reading, writing::Writing};
use crate::proxy::framing::{Limits, Progress, Request, Scratch};

/// How long a replica may take to end a response that is whole.
const END: Duration = Duration::from_secs(10);

/// A request's way to a replica. When it is dropped before the response is whole, the stream is reset.
#[derive(Debug)]
pub(in crate::proxy) struct Call {
    pipe: DuplexStream,
    fate: Rc<Cell<Fate>>,
    task: AbortHandle,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is under way.
    Open,
    /// The replica did nothing of it.
    Refused,
    /// Its response is whole.
    Done,
}

/// The body of a request, as it comes from the forwarder.
pub(super) struct Upload {
    reading: Reading,
    pipe: ReadHalf<DuplexStream>,
}

impl Call {
    /// A request over this connection, which it is counted on while it lasts.
    pub(super) fn new(sender: Sender, counted: Rc<()>, limits: Limits) -> Self {
        let (pipe, far) = duplex(PIPE);
        let fate = Rc::new(Cell::new(Fate::Open));
        let told = fate.clone();
        let task = tokio::task::spawn_local(async move {
            carry(sender, far, &limits, &told).await;
            drop(counted);
        });
        Call { pipe, fate, task: task.abort_handle() }
    }

    /// The connection of HTTP/1.1.
    pub(in crate::proxy) fn pipe(&mut self) -> &mut DuplexStream {
        &mut self.pipe
    }

    /// Whether the replica certainly did nothing of the request. Said when the pipe has ended.
    pub(in crate::proxy) fn is_refused(&self) -> bool {
        self.fate.get() == Fate::Refused
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.fate.get() != Fate::Done {
            self.task.abort();
        }
    }
}

/// Passes a request on, and its response back. Whatever is wrong is the end of the pipe.
async fn carry(mut sender: Sender, pipe: DuplexStream, limits: &Limits, fate: &Cell<Fate>) {
    let (read, mut write) = split(pipe);
    if let Some((request, is_head)) = request(read, limits).await {
        match sender.try_send_request(request).await {
            Ok(response) => pass_on(response, is_head, &mut write, fate).await,
            Err(error) => {
                let is_unsent = error.message().is_some();
                if is_unsent || is_refusal(&error.into_error()) {
                    fate.set(Fate::Refused);
                }
            }
        }
    }
    let _nobody_may_listen = write.shutdown().await;
}

/// Reads a request's head, and says whether it is HEAD.
async fn request(mut pipe: ReadHalf<DuplexStream>, limits: &Limits) -> Option<(http::Request<Upload>, bool)> {
    let (mut came, mut progress) = (Vec::with_capacity(1024), Progress::default());
    while pipe.read_buf(&mut came).await.ok()? > 0 {
        let mut fields = Scratch::default();
        let Some(request) = Request::parse(&came, &mut progress, limits, &mut fields).ok()? else { continue };
        let (head, is_head, framing) = (head::request(&request)?, request.method == "HEAD", request.framing);
        let len = request.len;
        came.drain(..len);
        let reading = Reading::new(framing, came, Reason::CANCEL);
        return Some((head.map(|()| Upload { reading, pipe }), is_head));
    }
    None
}

async fn pass_on(
    response: http::Response<Incoming>,
    is_head: bool,
    pipe: &mut WriteHalf<DuplexStream>,
    fate: &Cell<Fate>,
) {
    let (parts, body) = response.into_parts();
    let mut head = Vec::with_capacity(1024);
    let framing = head::write_response(&mut head, &parts, body.is_end_stream(), is_head);
    let mut writing = Writing::new(&head, framing, body);
    let is_whole = poll_fn(|cx| match writing.poll(cx, pipe) {
        Poll::Pending if !writing.is_whole() => Poll::Pending,
        _ => Poll::Ready(writing.is_whole()),
    });
    if is_whole.await {
        fate.set(Fate::Done);
        let _else_it_is_reset = timeout(END, poll_fn(|cx| writing.poll(cx, pipe))).await;
    }
}

/// Whether a replica says by this that it did nothing of the request (RFC 9113, section 8.7).
fn is_refusal(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
    })
}

impl Body for Upload {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Upload { reading, pipe } = self.get_mut();
        reading.poll_frame(cx, pipe, || false)
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_ended()
    }
}
