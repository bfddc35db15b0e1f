//! A replica's head (RFC 9112, sections 4 and 6.3).

use std::mem::MaybeUninit;

use super::{
    Fields, Framing, Limits, MOST_FIELDS, Progress, Refusal, Scratch,
    fields::{self, Facts},
};

/// What a response is the answer to; it decides where the response ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The request was HEAD.
    pub is_head: bool,
    /// The request asked for another protocol.
    pub upgrades: bool,
}

/// A response's head, in the bytes that it came in.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status, 100 to 999.
    pub status: u16,
    /// The words after it, as they came.
    pub reason: &'a [u8],
    /// Where its body ends. After an interim response the next one follows; after 101 another protocol.
    pub framing: Framing,
    /// Whether the replica takes another request after this on its connection.
    pub keep_alive: bool,
    /// Its fields, all of them.
    pub fields: Fields<'a>,
    /// Its length in bytes; where the body begins.
    pub len: usize,
}

/// The length of `HTTP/1.1 200`.
const STATUS_END: usize = 12;

impl<'a> Response<'a> {
    /// Reads the head at the beginning of `bytes`; `None` if it is not whole yet. What comes after it does not matter.
    /// However the bytes arrive in pieces, a whole head is read the same.
    pub fn parse(
        bytes: &'a [u8],
        asked: Asked,
        progress: &mut Progress,
        limits: &Limits,
        scratch: &'a mut Scratch,
    ) -> Result<Option<Self>, Refusal> {
        if matches!(bytes, [b'\r' | b'\n', ..]) {
            return Err(Refusal::StatusLine);
        }
        if !progress.is_due(bytes, limits.head) {
            return Ok(None);
        }
        let text = &bytes[..bytes.len().min(limits.head)];
        let mut slots = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let slots = &mut slots[..limits.fields.min(MOST_FIELDS)];
        match config.parse_response_with_uninit_headers(&mut parsed, text, slots)? {
            httparse::Status::Complete(len) => {
                let head = &text[..len];
                let (fields, facts) = fields::collect(head, parsed.headers, scratch)?;
                Response::new(&parsed, head, fields, &facts, asked).map(Some)
            }
            httparse::Status::Partial if bytes.len() < limits.head => Ok(None),
            httparse::Status::Partial => Err(Refusal::HeadTooLong),
        }
    }

    /// Whether another response to the same request follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether the replica goes on in another protocol.
    pub fn switches(&self) -> bool {
        self.status == 101
    }

    fn new(
        parsed: &httparse::Response<'_, 'a>,
        head: &'a [u8],
        fields: Fields<'a>,
        facts: &Facts<'a>,
        asked: Asked,
    ) -> Result<Self, Refusal> {
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            unreachable!("a whole head has a status line");
        };
        let is_new = minor == 1;
        if status < 100 {
            return Err(Refusal::StatusLine);
        }
        if facts.is_chunked && !is_new {
            return Err(Refusal::OldTransferEncoding);
        }
        if status == 101 && !(asked.upgrades && facts.upgrades && is_new) {
            return Err(Refusal::UnaskedSwitch);
        }
        let framing = framing(status, facts, asked)?;
        let ends = framing != Framing::UntilClose && status != 101;
        Ok(Response {
            status,
            reason: reason(head),
            framing,
            keep_alive: ends && !facts.closes && (is_new || facts.keeps_alive),
            fields,
            len: head.len(),
        })
    }
}

/// RFC 9112, section 6.3, without what it lets recipients repair.
fn framing(status: u16, facts: &Facts<'_>, asked: Asked) -> Result<Framing, Refusal> {
    match facts.content_length {
        Some(1..) if status < 200 || status == 204 => Err(Refusal::UnexpectedBody),
        _ if facts.is_chunked && (status < 200 || status == 204) => Err(Refusal::UnexpectedBody),
        _ if status < 200 || status == 204 || status == 304 || asked.is_head => Ok(Framing::None),
        _ if facts.is_chunked => Ok(Framing::Chunked),
        Some(length) => Ok(Framing::Length(length)),
        None => Ok(Framing::UntilClose),
    }
}

