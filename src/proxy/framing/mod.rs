//! Where messages of HTTP/1.1 begin and end: bytes in, decisions out (RFC 9112). Pure: no socket, no clock, no runtime.
//!
//! Strict by construction: what two parsers could read differently is a [`Refusal`], never a guess. What is not whole is
//! asked for again. Results borrow from the bytes they were read from, and bodies are passed on as the bytes that came,
//! so nothing here allocates but the vectors that callers bring along.
//!
//! In the order of a message's way: [`preamble`] says whose a connection is, [`request`] reads a client's head, [`path`] is
//! how its path is compared with routes, [`cookie`] finds its cookies, [`forwarded`] what proxies say of the client and [`introduction`] what we say,
//! [`rewrite`] writes the head that goes to the replica, [`body`] says how many of the bytes after it belong to it; then
//! [`response`], and the same back.

pub mod body;
pub mod chunked;
pub mod cookie;
pub mod fields;
pub mod forwarded;
pub mod introduction;
pub mod path;
pub mod preamble;
pub mod refusal;
pub mod request;
pub mod response;
pub mod rewrite;
pub mod target;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;

pub use body::{Body, Fed};
pub use fields::{Fields, Kind, Scratch};
pub use forwarded::Before;
pub use introduction::{Introduction, Tells, TellsError};
pub use preamble::Preamble;
pub use refusal::Refusal;
pub use request::Request;
pub use response::{Asked, Response};
pub use target::Target;

/// The most fields that a limit may allow.
pub const MOST_FIELDS: usize = 512;
/// Empty lines before a head that are passed over (RFC 9112, section 2.2, asks for one).
const EMPTY_LINES: usize = 4;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, its empty line included.
    pub head: usize,
    /// Fields of a head, at most [`MOST_FIELDS`].
    pub fields: usize,
    /// Bytes of a request's target.
    pub target: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head: 64 * 1024, fields: 128, target: 16 * 1024 }
    }
}

/// A message's version; others are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the end of a message's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// It has this many bytes.
    Length(u64),
    /// It comes in chunks.
    Chunked,
    /// It ends with the connection; responses only.
    UntilClose,
}

/// How far a head that is not whole yet has been looked at, so that many small reads cost no more than a few parses.
/// Starts anew, as [`default`](Default::default), with each message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    seen: usize,
    parsed: usize,
}

impl Progress {
    /// Whether these bytes, of which there are more than the last time, are worth a parse: they may hold a whole head, or
    /// have doubled since the last one, or are as many as there may be.
    fn is_due(&mut self, bytes: &[u8], limit: usize) -> bool {
        let unseen = &bytes[self.seen.saturating_sub(2).min(bytes.len())..];
        let due = self.parsed == 0
            || bytes.len() >= limit.min(2 * self.parsed)
            || unseen.windows(2).any(|pair| pair == b"\n\n" || pair == b"\n\r");
        self.seen = bytes.len();
        if due {
            self.parsed = bytes.len();
        }
        due
    }
}

/// The length of the empty lines before a request.
fn empty_lines(bytes: &[u8]) -> Result<usize, Refusal> {
    let mut at = 0;
    loop {
        match &bytes[at..] {
            [b'\r', b'\n', ..] if at == 2 * EMPTY_LINES => return Err(Refusal::EmptyLines),
            [b'\r', b'\n', ..] => at += 2,
            [b'\r', _, ..] | [b'\n', ..] => return Err(Refusal::LineEnd),
            _ => return Ok(at),
        }
    }
}

/// Where a part of `whole` begins in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    let at = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    assert!(at <= whole.len(), "a part of the whole");
    at
}

/// What a word may consist of (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a field's value may consist of (RFC 9110, section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
