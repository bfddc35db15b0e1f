//! How many of the bytes that arrive belong to a body.

use super::{Framing, Refusal, chunked::Chunked};

/// A body on its way. Its bytes are passed on as they come; this says how many there are.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks are to come.
    Chunked(Chunked),
    /// Everything until the connection ends.
    UntilClose,
}

/// What became of bytes that were fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// So many of them belong to the body.
    pub taken: usize,
    /// Whether the body ends with those.
    pub ended: bool,
}

impl Body {
    /// The body of a message whose head says this.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Body::Length(0),
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunked::default()),
            Framing::UntilClose => Body::UntilClose,
        }
    }

    /// Takes the next bytes, as many as belong to it. An ended body takes none.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Refusal> {
        self.feed_with(bytes, |_| ())
    }

    /// The same; `data` gets the content among them, piece by piece.
    pub fn feed_with(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<Fed, Refusal> {
        match self {
            Body::Chunked(chunked) => chunked.feed_with(bytes, data),
            Body::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                data(&bytes[..taken]);
                Ok(Fed { taken, ended: *left == 0 })
            }
            Body::UntilClose => {
                data(bytes);
                Ok(Fed { taken: bytes.len(), ended: false })
            }
        }
    }

    /// The same; `trailer` gets each byte of the lines of trailers.
    pub fn feed_all(
        &mut self,
        bytes: &[u8],
        data: impl FnMut(&[u8]),
        trailer: impl FnMut(u8),
    ) -> Result<Fed, Refusal> {
        match self {
            Body::Chunked(chunked) => chunked.feed_all(bytes, data, trailer),
            _ => self.feed_with(bytes, data),
        }
    }

    /// Whether nothing of it is to come.
    pub fn is_ended(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunked) => chunked.is_ended(),
            Body::UntilClose => false,
        }
    }

    /// What the end of the connection means: the end of the body, or that it is not whole.
    pub fn close(&self) -> Result<(), Refusal> {
        match self {
            Body::UntilClose => Ok(()),
            _ if self.is_ended() => Ok(()),
            _ => Err(Refusal::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_so_many_bytes_and_no_more() {
        let mut body = Body::new(Framing::Length(5));
        assert_eq!(body.feed(b"abc"), Ok(Fed { taken: 3, ended: false }));
        assert_eq!(body.close(), Err(Refusal::Truncated));
        assert_eq!(body.feed(b"defg"), Ok(Fed { taken: 2, ended: true }));
        assert_eq!(body.feed(b"g"), Ok(Fed { taken: 0, ended: true }));
        assert_eq!(body.close(), Ok(()));
    }

    #[test]
    fn no_body_takes_nothing() {
        let mut body = Body::new(Framing::None);
        assert!(body.is_ended());
        assert_eq!(body.feed(b"GET"), Ok(Fed { taken: 0, ended: true }));
    }

    #[test]
    fn until_close_takes_everything_and_ends_with_the_connection() {
        let mut body = Body::new(Framing::UntilClose);
        assert_eq!(body.feed(b"abc"), Ok(Fed { taken: 3, ended: false }));
        assert_eq!(body.close(), Ok(()));
    }
}
