//! Chunked bodies (RFC 9112, section 7.1), checked while they pass by. Sizes are plain, lines end in CR LF, whitespace
//! stands nowhere, trailers are fields that may come late.

use super::{Fed, Refusal, is_text, is_token};

/// Digits of a chunk's size.
const DIGITS: u8 = 16;
/// Bytes of a body's extensions together: whoever sends more of them wants them to be read.
const EXTENSIONS: u32 = 16_000;
/// Bytes of a body's trailers together.
const TRAILERS: u32 = 16_000;
/// A body's trailers.
const TRAILER_FIELDS: u8 = 64;
/// Letters of a trailer's name that are looked at.
const NAME: usize = 24;

/// What only a header may hold (RFC 9110, section 6.5.1): where a message ends, where it goes, who sends it, how to read
/// it. Recipients that merge trailers into the header would believe them.
const FORBIDDEN: [&[u8]; 26] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"http2-settings",
    b"keep-alive",
    b"max-forwards",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-request-id",
];

/// A chunked body on its way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunked {
    state: State,
    /// The size of a chunk while it is read, then what is left of it.
    size: u64,
    /// Bytes of extensions so far.
    extensions: u32,
    /// Bytes of trailers so far.
    trailers: u32,
    trailer_fields: u8,
    /// The beginning of a trailer's name, in small letters.
    name: [u8; NAME],
    name_length: usize,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A digit of a size that has so many.
    Size(u8),
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// A trailer or the last line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    NameStart,
    Name,
    ValueStart,
    Value,
    Quoted,
    Escaped,
    QuotedEnd,
}

impl Default for State {
    fn default() -> Self {
        State::Size(0)
    }
}

impl Chunked {
    /// Takes the next bytes, as many as belong to the body. `data` gets the content among them, piece by piece.
    pub fn feed_with(&mut self, bytes: &[u8], data: impl FnMut(&[u8])) -> Result<Fed, Refusal> {
        self.feed_all(bytes, data, |_| ())
    }

