//! The fields of a head, as spans of it, and what they mean for the connection.

use super::{Refusal, is_token, offset};

/// Fields that Connection may name. Each is compared with every field, so this bounds the work.
const MOST_NOMINATED: usize = 32;

/// Where the spans of a head's fields are kept between parses: one for a thread is enough.
#[derive(Debug, Default)]
pub struct Scratch(Vec<Field>);

/// What a field means for whoever passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is between client and replica.
    EndToEnd,
    /// It says where the body ends.
    Framing,
    /// Host.
    Host,
    /// Expect.
    Expect,
    /// A statement about the client that only a proxy can make.
    Forwarding,
    /// X-Request-Id.
    RequestId,
    /// Max-Forwards.
    MaxForwards,
    /// What only we say of how a response came about.
    Own,
    /// It is for one connection only (RFC 9110, section 7.6.1).
    Hop,
    /// Connection names it, so it is for one connection only.
    Nominated,
}

/// The fields of a head.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    head: &'a [u8],
    fields: &'a [Field],
}

/// A field's line; all are offsets into the head.
#[derive(Clone, Copy, Debug)]
struct Field {
    start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    /// After its CR LF.
    end: u32,
    kind: Kind,
}

/// What the fields say together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) content_length: Option<u64>,
    pub(super) is_chunked: bool,
    pub(super) host: Option<&'a [u8]>,
    pub(super) has_hosts: bool,
    pub(super) closes: bool,
    pub(super) keeps_alive: bool,
    /// Upgrade names a protocol, and Connection names Upgrade.
    pub(super) upgrades: bool,
    pub(super) expects_continue: bool,
    pub(super) expects_else: bool,
    pub(super) wants_trailers: bool,
    pub(super) request_id: Option<&'a [u8]>,
    /// X-Request-Id comes twice, or in letters that applications take for it.
    pub(super) has_request_ids: bool,
    pub(super) max_forwards: Option<&'a [u8]>,
    pub(super) has_max_forwards: bool,
    has_connection: bool,
    has_protocol: bool,
}

impl<'a> Fields<'a> {
    /// Each field's name, value and meaning, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8], Kind)> + use<'a> {
        let head = self.head;
        self.fields.iter().map(move |field| (field.name(head), field.value(head), field.kind))
    }

    /// The values of the fields of this name, in any letters.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let named = move |(found, ..): &(&[u8], &[u8], Kind)| found.eq_ignore_ascii_case(name.as_bytes());
        self.iter().filter(named).map(|(_, value, _)| value)
    }

    /// The line before the fields, with its CR LF.
    pub(super) fn first_line(&self) -> &'a [u8] {
        &self.head[..self.fields.first().map_or(self.head.len() - 2, |field| field.start as usize)]
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Appends the lines of the fields that are kept, as they came.
    pub(super) fn copy(&self, out: &mut Vec<u8>, keeps: impl Fn(Kind) -> bool) {
        let mut run = 0..0; // lines that are next to each other go in one piece
        for field in self.fields.iter().filter(|field| keeps(field.kind)) {
            let (start, end) = (field.start as usize, field.end as usize);
            if start != run.end {
                out.extend_from_slice(&self.head[run]);
                run = start..end;
            }
            run.end = end;
        }
        out.extend_from_slice(&self.head[run]);
    }

    /// Each field's whole line, its name, its value and its meaning, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8], &'a [u8], Kind)> + use<'a> {
        let head = self.head;
        self.fields.iter().map(move |field| {
            let line = &head[field.start as usize..field.end as usize];
            (line, field.name(head), field.value(head), field.kind)
        })
    }

    /// The protocols of Upgrade, but `h2c`: HTTP/2 is spoken from the first byte or not at all.
    pub(super) fn protocols(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.all("upgrade").flat_map(members).filter(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"))
    }
}

impl Field {
    fn name<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.start as usize..self.name_end as usize]
    }

    fn value<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.value_start as usize..self.value_end as usize]
    }
}

/// The members of a list (RFC 9110, section 5.6.1).
pub(super) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Takes over the fields of `head`, a whole one that httparse has read, and says what they mean together.
pub(super) fn collect<'a>(
    head: &'a [u8],
    parsed: &[httparse::Header<'a>],
    scratch: &'a mut Scratch,
) -> Result<(Fields<'a>, Facts<'a>), Refusal> {
    // httparse takes LF alone for a line's end, too. Each name begins after one, so what is before it tells
    if !head.ends_with(b"\r\n\r\n") {
        return Err(Refusal::LineEnd);
    }
    let fields = &mut scratch.0;
    fields.clear();
    let mut facts = Facts::default();
    for header in parsed {
        let start = offset(head, header.name.as_bytes());
        if head[start - 2] != b'\r' {
            return Err(Refusal::LineEnd);
        }
        if let Some(last) = fields.last_mut() {
            last.end = start as u32;
        }
        let value_start = offset(head, header.value);
        fields.push(Field {
            start: start as u32,
            name_end: (start + header.name.len()) as u32,
            value_start: value_start as u32,
            value_end: (value_start + header.value.len()) as u32,
            end: head.len() as u32 - 2,
            kind: facts.note(header.name.as_bytes(), header.value)?,
        });
    }
    if facts.is_chunked && facts.content_length.is_some() {
        return Err(Refusal::LengthAndEncoding);
    }
    if facts.has_connection {
        facts.upgrades = options(head, fields, &mut facts)? && facts.has_protocol;
    }
    Ok((Fields { head, fields }, facts))
}

