//! Connections that come from the data plane through memory, each with the address of the client behind it.

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::DuplexStream,
    net::TcpListener,
    sync::mpsc::{self, Receiver, Sender},
};

use crate::caller::Caller;

/// Calls handed over and not taken yet.
const WAITING: usize = 128;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Caller);

/// Listens for connections from the data plane.
#[derive(Debug)]
pub struct Pipes(Receiver<(DuplexStream, Caller)>);

impl Pipes {
    /// A listener, and where connections to it are handed over.
    pub fn new() -> (Sender<(DuplexStream, Caller)>, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, Pipes(receiver))
    }
}

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = Caller;

    async fn accept(&mut self) -> (DuplexStream, Caller) {
        match self.0.recv().await {
            Some(call) => call,
            None => std::future::pending().await, // the data plane has ended
        }
    }

    fn local_addr(&self) -> std::io::Result<Caller> {
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
        Peer((*stream.remote_addr()).into())
    }
}
