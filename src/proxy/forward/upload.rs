//! A request on its way to whoever answers: kept as it passes, so that it can be sent again.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncWrite, ReadBuf};

use super::{
    buffers::{Buffers, PIECE},
    client::{Client, Downstream},
    flow::Cut,
};
use crate::proxy::framing::{Body, Framing};

/// What a client that waits for it is told before it sends a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Reads in a row, after which others have their turn.
const TURN: usize = 16;

/// A request: its head as it goes on, and its body.
#[derive(Debug)]
pub(super) struct Upload {
    /// All of it so far; where it is not kept, what was not sent yet.
    bytes: Vec<u8>,
    /// Where the body begins.
    head: usize,
    body: Body,
    /// Bytes of the body that are kept at most.
    limit: usize,
    keeps: bool,
    /// Whether some of it was let go.
    lacks: bool,
    /// Whether the client waits for 100 before it sends the body.
    expects_continue: bool,
    /// Bytes of the body that came so far.
    moved: u64,
}

impl Upload {
    /// A request of which this has come: a head, and the beginning of this body. Up to `limit` bytes of the body are
    /// kept.
    pub(super) fn new(bytes: Vec<u8>, head: usize, body: Body, limit: usize, expects_continue: bool) -> Self {
        let kept = bytes.len() - head;
        let keeps = kept <= limit && !matches!(body, Body::Length(left) if left > (limit - kept) as u64);
        Upload { bytes, head, body, limit, keeps, lacks: false, expects_continue, moved: 0 }
    }

    /// What a client sends in another protocol, which begins with this.
    pub(super) fn of_protocol(bytes: Vec<u8>) -> Self {
        Upload::new(bytes, 0, Body::new(Framing::UntilClose), 0, false)
    }

    /// The body so far.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// Whether it can be sent again.
    pub(super) fn is_kept(&self) -> bool {
        self.keeps && !self.lacks
    }

    /// Whether nothing of it was sent, if it was sent up to there.
    pub(super) fn is_unsent(&self, sent: usize) -> bool {
        sent == 0 && !self.lacks
    }

