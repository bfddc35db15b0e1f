//! What a child writes: kept, handed on to those who follow it, and repeated on the balancer's own stderr.

use std::{
    collections::VecDeque,
    io::Write,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    sync::broadcast::{self, error::RecvError},
};

use crate::engine::EngineError;

/// The lines that are kept.
const KEPT: usize = 500;
/// The longest piece that counts as a line, in bytes; what is longer goes on in the next.
const LONGEST: u64 = 4096;
/// The lines that one who follows may be behind; then he misses some.
const BEHIND: usize = 256;

/// The last lines of a child, and a feed of those to come.
#[derive(Debug)]
pub(super) struct Output {
    /// Locked because both pipes' readers write and every follower reads; never held across an await.
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    lines: VecDeque<Bytes>,
    /// `None` when there is nothing more to come.
    feed: Option<broadcast::Sender<Bytes>>,
}

impl Output {
    pub(super) fn new() -> Arc<Self> {
        let feed = Some(broadcast::channel(BEHIND).0);
        Arc::new(Output { inside: Mutex::new(Inside { lines: VecDeque::new(), feed }) })
    }

    /// Takes in what comes through one of the child's pipes, until that is closed.
    pub(super) async fn drain(self: Arc<Self>, pipe: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let _nobody_reads_it = std::io::stderr().write_all(&line);
            self.write(std::mem::take(&mut line).into());
        }
    }

    fn write(&self, line: Bytes) {
        let mut inside = self.inside.lock().expect("nobody panics while holding it");
        if inside.lines.len() == KEPT {
            inside.lines.pop_front();
        }
        inside.lines.push_back(line.clone());
        let _nobody_follows = inside.feed.as_ref().map(|feed| feed.send(line));
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.inside.lock().expect("nobody panics while holding it").feed = None;
    }

    /// The last `tail` lines, and with `follow` those to come.
    pub(super) fn read(&self, tail: usize, follow: bool) -> BoxStream<'static, Result<Bytes, EngineError>> {
        let inside = self.inside.lock().expect("nobody panics while holding it");
        let skipped = inside.lines.len().saturating_sub(tail);
        let last: Vec<Bytes> = inside.lines.iter().skip(skipped).cloned().collect();
        let feed = inside.feed.as_ref().filter(|_| follow).map(broadcast::Sender::subscribe);
        let coming = stream::unfold(feed, async |feed| {
            let mut feed = feed?;
            loop {
                match feed.recv().await {
                    Ok(line) => break Some((line, Some(feed))),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break None,
                }
            }
        });
        stream::iter(last).chain(coming).map(Ok).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(stream: BoxStream<'static, Result<Bytes, EngineError>>) -> String {
        let pieces: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_and_a_follower_gets_the_rest_until_the_end() {
        let output = Output::new();
        output.clone().drain(&b"one\ntwo\nthree"[..]).await;
        assert_eq!(text(output.read(2, false)).await, "two\nthree");
        let follower = output.read(1, true);
        output.clone().drain(&b"\nfour\n"[..]).await;
        output.end();
        assert_eq!(text(follower).await, "three\nfour\n");
        assert_eq!(text(output.read(9, true)).await, "one\ntwo\nthree\nfour\n");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_in_lines_and_in_their_length() {
        let output = Output::new();
        output.clone().drain(&vec![b'x'; 10_000][..]).await;
        output.clone().drain(&b"y\n".repeat(KEPT - 2)[..]).await;
        let lines: Vec<Bytes> = output.read(usize::MAX, false).map(Result::unwrap).collect().await;
        assert_eq!(lines.len(), KEPT);
        assert_eq!(lines[0].len(), 4096);
    }
}
