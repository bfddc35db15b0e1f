//! A connection to which bytes are written by hand.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and what came over it.
pub struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the balancer accepts");
        stream.set_nodelay(true).expect("a socket");
        Raw { stream, received: Vec::new() }
    }

    /// Sends these bytes.
    pub async fn write(&mut self, text: &str) {
        timeout(PATIENCE, self.stream.write_all(text.as_bytes()))
            .await
            .expect("taken in time")
            .expect("sent");
    }

    /// Sends no more.
    pub async fn finish(&mut self) {
        let _may_have_ended = self.stream.shutdown().await;
    }

    /// Takes everything up to the end of the connection, and whether it broke in place of ending.
    pub async fn rest(&mut self) -> (String, bool) {
        let broke = loop {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
            match read.unwrap_or_else(|_| panic!("no end: {:?}", String::from_utf8_lossy(&self.received))) {
                Ok(0) => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        (String::from_utf8(std::mem::take(&mut self.received)).expect("text"), broke)
    }

    /// Takes what came up to and with `text`, waiting for it.
    pub async fn read_to(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.received.windows(text.len()).position(|window| window == text.as_bytes()) {
                let taken = self.received.drain(..at + text.len()).collect();
                return String::from_utf8(taken).expect("text");
            }
            assert!(
                self.more().await,
                "the end before {text:?}: {:?}",
                String::from_utf8_lossy(&self.received)
            );
        }
    }

    /// Takes everything up to the end of the connection.
    pub async fn read_to_end(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.received)).expect("text")
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
        let read = read
            .unwrap_or_else(|_| panic!("nothing more than {:?}", String::from_utf8_lossy(&self.received)));
        read.expect("read") > 0
    }
}