    /// Whether all of it came from the client.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_ended()
    }

    /// Whether all of it was sent, if it was sent up to there.
    pub(super) fn is_done(&self, sent: usize) -> bool {
        self.body.is_ended() && sent == self.bytes.len()
    }

    /// Whether the client has to send more of it, if it was sent up to there.
    pub(super) fn waits_for_client(&self, sent: usize) -> bool {
        !self.body.is_ended() && sent == self.bytes.len()
    }

    /// Changes when more comes.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Gives its memory back.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Reads all of the body. It must be one that is kept.
    pub(super) fn poll_whole<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client<S>,
        buffers: &mut Buffers,
    ) -> Poll<Result<(), Cut>> {
        while !self.body.is_ended() {
            self.poll_continue(cx, client)?;
            let taken = ready!(self.poll_read(cx, client, buffers))?;
            self.bytes.extend_from_slice(&buffers.input[..taken]);
        }
        Poll::Ready(Ok(()))
    }

    /// Goes on after what was `sent`; ready when all of it has come and gone.
    pub(super) fn poll<S: Downstream, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client<S>,
        sink: &mut W,
        sent: &mut usize,
        buffers: &mut Buffers,
    ) -> Poll<Result<(), Cut>> {
        for _ in 0..TURN {
            while *sent < self.bytes.len() {
                *sent +=
                    ready!(Pin::new(&mut *sink).poll_write(cx, &self.bytes[*sent..])).map_err(Cut::Sink)?;
            }
            if self.body.is_ended() {
                return Poll::Ready(Ok(()));
            }
            self.poll_continue(cx, client)?;
            let taken = ready!(self.poll_read(cx, client, buffers))?;
            let bytes = &buffers.input[..taken];
            self.keeps &= self.bytes.len() - self.head + taken <= self.limit;
            if self.is_kept() {
                self.bytes.extend_from_slice(bytes);
                continue;
            }
            self.let_go();
            *sent = 0;
            let written = match Pin::new(&mut *sink).poll_write(cx, bytes) {
                Poll::Ready(written) => written.map_err(Cut::Sink)?,
                Poll::Pending => 0,
            };
            self.bytes.extend_from_slice(&bytes[written..]);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn let_go(&mut self) {
        self.lacks = true;
        self.head = 0;
        if self.bytes.capacity() > 0 {
            self.bytes = Vec::new();
        }
    }

    /// Has the client send the body, if it waits for that.
    fn poll_continue<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client<S>,
    ) -> Result<(), Cut> {
        if std::mem::take(&mut self.expects_continue) {
            client.early.keep(CONTINUE);
        }
        match client.poll_early(cx) {
            Poll::Ready(Err(error)) => Err(Cut::Source(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Reads more of the body, so many bytes of the input.
    fn poll_read<S: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client<S>,
        buffers: &mut Buffers,
    ) -> Poll<Result<usize, Cut>> {
        let mut input = ReadBuf::new(&mut buffers.input[..PIECE]);
        ready!(Pin::new(&mut client.stream).poll_read(cx, &mut input)).map_err(Cut::Source)?;
        let bytes = input.filled();
        if bytes.is_empty() {
            return Poll::Ready(self.body.close().map_err(Cut::Broken).map(|()| {
                self.body = Body::new(Framing::None);
                0
            }));
        }
        let taken = self.body.feed(bytes).map_err(Cut::Broken)?.taken;
        self.moved += taken as u64;
        client.arrived.rest().extend_from_slice(&bytes[taken..]);
        Poll::Ready(Ok(taken))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, rc::Rc};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::proxy::{
        forward::tests::{LISTEN, PEER, Pipe, core},
        framing::Refusal,
    };

    /// An upload of which the head and `first` came at once, and `then` comes through a pipe; what arrived of it at the other end
    /// of another, whether it can be sent again, and how it ended.
    async fn uploaded(
        framing: Framing,
        first: &str,
        then: &str,
        limit: usize,
        pipe: usize,
    ) -> (String, bool, Result<(), Cut>) {
        let (mut sender, stream) = duplex(pipe);
        let (mut sink, mut receiver) = duplex(pipe);
        let (core, _answerers) = core();
        let mut body = Body::new(framing);
        body.feed(first.as_bytes()).unwrap();
        let mut upload = Upload::new(format!("HEAD{first}").into_bytes(), 4, body, limit, false);
        let mut client = Client::new(&core, Pipe { stream, state: Rc::default() }, PEER.into(), LISTEN);
        let (mut sent, mut got) = (0, String::new());
        let send = async {
            let _may_be_cut = sender.write_all(then.as_bytes()).await;
            drop(sender);
        };
        let mut buffers = Buffers::default();
        let pass = async {
            let outcome =
                poll_fn(|cx| upload.poll(cx, &mut client, &mut sink, &mut sent, &mut buffers)).await;
            drop(sink);
            assert!(outcome.is_err() || upload.is_done(sent) && !upload.waits_for_client(sent));
            assert!(!upload.is_unsent(sent));
            (upload.is_kept(), outcome)
        };
        let ((), (kept, outcome), read) = tokio::join!(send, pass, receiver.read_to_string(&mut got));
        read.unwrap();
        (got, kept, outcome)
    }

    #[tokio::test]
    async fn a_body_is_kept_up_to_the_limit_and_arrives_whole_beyond() {
        let chunked = "5\r\nhello\r\n0\r\n\r\n";
        for pipe in [1, 4, 4096] {
            for (framing, body) in [(Framing::Length(10), "helloworld"), (Framing::Chunked, chunked)] {
                for at in [0, 4, body.len()] {
                    let (first, then) = body.split_at(at);
                    for (limit, is_kept) in [(body.len(), true), (body.len() - 1, false), (0, false)] {
                        let (got, kept, outcome) = uploaded(framing, first, then, limit, pipe).await;
                        outcome.unwrap();
                        assert_eq!(
                            (got, kept),
                            (format!("HEAD{body}"), is_kept),
                            "{framing:?} {at} {limit} {pipe}"
                        );
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_ends_early_or_is_nonsense_is_not_whole() {
        for limit in [0, 100] {
            for (framing, first, then, refusal) in [
                (Framing::Length(10), "hello", "worl", Refusal::Truncated),
                (Framing::Chunked, "5\r\nhel", "lo\r\n0\r\n", Refusal::Truncated),
                (Framing::Chunked, "5\r\nhel", "loX", Refusal::ChunkEnd),
            ] {
                let (got, _, outcome) = uploaded(framing, first, then, limit, 4096).await;
                assert!(
                    matches!(outcome, Err(Cut::Broken(why)) if why == refusal),
                    "{framing:?} {outcome:?}"
                );
                assert!(format!("HEAD{first}{then}").starts_with(&got), "{got}");
            }
        }
    }

    #[tokio::test]
    async fn a_receiver_that_breaks_after_the_head_is_told_from_a_client_that_does() {
        let (core, _answerers) = core();
        for limit in [0, 100] {
            let (mut sender, stream) = duplex(100);
            let (mut sink, mut receiver) = duplex(4);
            let mut upload = Upload::new(b"HEAD".to_vec(), 4, Body::new(Framing::Length(9)), limit, false);
            let mut client = Client::new(&core, Pipe { stream, state: Rc::default() }, PEER.into(), LISTEN);
            let mut buffers = Buffers::default();
            let mut sent = 0;
            sender.write_all(b"half").await.unwrap();
            poll_fn(|cx| {
                assert!(upload.poll(cx, &mut client, &mut sink, &mut sent, &mut buffers).is_pending());
                Poll::Ready(())
            })
            .await;
            receiver.read_exact(&mut [0; 4]).await.unwrap();
            drop(receiver);
            let outcome =
                poll_fn(|cx| upload.poll(cx, &mut client, &mut sink, &mut sent, &mut buffers)).await;
            assert!(matches!(outcome, Err(Cut::Sink(_))), "{outcome:?}");
            assert_eq!((upload.is_kept(), upload.is_unsent(sent)), (limit == 100, false));
        }
    }
}
