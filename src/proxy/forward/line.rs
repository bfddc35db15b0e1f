//! A connection to whoever answers.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use crate::{limits::is_own_want, proxy::h2::Call};

/// A connection to a replica or to the control API.
#[derive(Debug)]
pub(in crate::proxy) enum Line {
    Replica(TcpStream),
    /// To a replica over HTTP/2: a connection for one request.
    Call(Box<Call>),
    Control(DuplexStream),
}

/// Why there is no connection to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Blame {
    /// The replica did not take it.
    Replica,
    /// There is no descriptor or no port left for it here, which says nothing about the replica.
    Own,
}

/// A connection that is being opened.
pub(in crate::proxy) type Opening = Pin<Box<dyn Future<Output = Result<Line, Blame>>>>;

/// Opens a connection to a replica.
pub(super) fn open(address: SocketAddr, deadline: Duration) -> Opening {
    Box::pin(async move { connect(address, deadline).await.map(Line::Replica) })
}

/// Opens a socket to a replica.
pub(in crate::proxy) async fn connect(address: SocketAddr, deadline: Duration) -> Result<TcpStream, Blame> {
    let connected = timeout(deadline, TcpStream::connect(address)).await.map_err(|_| Blame::Replica)?;
    let stream = connected.map_err(|error| if is_own_want(&error) { Blame::Own } else { Blame::Replica })?;
    let _nagle_is_only_slow = stream.set_nodelay(true);
    Ok(stream)
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Replica(stream) => Pin::new(stream).poll_read(cx, buffer),
            Line::Call(call) => Pin::new(call).poll_read(cx, buffer),
            Line::Control(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Line::Replica(stream) => Pin::new(stream).poll_write(cx, bytes),
            Line::Call(call) => Pin::new(call).poll_write(cx, bytes),
            Line::Control(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // neither keeps anything
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Replica(stream) => Pin::new(stream).poll_shutdown(cx),
            Line::Call(call) => Pin::new(call).poll_shutdown(cx),
            Line::Control(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
