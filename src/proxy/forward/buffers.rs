//! Where bytes are on their way through a thread, and those that have to wait.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::proxy::framing::Scratch;

/// Bytes that are read at once: bodies of 64 KiB cost a third less with this than with 16 KiB.
const INPUT: usize = 128 * 1024;
/// What is written from two places is copied together up to this many bytes, and written from both above.
const COPIED: usize = 16 * 1024;

/// A thread's buffers. Nothing in them outlives the poll that put it there.
#[derive(Debug)]
pub struct Buffers {
    /// What was read.
    pub input: Box<[u8]>,
    /// What is written.
    pub output: Vec<u8>,
    /// The fields of the head at hand.
    pub fields: Scratch,
}

/// Bytes that a connection could not take yet. When it has taken them, their memory is given back.
#[derive(Debug, Default)]
pub struct Pending {
    bytes: Vec<u8>,
    sent: usize,
    /// Whether they are kept when they are sent, to be sent again.
    kept: bool,
}

impl Default for Buffers {
    fn default() -> Self {
        let output = Vec::with_capacity(COPIED);
        Buffers { input: vec![0; INPUT].into(), output, fields: Scratch::default() }
    }
}

impl Pending {
    /// These bytes, which are kept until all is done where they may have to be sent again.
    pub fn new(bytes: Vec<u8>, kept: bool) -> Self {
        Pending { bytes, sent: 0, kept }
    }

    /// Whether all was taken.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Whether they are kept when they are sent.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whether nothing was taken.
    pub fn is_untouched(&self) -> bool {
        self.sent == 0
    }

    /// Begins again; false if not all of it was kept.
    pub fn rewind(&mut self) -> bool {
        let whole = self.kept || self.is_untouched();
        self.sent = if whole { 0 } else { self.sent };
        whole
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Writes what waits; ready when nothing does any more.
    pub fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        if !self.kept {
            *self = Pending::default();
        }
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// Writes `head` and then `body` with one call, and keeps what the connection does not take. Ready when all is written;
/// while it is pending, go on with [`Pending::poll_flush`]. Nothing may wait before. `head` is used up.
pub fn poll_send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    head: &mut Vec<u8>,
    body: &[u8],
    pending: &mut Pending,
) -> Poll<io::Result<()>> {
    debug_assert!(pending.is_empty(), "bytes keep their order");
    let mut body = body;
    if head.len() + body.len() <= COPIED && !head.is_empty() {
        head.extend_from_slice(body);
        body = &[];
    }
    let written = match (head.is_empty(), body.is_empty()) {
        (true, true) => return Poll::Ready(Ok(())),
        (true, false) => Pin::new(&mut *stream).poll_write(cx, body),
        (false, true) => Pin::new(&mut *stream).poll_write(cx, head),
        (false, false) => {
            let both = [IoSlice::new(head), IoSlice::new(body)];
            Pin::new(&mut *stream).poll_write_vectored(cx, &both)
        }
    };
    let written = match written {
        Poll::Ready(written) => written?,
        Poll::Pending => 0,
    };
    let of_head = written.min(head.len());
    pending.keep(&head[of_head..]);
    pending.keep(&body[written - of_head..]);
    head.clear();
    pending.poll_flush(stream, cx)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_is_not_taken_waits_and_keeps_its_order() {
        for (head, body) in [(10, 0), (0, 10), (10, 10), (100, 40_000), (0, 40_000), (40_000, 7)] {
            let (mut near, mut far) = tokio::io::duplex(1000);
            let expected = [vec![b'h'; head], vec![b'b'; body]].concat();
            let mut pending = Pending::default();
            let mut start = vec![b'h'; head];
            let sent = poll_send(
                &mut near,
                &mut Context::from_waker(Waker::noop()),
                &mut start,
                &expected[head..],
                &mut pending,
            );
            assert_eq!((sent.is_ready(), start.len()), (expected.len() <= 1000, 0));
            let flush = async {
                std::future::poll_fn(|cx| pending.poll_flush(&mut near, cx)).await.unwrap();
                drop(near);
            };
            let mut got = Vec::new();
            let ((), read) = tokio::join!(flush, far.read_to_end(&mut got));
            assert_eq!(read.unwrap(), expected.len());
            assert!(got == expected, "{head} {body}");
            assert_eq!(pending.bytes.capacity(), 0);
        }
    }
}
