//! Who calls the control API. Pure.

use std::net::{IpAddr, SocketAddr};

/// Who calls. Nothing that a client sends can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub address: IpAddr,
    /// Whether that is the address of the connection, and not what a proxy says.
    pub is_direct: bool,
}

impl From<SocketAddr> for Caller {
    /// Who is at the other end of a connection.
    fn from(peer: SocketAddr) -> Self {
        Caller { address: peer.ip().to_canonical(), is_direct: true }
    }
}
