//! Where bytes are on their way through a thread, and those that have to wait.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::proxy::framing::Scratch;

/// Bytes that are read at once of a response: bodies of 64 KiB cost a third less with this than with 16 KiB.
const INPUT: usize = 128 * 1024;
/// The same of a request, and of any body that is longer than what came with its head: one of 1 MiB costs a fifth less with
/// this than with all of [`INPUT`], since so much stays in the nearest cache from the read to the write.
pub(super) const PIECE: usize = 32 * 1024;
/// What is written from two places is copied together up to this many bytes, and written from both above.
const COPIED: usize = 16 * 1024;
/// Pieces of memory that are kept for requests to come.
const MOST_SPARE: usize = 64;
/// The largest such piece.
const SPARE: usize = 4 * 1024;

/// A thread's buffers. Nothing in them outlives the poll that put it there.
#[derive(Debug)]
pub(in crate::proxy) struct Buffers {
    /// What was read.
    pub(super) input: Box<[u8]>,
    /// What is written.
    pub(super) output: Vec<u8>,
    /// The fields of the head at hand.
    pub(in crate::proxy) fields: Scratch,
    /// Memory of requests that are done, for those to come.
    pub(super) spare: Vec<Vec<u8>>,
}

/// Bytes that a connection could not take yet. When it has taken them, their memory is given back.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Pending {
    bytes: Vec<u8>,
    sent: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        let output = Vec::with_capacity(COPIED);
        Buffers { input: vec![0; INPUT].into(), output, fields: Scratch::default(), spare: Vec::new() }
    }
}

impl Buffers {
    /// Takes memory back that a request does not need any more.
    pub(super) fn take_back(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < MOST_SPARE && bytes.capacity() <= SPARE {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

impl Pending {
    /// These bytes.
    pub(in crate::proxy) fn of(bytes: Vec<u8>) -> Self {
        Pending { bytes, sent: 0 }
    }

    /// Whether all was taken.
    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Writes what waits; ready when nothing does any more.
    pub(in crate::proxy) fn poll_flush<S: AsyncWrite + Unpin>(
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
        if self.sent > 0 {
            *self = Pending::default();
        }
        Poll::Ready(Ok(()))
    }

    /// Has these bytes wait, too.
    pub(in crate::proxy) fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Hands over what waits.
    pub(super) fn give_to(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[self.sent..]);
        *self = Pending::default();
    }
}

/// Writes `head` and then `body` with one call, and keeps what the connection does not take. Ready when all is written;
/// while it is pending, go on with [`Pending::poll_flush`]. Nothing may wait before. `head` is used up.
pub(super) fn poll_send<S: AsyncWrite + Unpin>(
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
