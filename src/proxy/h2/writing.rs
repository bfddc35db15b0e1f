//! A message of HTTP/2, written as HTTP/1.1.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::head;
use crate::proxy::{forward::Pending, framing::Framing};

/// A message on its way to a connection of HTTP/1.1. It takes from the body only what it can write, so the sender is held
/// back where the connection takes nothing.
#[derive(Debug)]
pub(super) struct Writing<B> {
    pending: Pending,
    /// The body, until its end.
    body: Option<B>,
    is_chunked: bool,
    /// Bytes of a body with a length that are to come.
    left: u64,
}

/// Why a message was not written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its sender broke off.
    Source,
    /// The connection takes no more.
    Sink,
}

impl<B: Body<Data = Bytes> + Unpin> Writing<B> {
    /// A message with this head, whose body goes on like this.
    pub(super) fn new(head: Vec<u8>, framing: Framing, body: B) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        let is_chunked = framing == Framing::Chunked;
        Writing { pending: Pending::of(head), body: Some(body), is_chunked, left }
    }

    /// Whether whoever reads it has all of it. Its sender may have to say the end yet.
    pub(super) fn is_whole(&self) -> bool {
        self.pending.is_empty() && (self.body.is_none() || !self.is_chunked && self.left == 0)
    }

    /// Whether its sender has said the end.
    pub(super) fn is_ended(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    /// Goes on; ready when its sender has ended it and all is written.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<Result<(), Cut>> {
        loop {
            ready!(self.pending.poll_flush(stream, cx)).map_err(|_| Cut::Sink)?;
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.take(frame)?,
                Some(Err(_)) => return Poll::Ready(Err(Cut::Source)),
                None if self.left > 0 => return Poll::Ready(Err(Cut::Source)),
                None => self.end(b"0\r\n\r\n"),
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Cut> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let mut last = Vec::new();
                head::write_trailers(&mut last, &frame.into_trailers().unwrap_or_default());
                self.end(&last);
                return Ok(());
            }
        };
        if self.is_chunked && !data.is_empty() {
            self.pending.keep(format!("{:x}\r\n", data.len()).as_bytes());
            self.pending.keep(&data);
            self.pending.keep(b"\r\n");
        } else if !self.is_chunked {
            // more than was said would be taken for another message
            self.left = self.left.checked_sub(data.len() as u64).ok_or(Cut::Source)?;
            self.pending.keep(&data);
        }
        Ok(())
    }

    fn end(&mut self, last: &[u8]) {
        if self.is_chunked {
            self.pending.keep(last);
        }
        self.body = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, future::poll_fn};

    use http::HeaderMap;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// A body of these frames.
    struct Frames(VecDeque<Frame<Bytes>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    /// What is written of these pieces, and how it ended.
    async fn written(framing: Framing, pieces: &[&str], trailers: bool) -> (String, Result<(), Cut>) {
        let mut frames: VecDeque<_> =
            pieces.iter().map(|piece| Frame::data(Bytes::copy_from_slice(piece.as_bytes()))).collect();
        if trailers {
            let fields = HeaderMap::from_iter([("a".parse().unwrap(), "b".parse().unwrap())]);
            frames.push_back(Frame::trailers(fields));
        }
        let (mut near, mut far) = duplex(5);
        let mut writing = Writing::new(b"HEAD ".to_vec(), framing, Frames(frames));
        let write = async {
            let outcome = poll_fn(|cx| writing.poll(cx, &mut near)).await;
            assert!(outcome.is_err() || writing.is_whole());
            drop(near);
            outcome
        };
        let mut got = String::new();
        let (outcome, read) = tokio::join!(write, far.read_to_string(&mut got));
        read.unwrap();
        (got, outcome)
    }

    #[tokio::test]
    async fn a_body_is_written_as_its_head_says() {
        for (framing, pieces, trailers, expected) in [
            (Framing::None, &[][..], false, "HEAD "),
            (Framing::Length(5), &["he", "", "llo"], false, "HEAD hello"),
            (Framing::Length(2), &["ok"], true, "HEAD ok"),
            (Framing::Chunked, &[], false, "HEAD 0\r\n\r\n"),
            (Framing::Chunked, &["hello", "", "!"], false, "HEAD 5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
            (Framing::Chunked, &["hello"], true, "HEAD 5\r\nhello\r\n0\r\na: b\r\n\r\n"),
        ] {
            assert_eq!(
                written(framing, pieces, trailers).await,
                (expected.to_owned(), Ok(())),
                "{framing:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_of_another_length_than_was_said_is_not_whole() {
        assert_eq!(written(Framing::Length(5), &["hell"], false).await.1, Err(Cut::Source));
        assert_eq!(
            written(Framing::Length(5), &["hello", "!"], false).await,
            ("HEAD hello".into(), Err(Cut::Source))
        );
        assert_eq!(written(Framing::None, &["!"], false).await.1, Err(Cut::Source));
    }
}
