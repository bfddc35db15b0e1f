//! A request's body on its way to a replica: kept as it passes, so that it can be sent again.

use std::{
    cell::{Ref, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// A body, and what of it has come so far.
#[derive(Clone, Debug)]
pub(super) struct Kept(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    source: Incoming,
    hint: SizeHint,
    parts: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    length: usize,
    limit: usize,
    progress: Progress,
    /// Which of the sendings may take from the source: the last.
    sending: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// More comes; everything so far is kept.
    Coming,
    /// It is whole and kept.
    Whole,
    /// Some of it was let go.
    LetGo,
    /// The client broke off.
    Broken,
}

/// The body, sent once.
#[derive(Debug)]
pub(super) struct Sending {
    kept: Kept,
    number: u32,
    next: usize,
    trailers_sent: bool,
}

/// Why a body does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client broke off.
    #[error("the client broke off")]
    Client,
    /// It is sent to another replica meanwhile.
    #[error("sent to another replica")]
    Elsewhere,
}

impl Kept {
    /// The body of a client's request, of which up to `limit` bytes are kept.
    pub(super) fn new(source: Incoming, limit: usize) -> Self {
        let progress = if source.is_end_stream() { Progress::Whole } else { Progress::Coming };
        let hint = source.size_hint();
        let (parts, trailers, length, sending) = (Vec::new(), None, 0, 0);
        Kept(Rc::new(RefCell::new(State { source, hint, parts, trailers, length, limit, progress, sending })))
    }

    /// The body from its beginning. What was sent before ends.
    pub(super) fn send(&self) -> Sending {
        let mut state = self.0.borrow_mut();
        state.sending += 1;
        Sending { kept: self.clone(), number: state.sending, next: 0, trailers_sent: false }
    }

    /// All of it, if that is within the limit.
    pub(super) async fn whole(&self) -> Result<Bytes, BodyError> {
        loop {
            std::future::poll_fn(|cx| match self.0.borrow_mut().pull(cx) {
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
                Poll::Ready(_) => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            })
            .await?;
            let state = self.0.borrow();
            match state.progress {
                Progress::Coming => {}
                Progress::Whole => return Ok(state.joined()),
                Progress::LetGo | Progress::Broken => return Err(BodyError::Client),
            }
        }
    }

    /// Whether it can be sent again.
    pub(super) fn can_be_sent_again(&self) -> bool {
        matches!(self.state().progress, Progress::Coming | Progress::Whole)
    }

    /// Whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        self.state().progress == Progress::Whole
    }

    /// Whether the client broke off.
    pub(super) fn is_broken(&self) -> bool {
        self.state().progress == Progress::Broken
    }

    fn state(&self) -> Ref<'_, State> {
        self.0.borrow()
    }
}

impl State {
    /// The next frame of the source.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.progress == Progress::Whole {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                self.progress = Progress::Broken;
                return Poll::Ready(Some(Err(BodyError::Client)));
            }
            None => {
                self.ended();
                return Poll::Ready(None);
            }
        };
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => self.keep(data.clone()),
            (None, trailers) => self.trailers = trailers.cloned(),
        }
        if self.source.is_end_stream() {
            self.ended();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn keep(&mut self, data: Bytes) {
        self.length += data.len();
        if self.length > self.limit {
            self.progress = Progress::LetGo;
            self.parts = Vec::new();
        } else if self.progress == Progress::Coming {
            self.parts.push(data);
        }
    }

    fn ended(&mut self) {
        if self.progress == Progress::Coming {
            self.progress = Progress::Whole;
        }
    }

    fn joined(&self) -> Bytes {
        match &self.parts[..] {
            [] => Bytes::new(),
            [only] => only.clone(),
            parts => {
                let mut joined = BytesMut::with_capacity(self.length);
                parts.iter().for_each(|part| joined.extend_from_slice(part));
                joined.freeze()
            }
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let kept = self.kept.clone();
        let mut state = kept.0.borrow_mut();
        if let Some(part) = state.parts.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(part.clone()))));
        }
        if state.progress == Progress::Whole {
            let trailers = state.trailers.clone().filter(|_| !self.trailers_sent);
            self.trailers_sent = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if self.number != state.sending {
            return Poll::Ready(Some(Err(BodyError::Elsewhere)));
        }
        let frame = ready!(state.pull(cx));
        self.next = state.parts.len();
        self.trailers_sent |= matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.kept.state();
        state.progress == Progress::Whole
            && self.next == state.parts.len()
            && (self.trailers_sent || state.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.kept.state();
        if self.next == 0 { state.hint } else { SizeHint::default() }
    }
}
