//! One stream of a client: its request, served as one of HTTP/1.1, and the response.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::Reason;
use http::{Method, Response};
use hyper::body::{Body, Frame, Incoming};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::Open,
    head, inner_limits,
    pipe::{End, pipe},
    reading::Reading,
    writing::{Cut, Writing},
};
use crate::{
    caller::Caller,
    proxy::{
        forward::{self, Downstream},
        framing::{self, Asked, Introduction, Progress},
        thread::Core,
    },
};

/// What is read of a response at once until its head is whole.
const READ: usize = 4 * 1024;

/// A stream as the forwarder sees it: a connection with one request.
struct Pipe {
    end: End,
    is_grpc: bool,
}

impl Downstream for Pipe {
    fn break_off(&self) {
        self.end.break_off();
    }

    fn is_broken(&self) -> bool {
        false // a stream that its client resets takes its exchange along
    }

    fn poll_heard(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    fn go_on_in_http2(
        self,
        _: Rc<Core>,
        _: Vec<u8>,
        _: Caller,
        _: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        unreachable!("what is written to it says that it is HTTP/1.1")
    }
}

/// An exchange under way. When it is dropped, whatever is under way for it ends.
struct Exchange {
    core: Rc<Core>,
    asked: Asked,
    /// The request, until all of it is on its way.
    request: Option<Writing<Incoming>>,
    /// The forwarder, until it is done.
    forwarder: Option<Pin<Box<dyn Future<Output = ()>>>>,
    pipe: End,
    _open: Open,
}

/// The body of a response, which moves the exchange on as it is taken.
pub(super) struct Download {
    exchange: Exchange,
    reading: Reading,
}

/// Has a request answered.
pub(super) async fn answer(
    core: Rc<Core>,
    request: http::Request<Incoming>,
    introduction: Rc<Introduction>,
    listen: SocketAddr,
    open: Open,
) -> Result<Response<Download>, h2::Error> {
    let mut exchange = Exchange::new(core, request, introduction, listen, open);
    let (mut came, mut progress) = (Vec::new(), Progress::default());
    let (head, reading) = poll_fn(|cx| exchange.poll_head(cx, &mut came, &mut progress)).await?;
    Ok(head.map(|()| Download { exchange, reading }))
}

impl Exchange {
    fn new(
        core: Rc<Core>,
        request: http::Request<Incoming>,
        introduction: Rc<Introduction>,
        listen: SocketAddr,
        open: Open,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let mut head = Vec::with_capacity(1024);
        let framing = head::write_request(&mut head, &parts, body.is_end_stream());
        let (pipe, far) = pipe();
        let far = Pipe { end: far, is_grpc: head::is_grpc(&parts.headers) };
        let forwarder = Box::pin(forward::serve_known(core.clone(), far, introduction, listen));
        Exchange {
            core,
            asked: Asked { is_head: parts.method == Method::HEAD, upgrades: false },
            request: Some(Writing::new(head, framing, body)),
            forwarder: Some(forwarder),
            pipe,
            _open: open,
        }
    }

    /// Has both sides go on, each before what it writes is read. Fails when the client broke off.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), h2::Error> {
        if let Some(request) = &mut self.request {
            match request.poll(cx, &mut self.pipe) {
                Poll::Ready(Ok(()) | Err(Cut::Sink)) => self.request = None,
                Poll::Ready(Err(Cut::Source)) => return Err(Reason::CANCEL.into()),
                Poll::Pending => {}
            }
        }
        if self.forwarder.as_mut().is_some_and(|forwarder| forwarder.as_mut().poll(cx).is_ready()) {
            (self.forwarder, self.request) = (None, None); // what is left of it nobody reads
        }
        Ok(())
    }

    /// The response's head, and how the rest of it is read. Interim responses cannot be passed on.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        came: &mut Vec<u8>,
        progress: &mut Progress,
    ) -> Poll<Result<(Response<()>, Reading), h2::Error>> {
        self.go_on(cx)?;
        loop {
            let mut space = [MaybeUninit::uninit(); READ];
            let mut read = ReadBuf::uninit(&mut space);
            let result = ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut read));
            if result.is_err() || read.filled().is_empty() {
                return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
            }
            came.extend_from_slice(read.filled());
            if let Some(found) = self.head(came, progress)? {
                return Poll::Ready(Ok(found));
            }
        }
    }

    fn head(
        &self,
        came: &mut Vec<u8>,
        progress: &mut Progress,
    ) -> Result<Option<(Response<()>, Reading)>, h2::Error> {
        let limits = inner_limits(&self.core.config.limits);
        let fields = &mut self.core.buffers.borrow_mut().fields;
        while !came.is_empty() {
            let parsed = framing::Response::parse(came, self.asked, progress, &limits, fields);
            let Some(response) = parsed.map_err(|_| Reason::INTERNAL_ERROR)? else { return Ok(None) };
            let found = match response.is_interim() {
                true => None,
                false => Some((head::response(&response).ok_or(Reason::INTERNAL_ERROR)?, response.framing)),
            };
            let len = response.len;
            *progress = Progress::default();
            came.drain(..len);
            if let Some((head, framing)) = found {
                let reading = Reading::new(framing, std::mem::take(came), Reason::INTERNAL_ERROR);
                return Ok(Some((head, reading)));
            }
        }
        Ok(None)
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Download { exchange, reading } = self.get_mut();
        exchange.go_on(cx)?;
        let is_broken = exchange.pipe.is_broken();
        reading.poll_frame(cx, &mut exchange.pipe, || is_broken)
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_ended()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(cx)
    }
}
