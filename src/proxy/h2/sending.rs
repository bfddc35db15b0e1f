//! A request's body of HTTP/1.1 on its way to a replica that speaks HTTP/2.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;

use super::head;
use crate::proxy::framing::Body;

/// What is taken at once: a frame of HTTP/2.
const PIECE: usize = 16 * 1024;

/// A body that comes as HTTP/1.1 writes it.
#[derive(Debug)]
pub(super) struct Sending {
    stream: SendStream<Bytes>,
    body: Body,
    /// The lines of its trailers so far.
    trailers: Vec<u8>,
}

impl Sending {
    /// A body of which nothing has come, and that goes there.
    pub(super) fn new(stream: SendStream<Bytes>, body: Body) -> Self {
        Sending { stream, body, trailers: Vec::new() }
    }

    /// Whether all of it was taken.
    pub(super) fn is_ended(&self) -> bool {
        self.body.is_ended()
    }

    /// Takes some of these bytes when the replica takes more.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.stream.capacity() == 0 {
            self.stream.reserve_capacity(1); // what is sent beyond that waits here
        }
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let taken = bytes.len().min(PIECE);
        Poll::Ready(self.take(&bytes[..taken]).map(|()| taken))
    }

    /// Takes these bytes, as those that came with the head. Fails where the replica takes no more.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = Vec::new();
        let lines = &mut self.trailers;
        let fed = self.body.feed_all(bytes, |data| content.extend_from_slice(data), |byte| lines.push(byte));
        if fed.is_err() {
            self.stream.send_reset(Reason::CANCEL);
            return Err(io::ErrorKind::InvalidData.into());
        }
        let is_ended = self.body.is_ended();
        let trailers = if is_ended { head::trailers(&self.trailers) } else { HeaderMap::new() };
        let is_last = is_ended && trailers.is_empty();
        let mut sent = Ok(());
        if is_last || !content.is_empty() {
            sent = self.stream.send_data(content.into(), is_last);
        }
        if sent.is_ok() && !trailers.is_empty() {
            sent = self.stream.send_trailers(trailers);
        }
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use h2::{RecvStream, client, server};
    use tokio::io::duplex;

    use super::*;
    use crate::proxy::framing::Framing;

    /// A body on its way over a connection, and what comes of it at the other end.
    async fn stream(framing: Framing) -> (Sending, RecvStream) {
        let (near, far) = duplex(64 * 1024);
        let serve = async {
            let mut connection = server::handshake(far).await.unwrap();
            let (request, respond) = connection.accept().await.unwrap().unwrap();
            tokio::spawn(async move {
                let _stays_open = respond;
                while let Some(Ok(_)) = connection.accept().await {}
            });
            request.into_body()
        };
        let ask = async {
            let (mut sender, connection) = client::handshake(near).await.unwrap();
            tokio::spawn(connection);
            let request = http::Request::post("http://a/").body(()).unwrap();
            let (response, stream) = sender.send_request(request, false).unwrap();
            tokio::spawn(response);
            Sending::new(stream, Body::new(framing))
        };
        tokio::join!(ask, serve)
    }

    /// What comes until it ends: its content, and its trailers.
    async fn rest(mut stream: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
        let mut content = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.unwrap();
            stream.flow_control().release_capacity(data.len()).unwrap();
            content.extend_from_slice(&data);
        }
        (content, stream.trailers().await.unwrap())
    }

    #[tokio::test]
    async fn a_body_arrives_without_the_marks_of_its_chunks_and_with_its_trailers() {
        let body = b"5\r\nhello\r\n6\r\n, all!\r\n0\r\nGrpc-Status: 0\r\nA: b\r\n\r\n";
        for cut in [0, 1, 9, 30, body.len() - 1] {
            let (mut sending, stream) = stream(Framing::Chunked).await;
            sending.take(&body[..cut]).unwrap();
            assert!(!sending.is_ended());
            sending.take(&body[cut..]).unwrap();
            assert!(sending.is_ended());
            let (content, trailers) = rest(stream).await;
            assert_eq!(content, b"hello, all!");
            assert_eq!(trailers.unwrap()["grpc-status"], "0");
        }
    }

    #[tokio::test]
    async fn it_is_taken_as_fast_as_the_other_side_takes_it() {
        let whole = vec![b'x'; 1_000_000];
        let (mut sending, stream) = stream(Framing::Length(whole.len() as u64)).await;
        let mut sent = 0;
        poll_fn(|cx| {
            while let Poll::Ready(taken) = sending.poll_take(cx, &whole[sent..]) {
                sent += taken.unwrap();
            }
            // what the windows of HTTP/2 hold, what may wait, and a piece
            assert!(sent < whole.len() / 2, "{sent}");
            Poll::Ready(())
        })
        .await;
        let send = async {
            while sent < whole.len() {
                let taken = poll_fn(|cx| sending.poll_take(cx, &whole[sent..])).await;
                sent += taken.unwrap();
            }
        };
        let ((), (content, trailers)) = tokio::join!(send, rest(stream));
        assert!(content == whole && trailers.is_none());
    }

    #[tokio::test]
    async fn nonsense_ends_it() {
        let (mut sending, mut stream) = stream(Framing::Chunked).await;
        assert!(sending.take(b"5\r\nhelloX").is_err());
        let error = loop {
            if let Err(error) = stream.data().await.unwrap() {
                break error;
            }
        };
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        assert!(sending.take(b"more").is_err());
    }
}
