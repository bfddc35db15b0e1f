//! A body on its way from one connection to another.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{Buffers, PIECE, Pending, poll_send};
use crate::proxy::framing::{Body, Framing, Refusal};

/// Reads in a row, after which others have their turn.
const TURN: usize = 16;

/// One body, and what of it waits to be written. It reads only what it can write, so it never owns more than one read.
#[derive(Debug)]
pub(super) struct Flow {
    body: Body,
    pending: Pending,
    content_only: bool,
    /// Bytes that came so far, and those that had to wait and went.
    moved: u64,
}

/// Why a body did not come through whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// Where it comes from broke off.
    #[error("the sender broke off")]
    Source(#[source] io::Error),
    /// Where it comes from sends nonsense, or ended too early.
    #[error("the sender's message is broken")]
    Broken(#[source] Refusal),
    /// Where it goes to takes no more.
    #[error("the receiver broke off")]
    Sink(#[source] io::Error),
}

impl Flow {
    /// A body that is passed on as it comes.
    pub(super) fn new(framing: Framing) -> Self {
        Flow { body: Body::new(framing), pending: Pending::default(), content_only: false, moved: 0 }
    }

    /// A body of which only the content is passed on, without the marks of its chunks: for HTTP/1.0.
    pub(super) fn content_only(framing: Framing) -> Self {
        Flow { content_only: true, ..Flow::new(framing) }
    }

    /// Whether all of it has come and gone.
    pub(super) fn is_ended(&self) -> bool {
        self.body.is_ended() && self.pending.is_empty()
    }

    /// Whether something waits for where it goes to.
    pub(super) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Changes when something moves.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// What waits in another goes ahead, and then these bytes.
    pub(super) fn go_after(&mut self, other: Flow, bytes: &[u8]) {
        self.pending = other.pending;
        self.pending.keep(bytes);
    }

    /// Has `head` and what has come of the body wait until it goes on. Returns how many of `bytes` are the body's.
    pub(super) fn wait(&mut self, head: &[u8], bytes: &[u8]) -> Result<usize, Cut> {
        let (body, pending) = (&mut self.body, &mut self.pending);
        pending.keep(head);
        let fed = match self.content_only {
            true => body.feed_with(bytes, |data| pending.keep(data)),
            false => body.feed(bytes),
        };
        let taken = fed.map_err(Cut::Broken)?.taken;
        if !self.content_only {
            pending.keep(&bytes[..taken]);
        }
        Ok(taken)
    }

    /// Begins: `head`, which is used up, and what has come of the body leave in one write. Returns how many of `bytes` are
    /// the body's. Whether all was written [`poll`](Self::poll) says.
    pub(super) fn begin<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut S,
        head: &mut Vec<u8>,
        bytes: &[u8],
    ) -> Result<usize, Cut> {
        let body_begins = head.len();
        let fed = match self.content_only {
            true => self.body.feed_with(bytes, |data| head.extend_from_slice(data)),
            false => self.body.feed(bytes),
        };
        let taken = match fed {
            Ok(fed) => fed.taken,
            Err(refusal) => {
                head.truncate(body_begins);
                return Err(Cut::Broken(refusal));
            }
        };
        self.moved += bytes.len() as u64;
        let body = if self.content_only { &[] } else { &bytes[..taken] };
        match poll_send(sink, cx, head, body, &mut self.pending) {
            Poll::Ready(Err(error)) => Err(Cut::Sink(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(taken),
        }
    }

    /// Goes on; ready when all of it has come and gone. What comes after it is appended to `rest`.
    pub(super) fn poll<R: AsyncRead + Unpin, S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut S,
        buffers: &mut Buffers,
        rest: &mut Vec<u8>,
    ) -> Poll<Result<(), Cut>> {
        for _ in 0..TURN {
            let waited = self.pending.len();
            let flushed = self.pending.poll_flush(sink, cx);
            self.moved += (waited - self.pending.len()) as u64;
            ready!(flushed).map_err(Cut::Sink)?;
            if self.body.is_ended() {
                return Poll::Ready(Ok(()));
            }
            let mut input = ReadBuf::new(&mut buffers.input[..PIECE]);
            ready!(Pin::new(&mut *source).poll_read(cx, &mut input)).map_err(Cut::Source)?;
            let bytes = input.filled();
            if bytes.is_empty() {
                return Poll::Ready(self.body.close().map_err(Cut::Broken));
            }
            buffers.output.clear();
            let taken = self.begin(cx, sink, &mut buffers.output, bytes)?;
            rest.extend_from_slice(&bytes[taken..]);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// What arrives when these bytes are sent through `flow`, through pipes of this size, how it ended, and what was left.
    async fn passed(mut flow: Flow, bytes: &[u8], pipe: usize) -> (Vec<u8>, Result<(), Cut>, Vec<u8>) {
        let (mut sender, mut source) = duplex(pipe);
        let (mut sink, mut receiver) = duplex(pipe);
        let (mut buffers, mut rest, mut got) = (Buffers::default(), Vec::new(), Vec::new());
        let send = async {
            let _may_be_cut = sender.write_all(bytes).await;
            drop(sender);
        };
        let pass = async {
            let outcome =
                std::future::poll_fn(|cx| flow.poll(cx, &mut source, &mut sink, &mut buffers, &mut rest));
            let outcome = outcome.await;
            drop((source, sink));
            outcome
        };
        let ((), outcome, read) = tokio::join!(send, pass, receiver.read_to_end(&mut got));
        read.unwrap();
        (got, outcome, rest)
    }

    #[tokio::test]
    async fn bodies_arrive_as_they_came_and_what_follows_is_left() {
        let long = vec![b'x'; 300_000];
        let chunked = [b"493E0;a=b\r\n", &long[..], b"\r\n0\r\nA: b\r\n\r\n"].concat();
        for pipe in [1000, 70_000] {
            for (framing, body) in [(Framing::Length(300_000), &long), (Framing::Chunked, &chunked)] {
                let all = [&body[..], b"GET / HTTP/1.1"].concat();
                let (got, outcome, rest) = passed(Flow::new(framing), &all, pipe).await;
                outcome.unwrap();
                assert!(got == *body, "{framing:?} {pipe}");
                assert!(b"GET / HTTP/1.1".starts_with(&rest));
            }
            let (got, outcome, _) = passed(Flow::new(Framing::UntilClose), &long, pipe).await;
            assert!(outcome.is_ok() && got == long);
            let (got, outcome, _) = passed(Flow::content_only(Framing::Chunked), &chunked, pipe).await;
            assert!(outcome.is_ok() && got == long);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_never_taken_for_whole() {
        for (framing, body) in [(Framing::Length(5), &b"hell"[..]), (Framing::Chunked, b"5\r\nhello\r\n")] {
            let (got, outcome, _) = passed(Flow::new(framing), body, 1000).await;
            assert!(matches!(outcome, Err(Cut::Broken(Refusal::Truncated))), "{framing:?}");
            assert_eq!(got, body);
        }
        let (got, outcome, _) = passed(Flow::new(Framing::Chunked), b"5\r\nhelloX", 1000).await;
        assert!(matches!(outcome, Err(Cut::Broken(Refusal::ChunkEnd))));
        assert!(got.is_empty());
    }

    #[tokio::test]
    async fn a_receiver_that_is_gone_is_told_from_a_sender_that_is() {
        let (mut sender, mut source) = duplex(100);
        let (mut sink, receiver): (DuplexStream, _) = duplex(100);
        drop(receiver);
        sender.write_all(b"hello").await.unwrap();
        let (mut flow, mut buffers, mut rest) =
            (Flow::new(Framing::Length(9)), Buffers::default(), Vec::new());
        let outcome =
            std::future::poll_fn(|cx| flow.poll(cx, &mut source, &mut sink, &mut buffers, &mut rest)).await;
        assert!(matches!(outcome, Err(Cut::Sink(_))));
    }

    #[tokio::test]
    async fn a_head_and_the_beginning_of_its_body_leave_together() {
        let (mut sink, mut receiver) = duplex(1000);
        let mut flow = Flow::new(Framing::Length(5));
        let mut head = b"HEAD".to_vec();
        let taken =
            std::future::poll_fn(|cx| Poll::Ready(flow.begin(cx, &mut sink, &mut head, b"hello, more")));
        assert_eq!(taken.await.unwrap(), 5);
        assert!(flow.is_ended() && head.is_empty());
        let mut got = [0; 20];
        assert_eq!(receiver.read(&mut got).await.unwrap(), 9);
        assert_eq!(&got[..9], b"HEADhello");
    }
}