impl<'a> Facts<'a> {
    /// Notes a field, and says what it is.
    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<Kind, Refusal> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is(b"te") => self.note_te(value),
            4 if is(b"host") => {
                self.has_hosts |= self.host.replace(value).is_some();
                return Ok(Kind::Host);
            }
            6 if is(b"expect") => {
                self.note_expectation(value);
                return Ok(Kind::Expect);
            }
            7 if is(b"upgrade") => {
                self.has_protocol |= members(value).any(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"));
            }
            9 if is(b"forwarded") => return Ok(Kind::Forwarding),
            10 if is(b"connection") => self.has_connection = true,
            10 if is(b"keep-alive") => {}
            12 if is(b"max-forwards") => {
                self.has_max_forwards |= self.max_forwards.replace(value).is_some();
                return Ok(Kind::MaxForwards);
            }
            12 if resembles(name, b"x-request-id") => {
                self.has_request_ids |= self.request_id.replace(value).is_some() || name.contains(&b'_');
                return Ok(Kind::RequestId);
            }
            14 if is(b"http2-settings") => {}
            14 if resembles(name, b"content-length") => return self.note_length(name, value),
            15 if resembles(name, b"x-forwarded-for") => return Ok(Kind::Forwarding),
            16 if is(b"proxy-connection") => {}
            16 if is(b"x-ringkeeper-key") => return Ok(Kind::Own),
            16 if resembles(name, b"x-forwarded-host") => return Ok(Kind::Forwarding),
            17 if resembles(name, b"x-forwarded-proto") => return Ok(Kind::Forwarding),
            17 if resembles(name, b"transfer-encoding") => return self.note_encoding(name, value),
            20 if is(b"x-ringkeeper-replica") => return Ok(Kind::Own),
            21 if is(b"x-ringkeeper-attempts") => return Ok(Kind::Own),
            _ => return Ok(Kind::EndToEnd),
        }
        Ok(Kind::Hop)
    }

    fn note_length(&mut self, name: &[u8], value: &[u8]) -> Result<Kind, Refusal> {
        if name.contains(&b'_') {
            return Err(Refusal::Lookalike);
        }
        let length = length(value).ok_or(Refusal::ContentLength)?;
        if self.content_length.replace(length).is_some() {
            return Err(Refusal::ContentLengths);
        }
        Ok(Kind::Framing)
    }

    fn note_encoding(&mut self, name: &[u8], value: &[u8]) -> Result<Kind, Refusal> {
        if name.contains(&b'_') {
            return Err(Refusal::Lookalike);
        }
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::TransferEncoding);
        }
        self.is_chunked = true;
        Ok(Kind::Framing)
    }

    fn note_expectation(&mut self, value: &[u8]) {
        for expectation in members(value) {
            let known = expectation.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= known;
            self.expects_else |= !known;
        }
    }

    fn note_te(&mut self, value: &[u8]) {
        self.wants_trailers |= members(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    }
}

/// Goes by what Connection says, and marks the fields that it names. Returns whether it names Upgrade.
fn options(head: &[u8], fields: &mut [Field], facts: &mut Facts<'_>) -> Result<bool, Refusal> {
    let mut upgrades = false;
    let mut nominated = 0;
    for at in 0..fields.len() {
        let field = fields[at];
        if !field.name(head).eq_ignore_ascii_case(b"connection") {
            continue;
        }
        for option in members(field.value(head)) {
            match option {
                _ if !option.iter().copied().all(is_token) => return Err(Refusal::Connection),
                _ if option.eq_ignore_ascii_case(b"close") => facts.closes = true,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => facts.keeps_alive = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => upgrades = true,
                _ if nominated == MOST_NOMINATED => return Err(Refusal::Connection),
                _ => {
                    nominated += 1;
                    nominate(head, fields, option);
                }
            }
        }
    }
    Ok(upgrades)
}

/// Marks the fields of this name. Those that a message is nothing without stay: Host, and where the body ends.
fn nominate(head: &[u8], fields: &mut [Field], option: &[u8]) {
    let named = fields.iter_mut().filter(|field| field.kind == Kind::EndToEnd);
    for field in named.filter(|field| field.name(head).eq_ignore_ascii_case(option)) {
        field.kind = Kind::Nominated;
    }
}

/// A Content-Length: digits and nothing else, without leading zeros, as large as a signed number may be.
fn length(value: &[u8]) -> Option<u64> {
    let digits = match value {
        [b'0'] => return Some(0),
        [b'1'..=b'9', ..] if value.len() <= 19 => value,
        _ => return None,
    };
    let mut length = 0u64;
    for digit in digits {
        length = length * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    (length <= i64::MAX as u64).then_some(length)
}

/// Whether applications could take one name for the other: CGI and its heirs write `-` as `_`.
fn resembles(name: &[u8], known: &[u8]) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == known.len() && name.iter().zip(known).all(|(byte, known)| plain(*byte) == *known)
}
