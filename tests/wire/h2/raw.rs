//! Frames of HTTP/2, written and read by hand (RFC 9113, section 4).

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::support::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A good request; its host is last.
pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The frames of a connection, in order.
#[derive(Debug)]
pub struct Frames(pub Vec<Frame>);

/// What a client begins with.
pub fn opening() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request without a body. Its fields are literals that no table keeps (RFC 7541, section 6.2.2).
pub fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

impl Frames {
    /// What comes up to and with a frame of which this holds.
    pub async fn until(stream: &mut TcpStream, is_last: impl Fn(&Frame) -> bool) -> Self {
        let mut frames = Vec::new();
        let read = async {
            while !frames.last().is_some_and(&is_last) {
                frames.push(read(stream).await.expect("a frame before the end"));
            }
        };
        timeout(PATIENCE, read).await.expect("it comes in time");
        Frames(frames)
    }

    /// What comes until the connection ends.
    pub async fn to_end(stream: &mut TcpStream) -> Self {
        let mut frames = Vec::new();
        let read = async {
            while let Some(frame) = read(stream).await {
                frames.push(frame);
            }
        };
        timeout(PATIENCE, read).await.expect("it ends in time");
        Frames(frames)
    }

    /// The status of the response on this stream, which is one of those that HPACK has a number for.
    pub fn status(&self, stream: u32) -> Option<u16> {
        let head = self.0.iter().find(|frame| frame.kind == HEADERS && frame.stream == stream)?;
        // after maybe a new size of the table
        let first = head.payload.iter().find(|byte| **byte & 0xe0 != 0x20)?;
        match first {
            0x88 => Some(200),
            0x8c => Some(400),
            _ => None,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], stream: id, payload })
}
