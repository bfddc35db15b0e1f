//! One HTTP/1.1 connection, driven by whoever waits for its answer: no task of its own, so no switch between
//! tasks for each request, and no allocation but the server's name.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    message::{Chunks, Framing, Head},
    report::{Answered, Failure},
};

/// How much of a body is looked at for the server's name.
const BEGINNING: usize = 4096;

/// What is read at a time; no head is longer.
const BUFFER: usize = 16 << 10;

/// An open connection. After an error, or an exchange that was not awaited to its end, it is of no more use.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// Whether another request may be sent.
    keeps: bool,
}

/// Why there is no answer.
pub(super) enum ExchangeError {
    /// The connection was closed before anything of the request was sent.
    Unsent,
    /// It broke later, before an answer's head, or what came is no answer.
    Broken,
    /// It broke within the answer's body.
    Truncated,
}

impl Connection {
    /// To the first of the addresses that accepts.
    pub async fn open(addresses: &[SocketAddr]) -> io::Result<Self> {
        let stream = TcpStream::connect(addresses).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; BUFFER].into(), keeps: true })
    }

    /// Sends the request and the body after it, of which nothing is looked at, and reads the answer to its end.
    pub async fn exchange(&mut self, request: &[u8], body: &[u8]) -> Result<Answered, ExchangeError> {
        if !self.keeps || self.was_closed() {
            return Err(ExchangeError::Unsent);
        }
        self.keeps = false; // until the answer is whole
        self.stream.write_all(request).await.map_err(|_| ExchangeError::Broken)?;
        self.stream.write_all(body).await.map_err(|_| ExchangeError::Broken)?;
        self.answer().await
    }

    /// Waits until the server has closed it, as it was asked to. Then it is forgotten on both sides at once, by a reset: tens
    /// of thousands a second that linger (TIME-WAIT, RFC 9293, section 3.6.1; two minutes in the tables of a firewall)
    /// soon leave no room for more.
    pub async fn end(mut self) -> io::Result<()> {
        match self.stream.read(&mut self.buffer).await? {
            0 => self.stream.set_zero_linger(),
            _ => Err(malformed()),
        }
    }

    /// Whether the server has ended the idle connection, or said something unasked. Asks the system only where
    /// something has happened: a read that did not fill the buffer has left the connection known to be quiet.
    fn was_closed(&self) -> bool {
        !matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn answer(&mut self) -> Result<Answered, ExchangeError> {
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled).await.map_err(|_| ExchangeError::Broken)?;
            match Head::read(&self.buffer[..filled]).map_err(|_| ExchangeError::Broken)? {
                Some(Head { status: 100..200, length, .. }) => {
                    self.buffer.copy_within(length..filled, 0); // another head follows
                    filled -= length;
                }
                Some(head) => break head,
                None => {}
            }
        };
        let rest = head.length..filled;
        match head.body {
            Framing::Length(length) if length <= rest.len() as u64 => {
                self.keeps = head.keeps && length == rest.len() as u64;
                let body = &self.buffer[rest][..length as usize];
                Ok(Answered::new(head.status, beginning(body)))
            }
            _ => self.long_answer(head, rest).await.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => ExchangeError::Broken,
                _ => ExchangeError::Truncated,
            }),
        }
    }

    /// An answer whose body is not whole yet, or chunked. The part of it that is there is `rest` of the buffer.
    async fn long_answer(&mut self, head: Head, rest: std::ops::Range<usize>) -> io::Result<Answered> {
        let mut kept = Vec::new();
        let mut keep = |data: &[u8]| {
            let room = BEGINNING - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
        };
        let mut chunks = Chunks::START;
        let mut left = if let Framing::Length(length) = head.body { length } else { u64::MAX };
        let mut part = rest;
        loop {
            let bytes = &self.buffer[part.clone()];
            let (over, taken) = match head.body {
                Framing::Chunked => {
                    let taken = chunks.feed(bytes, &mut keep).map_err(|_| malformed())?;
                    (chunks == Chunks::Over, taken)
                }
                Framing::Length(_) | Framing::Close => {
                    let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    keep(&bytes[..taken]);
                    left -= taken as u64;
                    (left == 0, taken)
                }
            };
            if over {
                self.keeps = head.keeps && taken == bytes.len();
                break;
            }
            part = match self.read(0).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && head.body == Framing::Close => {
                    break;
                }
                read => 0..read?,
            };
        }
        Ok(Answered::new(head.status, &kept))
    }

    /// Reads once into the buffer after what is there.
    async fn read(&mut self, filled: usize) -> io::Result<usize> {
        if filled == self.buffer.len() {
            return Err(malformed());
        }
        match self.stream.read(&mut self.buffer[filled..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => Ok(length),
        }
    }

    /// Returns when the server has closed the idle connection and that was seen.
    #[cfg(test)]
    pub async fn closed(&mut self) {
        let _closed = self.stream.readable().await;
    }
}

impl From<ExchangeError> for Failure {
    /// Of a connection that was new, so that its end was no old one's.
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unsent | ExchangeError::Broken => Failure::Broken,
            ExchangeError::Truncated => Failure::Truncated,
        }
    }
}

fn beginning(body: &[u8]) -> &[u8] {
    &body[..body.len().min(BEGINNING)]
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
