//! A body of HTTP/1.1, as frames of HTTP/2.

use std::{
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::Reason;
use hyper::body::Frame;
use tokio::io::{AsyncRead, ReadBuf};

use super::head;
use crate::proxy::framing::{Body, Framing};

/// What is read at once: a frame of HTTP/2.
const READ: usize = 16 * 1024;

/// A body that comes over a connection of HTTP/1.1.
#[derive(Debug)]
pub(super) struct Reading {
    body: Body,
    /// What came before it was asked for.
    came: Vec<u8>,
    /// The lines of its trailers.
    trailers: Vec<u8>,
    /// Whether it ends with the connection, and that has ended.
    is_closed: bool,
    /// What the other side is told if it does not come whole.
    otherwise: Reason,
}

impl Reading {
    /// A body that begins with this.
    pub(super) fn new(framing: Framing, came: Vec<u8>, otherwise: Reason) -> Self {
        Reading { body: Body::new(framing), came, trailers: Vec::new(), is_closed: false, otherwise }
    }

    /// Whether all of it was given.
    pub(super) fn is_ended(&self) -> bool {
        (self.body.is_ended() || self.is_closed) && self.trailers.is_empty()
    }

    /// The next piece; `None` after the last. Where `is_broken`, an end of the connection is not the body's.
    pub(super) fn poll_frame<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        is_broken: impl Fn() -> bool,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        loop {
            if !self.came.is_empty() {
                let came = std::mem::take(&mut self.came);
                let data = self.feed(&came)?;
                if !data.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
            if self.body.is_ended() || self.is_closed {
                let lines = std::mem::take(&mut self.trailers);
                let trailers = (!lines.is_empty()).then(|| head::trailers(&lines));
                let trailers = trailers.filter(|trailers| !trailers.is_empty());
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let mut space = [MaybeUninit::uninit(); READ];
            let mut read = ReadBuf::uninit(&mut space);
            let result = ready!(Pin::new(&mut *stream).poll_read(cx, &mut read));
            if result.is_err() || read.filled().is_empty() {
                if result.is_err() || is_broken() || self.body.close().is_err() {
                    return Poll::Ready(Some(Err(self.otherwise.into())));
                }
                self.is_closed = true;
                continue;
            }
            let data = self.feed(read.filled())?;
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    /// The content among these bytes.
    fn feed(&mut self, bytes: &[u8]) -> Result<Bytes, h2::Error> {
        let mut content = Vec::new(); // mostly one piece, which is just as long as the memory for it then
        let trailers = &mut self.trailers;
        let fed =
            self.body.feed_all(bytes, |data| content.extend_from_slice(data), |byte| trailers.push(byte));
        fed.map(|_| content.into()).map_err(|_| self.otherwise.into())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    /// The content and the trailers that are read of this, and whether it came whole.
    async fn read(
        framing: Framing,
        came: &[u8],
        rest: &[u8],
        is_broken: bool,
    ) -> (Vec<u8>, Vec<String>, bool) {
        let (mut far, mut near) = duplex(7);
        let rest = rest.to_vec();
        let send = tokio::spawn(async move { far.write_all(&rest).await });
        let mut reading = Reading::new(framing, came.to_vec(), Reason::INTERNAL_ERROR);
        let (mut content, mut trailers) = (Vec::new(), Vec::new());
        let whole = loop {
            match poll_fn(|cx| reading.poll_frame(cx, &mut near, || is_broken)).await {
                None => break true,
                Some(Err(error)) => {
                    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
                    break false;
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => content.extend_from_slice(&data),
                    Err(frame) => {
                        let fields = frame.into_trailers().unwrap();
                        trailers.extend(fields.iter().map(|(name, value)| format!("{name}={value:?}")));
                    }
                },
            }
        };
        assert_eq!(reading.is_ended(), whole);
        send.abort();
        (content, trailers, whole)
    }

    #[tokio::test]
    async fn content_and_trailers_are_told_apart_however_they_come() {
        let body = b"5\r\nhello\r\n6\r\n, all!\r\n0\r\nGrpc-Status: 0\r\nA: b\r\n\r\n";
        for cut in 0..body.len() {
            let (content, trailers, whole) = read(Framing::Chunked, &body[..cut], &body[cut..], false).await;
            assert_eq!(content, b"hello, all!");
            assert_eq!(trailers, ["grpc-status=\"0\"", "a=\"b\""]);
            assert!(whole);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_no_end() {
        for (framing, body, is_broken, whole) in [
            (Framing::Length(5), &b"hell"[..], false, false),
            (Framing::Length(4), b"hell", false, true),
            (Framing::Chunked, b"4\r\nhell\r\n", false, false),
            (Framing::Chunked, b"4\r\nhell\r\n0\r\nA: b\r\n", false, false),
            (Framing::Chunked, b"4\r\nhell\r\nx", false, false),
            (Framing::UntilClose, b"hell", false, true),
            (Framing::UntilClose, b"hell", true, false),
        ] {
            let (content, trailers, came) = read(framing, b"", body, is_broken).await;
            assert_eq!((&*content, came), (&b"hell"[..], whole), "{framing:?}");
            assert!(trailers.is_empty());
        }
    }
}
