//! Connections that come from the data plane through memory, each with the address of the client behind it.

use std::net::SocketAddr;

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::DuplexStream,
    net::TcpListener,
    sync::mpsc::{self, Receiver, Sender},
};

/// Calls handed over and not taken yet.
const WAITING: usize = 128;

/// Who calls: the address of the client's connection, which no header can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Listens for connections from the data plane.
#[derive(Debug)]
pub struct Pipes(Receiver<(DuplexStream, SocketAddr)>);

impl Pipes {
    /// A listener, and where connections to it are handed over.
    pub fn new() -> (Sender<(DuplexStream, SocketAddr)>, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, Pipes(receiver))
    }
}

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(call) => call,
            None => std::future::pending().await, // the data plane has ended
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Err(std::io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Connected<IncomingStream<'_, Pipes>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Pipes>) -> Self {
        Peer(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Peer(*stream.remote_addr())
    }
}
