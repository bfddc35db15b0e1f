//! HTTP/1.1 answers as far as a load generator has to understand them (RFC 9112, sections 6 and 7). Pure.

/// What an answer's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its own length in bytes, the empty line included.
    pub length: usize,
    pub status: u16,
    /// How the body ends.
    pub body: Framing,
    /// Whether the connection may be used again.
    pub keeps: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// What arrives is not HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// No head has more fields.
const MOST_FIELDS: usize = 64;

impl Head {
    /// Reads a head from the beginning of `bytes`; `None` while it is not whole.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes).map_err(|_| Malformed)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let status = response.code.ok_or(Malformed)?;
        let mut head = Head { length, status, body: Framing::Close, keeps: response.version == Some(1) };
        for field in response.headers.iter() {
            head.note(field.name, field.value)?;
        }
        if status < 200 || status == 204 || status == 304 {
            head.body = Framing::Length(0);
        }
        head.keeps &= head.body != Framing::Close;
        Ok(Some(head))
    }

    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        if name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
            if self.body != Framing::Chunked {
                self.body = Framing::Length(length.ok_or(Malformed)?);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.body = if has_word(value, b"chunked") { Framing::Chunked } else { Framing::Close };
        } else if name.eq_ignore_ascii_case("connection") {
            self.keeps = (self.keeps || has_word(value, b"keep-alive")) && !has_word(value, b"close");
        }
        Ok(())
    }
}

/// Whether a list of words separated by commas has this one.
fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// A chunked body, as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the line with a chunk's size; an extension after a `;` is passed over.
    Size { size: u64, extension: bool },
    /// In a chunk.
    Data { left: u64 },
    /// Before the line end of a chunk.
    End,
    /// In a line after the last chunk; the empty one is the end.
    Trailer { empty: bool },
    /// Past the end.
    Over,
}

impl Chunks {
    /// Before the first chunk.
    pub const START: Chunks = Chunks::Size { size: 0, extension: false };

    /// Takes what arrived, gives the data in it to `take`, and says how much belongs to this body.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && *self != Chunks::Over {
            if let Chunks::Data { left } = *self {
                let here = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                take(&bytes[at..at + here]);
                at += here;
                let left = left - here as u64;
                *self = if left == 0 { Chunks::End } else { Chunks::Data { left } };
                continue;
            }
            *self = self.after(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// One byte that is not data.
    fn after(self, byte: u8) -> Result<Self, Malformed> {
        Ok(match (self, byte) {
            (Chunks::Size { size: 0, .. }, b'\n') => Chunks::Trailer { empty: true },
            (Chunks::Size { size, .. }, b'\n') => Chunks::Data { left: size },
            (Chunks::Size { size, extension: false }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = size.checked_mul(16).ok_or(Malformed)? + u64::from(digit);
                Chunks::Size { size, extension: false }
            }
            (Chunks::Size { size, extension }, b';' | b'\r' | b' ' | b'\t') => {
                Chunks::Size { size, extension: extension || byte != b'\r' }
            }
            (Chunks::Size { extension: true, .. }, _) => self,
            (Chunks::End | Chunks::Trailer { .. }, b'\r') => self,
            (Chunks::End, b'\n') => Chunks::START,
            (Chunks::Trailer { empty: true }, b'\n') => Chunks::Over,
            (Chunks::Trailer { .. }, _) => Chunks::Trailer { empty: byte == b'\n' },
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::read(text.as_bytes()).expect("an answer").expect("whole")
    }

    #[test]
    fn the_framing_of_a_body_is_read_from_its_head() {
        for (fields, body, keeps) in [
            ("content-length: 5\r\n", Framing::Length(5), true),
            ("Content-Length: 5\r\nConnection: close\r\n", Framing::Length(5), false),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Framing::Chunked, true),
            ("content-length: 5\r\ntransfer-encoding: gzip, Chunked\r\n", Framing::Chunked, true),
            ("", Framing::Close, false),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let expected = Head { length: text.len(), status: 200, body, keeps };
            assert_eq!(head(&text), expected, "{fields}");
        }
        assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").body, Framing::Length(0));
        assert!(!head("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n").keeps);
        assert!(head("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\n").keeps);
    }

    #[test]
    fn a_head_is_waited_for_and_nonsense_is_not() {
        assert_eq!(Head::read(b"HTTP/1.1 200 OK\r\ncontent-le"), Ok(None));
        assert_eq!(Head::read(b"SSH-2.0-OpenSSH\r\n\r\n"), Err(Malformed));
        assert_eq!(Head::read(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), Err(Malformed));
    }

    #[test]
    fn a_chunked_body_is_the_same_however_it_arrives() {
        let body = b"4;name=value\r\nHell\r\n1\r\no\r\n0\r\nTrailer: x\r\n\r\n";
        for piece in 1..=body.len() {
            let (mut chunks, mut data) = (Chunks::START, Vec::new());
            for part in body.chunks(piece) {
                let taken = chunks.feed(part, |bytes| data.extend_from_slice(bytes));
                assert_eq!(taken, Ok(part.len()));
            }
            assert_eq!((chunks, data.as_slice()), (Chunks::Over, b"Hello".as_slice()), "by {piece}");
        }
    }

    #[test]
    fn what_follows_a_body_is_not_of_it() {
        let mut chunks = Chunks::START;
        assert_eq!(chunks.feed(b"0\r\n\r\nHTTP/1.1 200 OK", |_| ()), Ok(5));
        for bad in ["zz\r\n", "11111111111111111\r\n"] {
            let mut chunks = Chunks::START;
            assert_eq!(chunks.feed(bad.as_bytes(), |_| ()), Err(Malformed), "{bad}");
        }
    }
}
