//! Counts which request was executed how often, at the word of the replicas.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use anyhow::Context;
use ringkeeper_tools::subject::Engine;

/// No id is longer.
const LONGEST: u64 = 20;

/// Listens as long as the program runs, with a thread for each replica: few, and never waiting for the tester.
pub struct Collector {
    port: u16,
    counts: Arc<Mutex<HashMap<u64, u32>>>,
}

impl Collector {
    /// Listens where replicas of this engine can reach it.
    pub fn start(engine: Engine) -> anyhow::Result<Self> {
        let ip = if engine == Engine::Docker { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let listener = TcpListener::bind((IpAddr::from(ip), 0)).context("no port for the collector")?;
        let collector = Collector { port: listener.local_addr()?.port(), counts: Arc::default() };
        let counts = collector.counts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = counts.clone();
                std::thread::spawn(move || collect(&stream, &counts));
            }
        });
        Ok(collector)
    }

    /// What a replica of this engine has to be told.
    pub fn address(&self, engine: Engine) -> String {
        let host = if engine == Engine::Docker { "" } else { "127.0.0.1" };
        format!("{host}:{}", self.port)
    }

    /// How many of these requests were executed more than once.
    pub fn twice(&self, ids: impl Iterator<Item = u64>) -> u64 {
        let counts = self.counts.lock().expect("nobody panics while holding it");
        ids.filter(|id| counts.get(id).is_some_and(|count| *count > 1)).count() as u64
    }

    /// Whether each of these requests was executed.
    pub fn knows(&self, mut ids: impl Iterator<Item = u64>) -> bool {
        let counts = self.counts.lock().expect("nobody panics while holding it");
        ids.all(|id| counts.contains_key(&id))
    }
}

/// Counts one replica's executions, and acknowledges each with a byte; whatever is no id ends the connection.
fn collect(stream: &TcpStream, counts: &Mutex<HashMap<u64, u32>>) {
    let _slower_then = stream.set_nodelay(true);
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        let read = std::io::Read::take(&mut lines, LONGEST).read_line(&mut line);
        let Some(id) = read.ok().and_then(|_| line.strip_suffix('\n')?.parse().ok()) else { return };
        *counts.lock().expect("nobody panics while holding it").entry(id).or_default() += 1;
        if (&*stream).write_all(b"+").is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn an_execution_is_counted_before_it_is_acknowledged() {
        let collector = Collector::start(Engine::Process).expect("a port");
        let mut replica = TcpStream::connect(collector.address(Engine::Process)).expect("connected");
        let mut acknowledged = [0; 3];
        replica.write_all(b"17\n18\n17\n").expect("sent");
        replica.read_exact(&mut acknowledged).expect("acknowledged");
        assert_eq!(collector.twice([17, 18, 19].into_iter()), 1);
        assert!(collector.knows([17, 18].into_iter()) && !collector.knows([17, 19].into_iter()));
        replica.write_all(b"nonsense\n").expect("sent");
        assert_eq!(replica.read(&mut acknowledged).expect("closed"), 0);
    }
}
