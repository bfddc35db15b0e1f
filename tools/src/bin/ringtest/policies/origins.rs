//! Ten origins on the generator's own thread, so that their books are one: each works on all its requests at once, which is
//! to say that it waits.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{
    super::bench::{listen, origins::Head},
    ledger::Ledger,
};

/// How many there are.
pub const ORIGINS: usize = 10;

/// No head is longer.
const BUFFER: usize = 4 << 10;

/// The origins; gone with all their connections when this is dropped.
pub struct Origins {
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
    ledger: Arc<Mutex<Ledger>>,
    _serving: JoinSet<()>,
}

struct Origin {
    /// Counted from 0.
    index: usize,
    answer: String,
    ledger: Arc<Mutex<Ledger>>,
}

impl Origins {
    /// Starts them; they answer at once until they are told that requests are work.
    pub fn start() -> anyhow::Result<Self> {
        let ledger = Arc::new(Mutex::new(Ledger::new(ORIGINS)));
        let (mut addresses, mut serving) = (Vec::new(), JoinSet::new());
        for index in 0..ORIGINS {
            let listener = listen::here()?;
            addresses.push(listener.local_addr()?);
            serving.spawn(accept(listener, Arc::new(Origin::new(index, ledger.clone()))));
        }
        Ok(Origins { addresses, ledger, _serving: serving })
    }

    /// Their books.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while holding it")
    }
}

async fn accept(listener: TcpListener, origin: Arc<Origin>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(origin.clone().serve(stream));
        while connections.try_join_next().is_some() {}
    }
}

impl Origin {
    fn new(index: usize, ledger: Arc<Mutex<Ledger>>) -> Self {
        let body = format!(r#"{{"message":"Hello from Server: {}","status":"successful"}}"#, index + 1);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Origin { index, answer, ledger }
    }

    /// Request after request of one connection, none of which has a body.
    async fn serve(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; BUFFER];
        let mut filled = 0;
        loop {
            match Head::read(&buffer[..filled])? {
                Some(head) => {
                    buffer.copy_within(head.length..filled, 0);
                    filled -= head.length;
                    self.work().await;
                    stream.write_all(self.answer.as_bytes()).await?;
                }
                None if filled == buffer.len() => return Err(io::ErrorKind::InvalidData.into()),
                None => match stream.read(&mut buffer[filled..]).await? {
                    0 => return Ok(()),
                    length => filled += length,
                },
            }
        }
    }

    /// From when a request has come until its answer is ready.
    async fn work(&self) {
        let work = self.ledger().came(self.index);
        if !work.is_zero() {
            sleep(work).await;
        }
        self.ledger().went(self.index);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while holding it")
    }
}
