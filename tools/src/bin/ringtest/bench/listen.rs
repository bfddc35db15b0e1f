//! How the benchmark's own servers listen: on loopback, on a port that the system draws, which they then say.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel may hold until they are accepted: as many as the system lets it, for thousands at once.
pub const BACKLOG: u32 = 4096;

/// A listener.
pub fn here() -> anyhow::Result<TcpListener> {
    let listening = || -> io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        socket.listen(BACKLOG)
    };
    listening().context("cannot listen on 127.0.0.1")
}

/// The words before the addresses.
pub const WORDS: &str = "listening on ";

/// Says where they listen, in one line on stderr.
pub fn say(listeners: &[&TcpListener]) -> anyhow::Result<()> {
    let addresses: io::Result<Vec<String>> =
        listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect();
    eprintln!("{WORDS}{}", addresses?.join(" "));
    Ok(())
}

/// A port that is free just now, for a program that can't draw one itself.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}