/// The words of a status line, which may be missing with the space before them. (httparse gives only those in ASCII.)
fn reason(head: &[u8]) -> &[u8] {
    let end = head.iter().position(|byte| *byte == b'\r').unwrap_or(head.len());
    head[STATUS_END..end].strip_prefix(b" ").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Asked = Asked { is_head: true, upgrades: false };
    const GET: Asked = Asked { is_head: false, upgrades: false };
    const UPGRADE: Asked = Asked { is_head: false, upgrades: true };

    fn with(text: &str, asked: Asked, check: impl FnOnce(Result<Option<Response<'_>>, Refusal>)) {
        let mut progress = Progress::default();
        let mut scratch = Scratch::default();
        check(Response::parse(text.as_bytes(), asked, &mut progress, &Limits::default(), &mut scratch));
    }

    fn refused(text: &str, asked: Asked) -> Refusal {
        let mut refused = None;
        with(text, asked, |response| refused = response.err());
        refused.unwrap_or_else(|| panic!("accepted: {text:?}"))
    }

    /// Where a response with this status and these lines ends.
    fn framing(status: u16, lines: &str, asked: Asked) -> Framing {
        let mut framing = None;
        let text = format!("HTTP/1.1 {status} Words\r\n{lines}\r\n");
        with(&text, asked, |response| framing = Some(response.unwrap().unwrap().framing));
        framing.unwrap()
    }

    #[test]
    fn a_head_is_read_as_it_came() {
        with("HTTP/1.1 200 Très bien\r\nA: b\r\nContent-Length: 2\r\n\r\nok", GET, |response| {
            let it = response.unwrap().unwrap();
            assert_eq!((it.status, it.reason, it.len), (200, "Très bien".as_bytes(), 52));
            assert_eq!((it.framing, it.keep_alive), (Framing::Length(2), true));
            assert_eq!(it.fields.get("a"), Some(&b"b"[..]));
        });
        for line in ["HTTP/1.1 200", "HTTP/1.1 200 "] {
            with(&format!("{line}\r\n\r\n"), GET, |it| assert_eq!(it.unwrap().unwrap().reason, b""));
        }
    }

    #[test]
    fn a_head_that_is_not_whole_is_asked_for_again() {
        let whole = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for end in 0..whole.len() {
            with(&whole[..end], GET, |response| assert!(response.unwrap().is_none(), "{end}"));
        }
    }

    #[test]
    fn a_body_ends_where_status_request_and_fields_say() {
        let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
        assert_eq!(framing(200, length, GET), Framing::Length(5));
        assert_eq!(framing(200, chunked, GET), Framing::Chunked);
        assert_eq!(framing(404, "", GET), Framing::UntilClose);
        assert_eq!(framing(205, "Content-Length: 0\r\n", GET), Framing::Length(0));
        for lines in [length, chunked, ""] {
            assert_eq!(framing(200, lines, HEAD), Framing::None);
            assert_eq!(framing(304, lines, GET), Framing::None);
        }
        for status in [100, 103, 204] {
            assert_eq!(framing(status, "Content-Length: 0\r\n", GET), Framing::None);
            let with = |lines| refused(&format!("HTTP/1.1 {status} A\r\n{lines}\r\n"), GET);
            assert_eq!((with(length), with(chunked)), (Refusal::UnexpectedBody, Refusal::UnexpectedBody));
        }
    }

    #[test]
    fn nothing_is_repaired() {
        let with = |lines: &str| refused(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), GET);
        assert_eq!(with("Content-Length: 5\r\nContent-Length: 5\r\n"), Refusal::ContentLengths);
        assert_eq!(with("Content-Length: 5, 5\r\n"), Refusal::ContentLength);
        assert_eq!(with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Refusal::LengthAndEncoding);
        assert_eq!(with("Transfer-Encoding: gzip, chunked\r\n"), Refusal::TransferEncoding);
        assert_eq!(with("A : b\r\n"), Refusal::FieldName);
        assert_eq!(with("A: b\r\n c\r\n"), Refusal::FieldName);
        assert_eq!(with("A: b\n"), Refusal::LineEnd);
        assert_eq!(with("A: b\0\r\n"), Refusal::FieldValue);
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(refused(old, GET), Refusal::OldTransferEncoding);
        for line in [
            "\r\nHTTP/1.1 200 OK",
            "HTTP/2 200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 099 A",
            "ICY 200 OK",
            "HTTP/1.1 200 a\x01",
        ] {
            assert_eq!(refused(&format!("{line}\r\n\r\n"), GET), Refusal::StatusLine, "{line}");
        }
        assert_eq!(refused("HTTP/1.1 200 OK\nA: b\r\n\r\n", GET), Refusal::LineEnd);
    }

    #[test]
    fn a_connection_is_kept_as_the_version_and_the_replica_say() {
        for (version, lines, kept) in [
            ("1.1", "Content-Length: 0\r\n", true),
            ("1.1", "Content-Length: 0\r\nConnection: close\r\n", false),
            ("1.1", "", false),
            ("1.0", "Content-Length: 0\r\n", false),
            ("1.0", "Content-Length: 0\r\nConnection: keep-alive\r\n", true),
        ] {
            let text = format!("HTTP/{version} 200 OK\r\n{lines}\r\n");
            with(&text, GET, |it| assert_eq!(it.unwrap().unwrap().keep_alive, kept, "{text}"));
        }
    }

    #[test]
    fn protocols_are_switched_only_where_that_was_asked_for() {
        let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        with(switch, UPGRADE, |it| {
            let it = it.unwrap().unwrap();
            assert!(it.switches() && !it.is_interim() && !it.keep_alive);
        });
        assert_eq!(refused(switch, GET), Refusal::UnaskedSwitch);
        assert_eq!(refused("HTTP/1.1 101 Switching\r\n\r\n", UPGRADE), Refusal::UnaskedSwitch);
        assert_eq!(refused(&switch.replace("1.1", "1.0"), UPGRADE), Refusal::UnaskedSwitch);
        with("HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n", GET, |it| assert!(it.unwrap().unwrap().is_interim()));
    }
}