    /// The same; `trailer` gets each byte of the trailers' lines.
    pub fn feed_all(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]),
        mut trailer: impl FnMut(u8),
    ) -> Result<Fed, Refusal> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Ended {
            if self.state == State::Data {
                let rest = &bytes[at..];
                let piece = &rest[..usize::try_from(self.size).unwrap_or(usize::MAX).min(rest.len())];
                data(piece);
                at += piece.len();
                self.size -= piece.len() as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
            } else {
                let was = self.state;
                self.state = self.step(bytes[at])?;
                if matches!(was, State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerLf)
                {
                    trailer(bytes[at]);
                }
                at += 1;
            }
        }
        Ok(Fed { taken: at, ended: self.is_ended() })
    }

    /// Whether nothing of it is to come.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// The state after a byte that is no content.
    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::Size(digits), _) => self.size(digits, byte),
            (State::Extension(extension), _) => self.extension(extension, byte),
            (State::SizeLf, b'\n') if self.size == 0 => Ok(State::Trailer),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::SizeLf, _) => Err(Refusal::ChunkSize),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size(0)),
            (State::LastLf, b'\n') => Ok(State::Ended),
            (State::DataCr | State::DataLf, _) => Err(Refusal::ChunkEnd),
            (State::LastLf, _) => Err(Refusal::Trailer),
            (State::Data | State::Ended, _) => unreachable!("steps are for what is between contents"),
            (State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerLf, _) => {
                self.trailer(byte)
            }
        }
    }

    fn size(&mut self, digits: u8, byte: u8) -> Result<State, Refusal> {
        match (byte as char).to_digit(16) {
            Some(_) if digits == DIGITS => Err(Refusal::ChunkSize),
            Some(digit) => {
                self.size = if digits == 0 { 0 } else { self.size << 4 } | u64::from(digit);
                // what others could take for a negative number is refused, too
                if self.size > i64::MAX as u64 {
                    Err(Refusal::ChunkSize)
                } else {
                    Ok(State::Size(digits + 1))
                }
            }
            None if digits == 0 => Err(Refusal::ChunkSize),
            None if byte == b'\r' => Ok(State::SizeLf),
            None if byte == b';' => self.extension(Extension::Name, byte),
            None => Err(Refusal::ChunkSize),
        }
    }

    fn extension(&mut self, state: Extension, byte: u8) -> Result<State, Refusal> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS {
            return Err(Refusal::ChunkExtensions);
        }
        use Extension::*;
        let next = match (state, byte) {
            (Name | Value | QuotedEnd, b'\r') => return Ok(State::SizeLf),
            (Name | Value | QuotedEnd, b';') => NameStart,
            (Name, b'=') => ValueStart,
            (ValueStart, b'"') => Quoted,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, _) if is_text(byte) => Quoted,
            (NameStart | Name, _) if is_token(byte) => Name,
            (ValueStart | Value, _) if is_token(byte) => Value,
            _ => return Err(Refusal::ChunkExtension),
        };
        Ok(State::Extension(next))
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Refusal> {
        if self.state == State::Trailer && byte == b'\r' {
            return Ok(State::LastLf);
        }
        self.trailers += 1;
        if self.trailers > TRAILERS {
            return Err(Refusal::Trailers);
        }
        match (self.state, byte) {
            (State::Trailer, _) if is_token(byte) => {
                self.trailer_fields += 1;
                if self.trailer_fields > TRAILER_FIELDS {
                    return Err(Refusal::Trailers);
                }
                self.name_length = 0;
                self.note(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => self.named().map(|()| State::TrailerValue),
            (State::TrailerName, _) if is_token(byte) => {
                self.note(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::Trailer),
            _ => Err(Refusal::Trailer),
        }
    }

    /// Notes a letter of a trailer's name; a longer name than is noted is none of the forbidden.
    fn note(&mut self, byte: u8) {
        if let Some(letter) = self.name.get_mut(self.name_length) {
            *letter = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        }
        self.name_length += 1;
    }

    fn named(&self) -> Result<(), Refusal> {
        let name = self.name.get(..self.name_length).unwrap_or_default();
        if FORBIDDEN.contains(&name) { Err(Refusal::ForbiddenTrailer) } else { Ok(()) }
    }
}

/// Whether a field of this name, in small letters, may be a trailer.
pub fn may_be_trailer(name: &str) -> bool {
    let letter = |byte: u8| if byte == b'_' { b'-' } else { byte };
    !FORBIDDEN.iter().any(|known| name.bytes().map(letter).eq(known.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content and the length of a whole body at the beginning of `text`.
    fn read(text: &str) -> Result<(String, usize), Refusal> {
        let mut content = Vec::new();
        let fed = Chunked::default().feed_with(text.as_bytes(), |piece| content.extend_from_slice(piece))?;
        if fed.ended { Ok((String::from_utf8(content).unwrap(), fed.taken)) } else { Err(Refusal::Truncated) }
    }

    #[test]
    fn content_is_what_the_sizes_say() {
        assert_eq!(
            read("5\r\nhello\r\n00A;x=1\r\n, world!\r\n\r\n0\r\n\r\nGET"),
            Ok(("hello, world!\r\n".into(), 36))
        );
        assert_eq!(read("0\r\n\r\n"), Ok((String::new(), 5)));
        assert_eq!(read("000\r\n\r\n"), Ok((String::new(), 7)));
    }

    #[test]
    fn sizes_are_plain() {
        for size in [
            "",
            "g",
            "0x5",
            "+5",
            "-5",
            " 5",
            "5 ",
            "5\t",
            "5\n",
            "\n5",
            "5,",
            "00000000000000005",
            "8000000000000000",
            "ffffffffffffffff",
        ] {
            assert_eq!(read(&format!("{size}\r\nhello\r\n0\r\n\r\n")), Err(Refusal::ChunkSize), "{size:?}");
        }
        assert_eq!(read("7fffffffffffffff\r\na"), Err(Refusal::Truncated));
        assert_eq!(read("5\r\r\nhello"), Err(Refusal::ChunkSize));
    }

    #[test]
    fn chunks_end_where_their_size_says() {
        for body in [
            "4\r\nhello\r\n0\r\n\r\n",
            "6\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
        ] {
            assert_eq!(read(body), Err(Refusal::ChunkEnd), "{body:?}");
        }
        assert_eq!(read("5\r\nhello\r\n"), Err(Refusal::Truncated));
    }

    #[test]
    fn extensions_are_names_and_values() {
        for good in [";a", ";a=b", ";a=\"b;\\\"\tc\";d", ";a=b;c=d"] {
            assert_eq!(read(&format!("1{good}\r\na\r\n0{good}\r\n\r\n")).unwrap().0, "a", "{good:?}");
        }
        for bad in [";", ";;", ";=", ";a=", ";a b", "; a", ";a =b", ";a=\"b\"c", ";a=\"\n\"", ";a=b\n", ";\0"]
        {
            assert_eq!(read(&format!("1{bad}\r\na\r\n")), Err(Refusal::ChunkExtension), "{bad:?}");
        }
        let long = format!("1;a={}\r\na\r\n", "b".repeat(5_000));
        assert_eq!(read(&long.repeat(4)), Err(Refusal::ChunkExtensions));
    }

    #[test]
    fn trailers_are_fields_that_may_come_late() {
        let with = |lines: &str| read(&format!("0\r\n{lines}\r\n"));
        assert_eq!(with("Grpc-Status: 0\r\nA:\r\n").unwrap().1, 25);
        for bad in [
            "A\r\n",
            "A : b\r\n",
            " A: b\r\n",
            "A: b\n",
            "A: b\r\n c\r\n",
            ": b\r\n",
            "A: \0\r\n",
            "A: \r\r\n",
        ] {
            assert_eq!(with(bad), Err(Refusal::Trailer), "{bad:?}");
        }
        for name in
            ["Content-Length", "TRANSFER-ENCODING", "Host", "transfer_encoding", "TE", "X-Forwarded-For"]
        {
            assert_eq!(with(&format!("{name}: 5\r\n")), Err(Refusal::ForbiddenTrailer), "{name}");
        }
        assert!(with(&format!("{}: b\r\n", "a".repeat(NAME + 1))).is_ok());
        assert_eq!(with(&"A: b\r\n".repeat(65)), Err(Refusal::Trailers));
        assert_eq!(with(&format!("A: {}\r\n", "b".repeat(16_000))), Err(Refusal::Trailers));
    }
}
