//! What has come on a connection and was not used yet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::framing::{Progress, Refusal};

/// The bytes of a connection between two messages, or of a head that is not whole. Mostly there are none, and a whole
/// head is used where it was read.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    bytes: Vec<u8>,
    progress: Progress,
    /// Whether those bytes were looked at already.
    looked: bool,
}

/// What came in place of a head.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHead {
    /// The connection ended between two messages, as it may.
    #[error("the connection ended")]
    Ended,
    /// The connection broke, or ended inside a head.
    #[error("the connection broke off")]
    Broken(#[source] io::Error),
    /// It is no head.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Arrived {
    /// Whether anything has come.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has come.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Has what came be looked at again, though nothing came since.
    pub(super) fn look_again(&mut self) {
        self.looked = false;
    }

    /// Where [`Flow`](super::flow::Flow) leaves what came after a body.
    pub(super) fn rest(&mut self) -> &mut Vec<u8> {
        self.looked = false;
        &mut self.bytes
    }

    /// Reads until `take` finds a whole head in what came, and returns what it made of it. `take` gets everything that
    /// is unused so far and says how much of it it used, or `None` for more; what it refuses stays. `input` is the
    /// thread's.
    pub(super) fn poll_head<S: AsyncRead + Unpin, T>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        input: &mut [u8],
        mut take: impl FnMut(&mut Context<'_>, &[u8], &mut Progress) -> Result<Option<(usize, T)>, Refusal>,
    ) -> Poll<Result<T, NoHead>> {
        loop {
            if !self.bytes.is_empty() && !self.looked {
                if let Some((used, taken)) = take(cx, &self.bytes, &mut self.progress)? {
                    self.keep_from(used);
                    return Poll::Ready(Ok(taken));
                }
                self.looked = true;
            }
            let mut read = ReadBuf::new(input);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)).map_err(NoHead::Broken)?;
            let read = read.filled();
            if read.is_empty() {
                let inside = io::ErrorKind::UnexpectedEof;
                let clean = self.bytes.is_empty();
                return Poll::Ready(Err(if clean { NoHead::Ended } else { NoHead::Broken(inside.into()) }));
            }
            if self.bytes.is_empty() {
                match take(cx, read, &mut self.progress) {
                    Ok(Some((used, taken))) => {
                        self.bytes.extend_from_slice(&read[used..]);
                        self.keep_from(0);
                        return Poll::Ready(Ok(taken));
                    }
                    Ok(None) => {}
                    Err(refusal) => {
                        self.bytes.extend_from_slice(read);
                        return Poll::Ready(Err(refusal.into()));
                    }
                }
            }
            self.looked = self.bytes.is_empty();
            self.bytes.extend_from_slice(read);
        }
    }

    /// Lets go of what was used; the next head begins after it.
    fn keep_from(&mut self, used: usize) {
        if used == self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..used);
        }
        self.progress = Progress::default();
        self.looked = false;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::proxy::framing::{Limits, Request, Scratch};

    const ONE: &str = "GET /one HTTP/1.1\r\nHost: a\r\n\r\n";
    const TWO: &str = "PUT /two HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";

    /// The next request's path; its body of up to two bytes is used, too.
    async fn next(arrived: &mut Arrived, stream: &mut DuplexStream) -> Result<String, NoHead> {
        let (mut input, mut scratch) = (vec![0; 4096], Scratch::default());
        std::future::poll_fn(|cx| {
            arrived.poll_head(cx, stream, &mut input, |_, bytes, progress| {
                let request = Request::parse(bytes, progress, &Limits::default(), &mut scratch)?;
                let used = |len: usize| bytes.len().min(len + if bytes.starts_with(b"PUT") { 2 } else { 0 });
                Ok(request.map(|request| (used(request.len), request.target.path.to_owned())))
            })
        })
        .await
    }

    #[tokio::test]
    async fn heads_are_found_however_they_come() {
        for pipe in [1, 7, 1000] {
            let (mut far, mut near) = duplex(pipe);
            let all = [ONE, ONE, ONE].concat();
            let write = async {
                far.write_all(all.as_bytes()).await.unwrap();
                drop(far);
            };
            let read = async {
                let mut arrived = Arrived::default();
                for _ in 0..3 {
                    assert_eq!(next(&mut arrived, &mut near).await.unwrap(), "/one");
                }
                assert!(matches!(next(&mut arrived, &mut near).await, Err(NoHead::Ended)));
                assert_eq!(arrived.bytes.capacity(), 0);
            };
            tokio::join!(write, read);
        }
    }

    #[tokio::test]
    async fn what_was_used_of_a_body_is_not_taken_for_a_head() {
        let (mut far, mut near) = duplex(1000);
        far.write_all([TWO, ONE].concat().as_bytes()).await.unwrap();
        let mut arrived = Arrived::default();
        assert_eq!(next(&mut arrived, &mut near).await.unwrap(), "/two");
        assert!(!arrived.is_empty());
        arrived.rest().extend_from_slice(&ONE.as_bytes()[..5]);
        assert_eq!(next(&mut arrived, &mut near).await.unwrap(), "/one");
        far.write_all(&ONE.as_bytes()[5..]).await.unwrap();
        assert_eq!(next(&mut arrived, &mut near).await.unwrap(), "/one");
    }

    #[tokio::test]
    async fn a_head_that_breaks_off_is_none() {
        let (mut far, mut near) = duplex(1000);
        far.write_all(&ONE.as_bytes()[..9]).await.unwrap();
        drop(far);
        assert!(matches!(next(&mut Arrived::default(), &mut near).await, Err(NoHead::Broken(_))));
        let (mut far, mut near) = duplex(1000);
        far.write_all(b"GET /\r\n").await.unwrap();
        let outcome = next(&mut Arrived::default(), &mut near).await;
        assert!(matches!(outcome, Err(NoHead::Refused(Refusal::Target))));
    }
}
