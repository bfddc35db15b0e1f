//! Executions, counted at the tester: each is entered there, and acknowledged, before the request is answered.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::timeout,
};

/// How many entries may wait for the connection.
const WAITING: usize = 1024;

/// How long the connection may take to open.
const CONNECT: Duration = Duration::from_secs(1);

/// Enters executions, all over one connection. The tester answers each line, an id, with one byte.
pub(super) struct Ledger(Option<mpsc::Sender<Entry>>);

/// It is not known whether the tester counted it.
#[derive(Debug)]
pub(super) struct NotCounted;

struct Entry {
    id: u64,
    acknowledged: oneshot::Sender<()>,
}

impl Ledger {
    /// The ledger at `HOST:PORT`, or at this port of the default gateway, which is the machine that a container runs on;
    /// from an empty text one that counts nothing. Call in a runtime.
    pub fn at(collector: &str) -> Self {
        if collector.is_empty() {
            return Ledger(None);
        }
        let (sender, entries) = mpsc::channel(WAITING);
        tokio::spawn(keep(collector.to_owned(), entries));
        Ledger(Some(sender))
    }

    /// Done when the tester has counted it.
    pub async fn enter(&self, id: Option<u64>) -> Result<(), NotCounted> {
        let Some(entries) = &self.0 else { return Ok(()) };
        let (acknowledged, done) = oneshot::channel();
        let entry = Entry { id: id.ok_or(NotCounted)?, acknowledged };
        entries.send(entry).await.map_err(|_| NotCounted)?;
        done.await.map_err(|_| NotCounted)
    }
}

/// Connects for the first entry, and again for the first one after the connection broke.
async fn keep(collector: String, mut entries: mpsc::Receiver<Entry>) {
    while let Some(first) = entries.recv().await {
        let connected = match address(&collector) {
            Some(address) => timeout(CONNECT, TcpStream::connect(address)).await,
            None => Ok(Err(io::ErrorKind::AddrNotAvailable.into())),
        };
        if let Ok(Ok(stream)) = connected {
            let _broke = exchange(stream, first, &mut entries).await;
        }
    }
}

/// Sends entries as they come, and acknowledges them in their order.
async fn exchange(
    mut stream: TcpStream,
    first: Entry,
    entries: &mut mpsc::Receiver<Entry>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.split();
    let (mut waiting, mut next) = (VecDeque::new(), Some(first));
    let mut bytes = [0; 256];
    loop {
        if let Some(Entry { id, acknowledged }) = next.take() {
            waiting.push_back(acknowledged);
            writer.write_all(format!("{id}\n").as_bytes()).await?;
        }
        tokio::select! {
            entry = entries.recv() => match entry {
                Some(entry) => next = Some(entry),
                None => return Ok(()),
            },
            read = reader.read(&mut bytes) => match read? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => for acknowledged in waiting.drain(..count.min(waiting.len())) {
                    let _its_client_is_gone = acknowledged.send(());
                },
            },
        }
    }
}

fn address(collector: &str) -> Option<SocketAddr> {
    let Some(port) = collector.strip_prefix(':') else { return collector.parse().ok() };
    let gateway = gateway(&std::fs::read_to_string("/proc/net/route").ok()?)?;
    Some(SocketAddr::new(gateway, port.parse().ok()?))
}

/// The gateway of the default route in Linux's table: hexadecimal, as it lies in memory.
fn gateway(routes: &str) -> Option<IpAddr> {
    let fields = routes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let default = fields.into_iter().find(|fields| fields.get(1) == Some(&"00000000"))?;
    let address = u32::from_str_radix(default.get(2)?, 16).ok()?;
    Some(Ipv4Addr::from(address.to_ne_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_gateway_is_read_from_the_kernels_table() {
        let routes = "Iface\tDestination\tGateway \tFlags\nlo\t0000007F\t00000000\t0001\neth0\t00000000\t010012AC\t0003\n";
        assert_eq!(gateway(routes), Some(IpAddr::from([172, 18, 0, 1])));
        assert_eq!(gateway("Iface\tDestination\tGateway \tFlags\n"), None);
    }

    #[tokio::test]
    async fn what_the_tester_did_not_acknowledge_is_not_counted() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ledger = Ledger::at(&listener.local_addr().unwrap().to_string());
        let tester = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = [0; 3];
            stream.read_exact(&mut line).await.unwrap();
            stream.write_all(b"+").await.unwrap();
            stream.read_exact(&mut line).await.unwrap();
            line // the second entry's; and the connection ends
        };
        let entries = async {
            assert!(ledger.enter(Some(17)).await.is_ok());
            assert!(ledger.enter(Some(18)).await.is_err());
        };
        assert_eq!(tokio::join!(tester, entries).0, *b"18\n");
    }
}
