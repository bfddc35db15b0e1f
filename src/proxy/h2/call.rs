//! One request to a replica that speaks HTTP/2, and its response: to the forwarder, a connection of HTTP/1.1. It goes on as
//! it is written to and read from, in the task of the exchange.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, client::ResponseFuture};
use hyper::body::{Body, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, sink},
    task::spawn_local,
    time::timeout,
};

use super::{PIPE, head, links::Sender, sending::Sending, traffic::Part, writing::Writing};
use crate::proxy::framing::{self, Framing, Limits, Progress, Refusal, Request, Scratch};

/// How long a replica may take to end a response that is whole.
const END: Duration = Duration::from_secs(10);

/// A request's way to a replica. When it is dropped before the response is whole, the stream is reset.
#[derive(Debug)]
pub(in crate::proxy) struct Call {
    stage: Stage,
    /// The request's body, from the end of its head to its own.
    body: Option<Sending>,
    is_refused: bool,
    limits: Limits,
    /// Where the fields of a head are, while it is read.
    fields: Rc<RefCell<Scratch>>,
    part: Part,
}

#[derive(Debug)]
enum Stage {
    /// The request's head has not come whole.
    Asking(Asking),
    /// The request is on its way, and nothing of the response has come. Whether it is HEAD.
    Asked(ResponseFuture, bool),
    Answering(Writing<Answer>),
    /// There is no response, or no more of it.
    Ended,
}

/// What has come of a request's head.
#[derive(Debug)]
struct Asking {
    sender: Sender,
    came: Vec<u8>,
    progress: Progress,
}

/// A request's head.
struct Head {
    request: http::Request<()>,
    is_head: bool,
    framing: Framing,
    /// Where the body begins.
    len: usize,
}

/// The body of a response.
#[derive(Debug)]
struct Answer(RecvStream);

/// What is read into, to be written to as far as it has room.
struct Room<'a, 'b>(&'a mut ReadBuf<'b>);

impl Call {
    /// A request over this connection, which it is a part of while it lasts.
    pub(super) fn new(sender: Sender, part: Part, limits: Limits, fields: Rc<RefCell<Scratch>>) -> Self {
        let stage = Stage::Asking(Asking { sender, came: Vec::new(), progress: Progress::default() });
        Call { stage, body: None, is_refused: false, limits, fields, part }
    }

    /// Whether the replica certainly did nothing of the request. Said when there is no response.
    pub(in crate::proxy) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Takes more of the request's head. When it is whole it goes on, with what came of the body.
    fn ask(&mut self, mut asking: Asking, bytes: &[u8]) -> Stage {
        if !asking.came.is_empty() {
            asking.came.extend_from_slice(bytes);
        }
        let came = if asking.came.is_empty() { bytes } else { &asking.came[..] };
        let found = read(came, &mut asking.progress, &self.limits, &mut self.fields.borrow_mut());
        match found {
            Ok(Some(head)) => {
                let rest = &came[head.len..];
                let body = framing::Body::new(head.framing);
                match asking.sender.send_request(head.request, body.is_ended()) {
                    Ok((response, stream)) => {
                        let mut sending = Sending::new(stream, body);
                        let goes_on = !body.is_ended() && sending.take(rest).is_ok();
                        self.body = Some(sending).filter(|sending| goes_on && !sending.is_ended());
                        Stage::Asked(response, head.is_head)
                    }
                    Err(error) => {
                        // the connection's, over which nothing of this went
                        self.is_refused = error.is_go_away() || error.is_io();
                        Stage::Ended
                    }
                }
            }
            Ok(None) => {
                if asking.came.is_empty() {
                    asking.came.extend_from_slice(bytes);
                }
                Stage::Asking(asking)
            }
            Err(_) => Stage::Ended,
        }
    }
}

impl AsyncWrite for Call {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let call = self.get_mut();
        if matches!(call.stage, Stage::Asking(_))
            && let Stage::Asking(asking) = std::mem::replace(&mut call.stage, Stage::Ended)
        {
            let taken = bytes.len().min(PIPE);
            call.stage = call.ask(asking, &bytes[..taken]);
            return Poll::Ready(Ok(taken));
        }
        let Some(body) = &mut call.body else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let taken = ready!(body.poll_take(cx, bytes))?;
        if body.is_ended() {
            call.body = None;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // it keeps nothing
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // its head says where a request ends
    }
}

impl AsyncRead for Call {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let call = self.get_mut();
        if let Stage::Asked(response, is_head) = &mut call.stage {
            let is_head = *is_head;
            let response = ready!(Pin::new(response).poll(cx));
            call.part.hear();
            call.stage = match response {
                Ok(response) => Stage::Answering(answering(response, is_head)),
                Err(error) => {
                    call.is_refused = is_refusal(&error);
                    Stage::Ended
                }
            };
        }
        match &mut call.stage {
            Stage::Asking(_) | Stage::Asked(..) => Poll::Pending, // who reads writes the rest of the head first
            Stage::Ended => Poll::Ready(Ok(())),
            Stage::Answering(writing) => {
                let filled = buffer.filled().len();
                let written = writing.poll(cx, &mut Room(buffer));
                if buffer.filled().len() > filled {
                    call.part.hear();
                } else if written.is_pending() {
                    return Poll::Pending;
                }
                if matches!(written, Poll::Ready(Err(_))) {
                    call.stage = Stage::Ended;
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Room<'_, '_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = &mut *self.get_mut().0;
        match bytes.len().min(room.remaining()) {
            0 => Poll::Pending, // who reads comes again for the rest
            taken => {
                room.put_slice(&bytes[..taken]);
                Poll::Ready(Ok(taken))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if let Stage::Answering(mut writing) = stage
            && writing.is_whole()
            && !writing.is_ended()
        {
            let part = self.part.another();
            spawn_local(async move {
                let _else_it_is_reset = timeout(END, poll_fn(|cx| writing.poll(cx, &mut sink()))).await;
                drop(part);
            });
        }
    }
}

/// The head at the beginning of this; `None` if it is not whole.
fn read(
    came: &[u8],
    progress: &mut Progress,
    limits: &Limits,
    fields: &mut Scratch,
) -> Result<Option<Head>, Refusal> {
    let Some(request) = Request::parse(came, progress, limits, fields)? else { return Ok(None) };
    let (is_head, framing, len) = (request.method == "HEAD", request.framing, request.len);
    let request = head::request(&request).ok_or(Refusal::Target)?;
    Ok(Some(Head { request, is_head, framing, len }))
}

/// A response, as HTTP/1.1 has it.
fn answering(response: http::Response<RecvStream>, is_head: bool) -> Writing<Answer> {
    let (parts, stream) = response.into_parts();
    let body = Answer(stream);
    let mut head = Vec::with_capacity(1024);
    let framing = head::write_response(&mut head, &parts, body.is_end_stream(), is_head);
    Writing::new(head, framing, body)
}

/// Whether a replica says by this that it did nothing of the request (RFC 9113, section 8.7).
fn is_refusal(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
}

impl Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.get_mut().0;
        let error = match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                let _it_was_taken_from_there = stream.flow_control().release_capacity(data.len());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Err(error)) => error,
            None => match ready!(stream.poll_trailers(cx)) {
                Ok(trailers) => return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                Err(error) => error,
            },
        };
        // one that wants no more of the request says so after its response (RFC 9113, section 8.1)
        let is_done = error.is_reset() && error.reason() == Some(Reason::NO_ERROR);
        Poll::Ready((!is_done).then_some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
