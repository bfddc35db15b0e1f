//! A connection on which messages are read as they are written: by both ends, without mercy for what is not whole.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection, and what came over it and was not taken.
pub struct Wire {
    pub stream: TcpStream,
    came: Vec<u8>,
}

/// A whole request or response.
#[derive(Debug)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a header field, if it has that.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The value of a header field, if this head has it.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.find(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn length(head: &str) -> usize {
    field(head, "content-length").map_or(0, |length| length.parse().expect("a length"))
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        Wire { stream, came: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(address).await.map(Wire::new)
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends it as a process does that is killed with data unread: the other end sees a break.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    /// The next message's head; `None` at the end.
    pub async fn head(&mut self) -> io::Result<Option<String>> {
        match self.find(b"\r\n\r\n").await {
            Ok(at) => Ok(Some(String::from_utf8(self.take(at + 4).await?).expect("text"))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.came.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The body after this head.
    pub async fn body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        if field(head, "transfer-encoding") == Some("chunked") {
            return self.chunks().await;
        }
        self.take(length(head)).await
    }

    /// The next message; `None` at the end.
    pub async fn message(&mut self) -> io::Result<Option<Message>> {
        let Some(head) = self.head().await? else { return Ok(None) };
        let body = self.body(&head).await?;
        Ok(Some(Message { head, body }))
    }

    /// The next response, which has to come.
    pub async fn response(&mut self) -> Message {
        self.message().await.expect("a whole response").expect("a response")
    }

    /// Takes the body after this head, which tells its length, and forgets it.
    pub async fn skip(&mut self, head: &str) -> io::Result<()> {
        let mut left = length(head);
        let there = left.min(self.came.len());
        self.came.drain(..there);
        left -= there;
        let mut input = vec![0; 256 * 1024];
        while left > 0 {
            let most = left.min(input.len());
            let read = self.stream.read(&mut input[..most]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read;
        }
        Ok(())
    }

    /// Waits until the other end ends it.
    pub async fn ends(&mut self) {
        while self.more().await.is_ok() {
            self.came.clear();
        }
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let at = self.find(b"\r\n").await?;
            let line = String::from_utf8(self.take(at + 2).await?).expect("text");
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
            let chunk = self.take(size + 2).await?;
            assert!(chunk.ends_with(b"\r\n"), "a chunk's end");
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn find(&mut self, mark: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(at) = self.came.windows(mark.len()).position(|window| window == mark) {
                return Ok(at);
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.came.len() < length {
            self.more().await?;
        }
        Ok(self.came.drain(..length).collect())
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.came).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
