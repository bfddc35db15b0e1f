//! A name server on loopback that says what it is told to say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use domain::{
    base::{Message, MessageBuilder, Name, Rtype, Ttl, iana::Rcode},
    rdata::{A, Aaaa, Cname, Srv},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

type DnsName = Name<Vec<u8>>;

/// One thing that is known of a name.
#[derive(Clone, Debug)]
pub enum Record {
    Address(IpAddr),
    Alias(String),
    /// Priority, weight, port, target.
    Provider(u16, u16, u16, String),
}

/// A server over UDP and TCP on one port. Ends when this is dropped.
pub struct NameServer {
    pub address: SocketAddr,
    zone: Arc<Zone>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Zone {
    records: Mutex<BTreeMap<String, (u32, Vec<Record>)>>,
    fails: AtomicBool,
    fails_for: Mutex<Option<Rtype>>,
    is_silent: AtomicBool,
    truncates: AtomicBool,
    asked: AtomicUsize,
    over_tcp: AtomicUsize,
    names: Mutex<BTreeSet<String>>,
}

impl NameServer {
    pub async fn start() -> Self {
        let (udp, tcp) = bind();
        let address = udp.local_addr().expect("bound");
        let (udp, tcp) = (
            tokio::net::UdpSocket::from_std(udp).expect("a socket"),
            tokio::net::TcpListener::from_std(tcp).expect("a socket"),
        );
        let (zone, mut serving) = (Arc::<Zone>::default(), JoinSet::new());
        let of_udp = zone.clone();
        serving.spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = udp.recv_from(&mut buffer).await {
                if let Some(answer) = of_udp.answer(&buffer[..length], true) {
                    let _if_it_is_there = udp.send_to(&answer, client).await;
                }
            }
        });
        let of_tcp = zone.clone();
        serving.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let Ok(length) = stream.read_u16().await else { continue };
                let mut query = vec![0; length.into()];
                if stream.read_exact(&mut query).await.is_err() {
                    continue;
                }
                of_tcp.over_tcp.fetch_add(1, Relaxed);
                if let Some(answer) = of_tcp.answer(&query, false) {
                    let length = u16::try_from(answer.len()).expect("a short answer");
                    let _if_it_is_there =
                        stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await;
                }
            }
        });
        NameServer { address, zone, _serving: serving }
    }

    /// Says this of a name from now on.
    pub fn set(&self, name: &str, ttl: u32, records: &[Record]) {
        self.zone.records.lock().expect("unpoisoned").insert(name.to_owned(), (ttl, records.to_vec()));
    }

    /// Says of a host that it has these addresses.
    pub fn host(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let records = addresses.iter().map(|ip| Record::Address(ip.parse().expect("an address")));
        self.set(name, ttl, &records.collect::<Vec<_>>());
    }

    /// Knows nothing of a name any more.
    pub fn forget(&self, name: &str) {
        self.zone.records.lock().expect("unpoisoned").remove(name);
    }

    /// Answers that it cannot answer.
    pub fn fail(&self, fails: bool) {
        self.zone.fails.store(fails, Relaxed);
    }

    /// Answers that it cannot answer questions of this kind, and only these.
    pub fn fail_for(&self, kind: Option<Rtype>) {
        *self.zone.fails_for.lock().expect("unpoisoned") = kind;
    }

    /// Does not answer at all.
    pub fn be_silent(&self, is_silent: bool) {
        self.zone.is_silent.store(is_silent, Relaxed);
    }

    /// Finds every answer too long for UDP.
    pub fn truncate(&self, truncates: bool) {
        self.zone.truncates.store(truncates, Relaxed);
    }

    /// How many questions came so far.
    pub fn asked(&self) -> usize {
        self.zone.asked.load(Relaxed)
    }

    /// How many of them over TCP.
    pub fn over_tcp(&self) -> usize {
        self.zone.over_tcp.load(Relaxed)
    }
}

impl Zone {
    fn answer(&self, query: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        self.asked.fetch_add(1, Relaxed);
        if self.is_silent.load(Relaxed) {
            return None;
        }
        let query = Message::from_octets(query.to_vec()).ok()?;
        let question = query.sole_question().ok()?;
        let (name, kind) = (question.qname().to_string(), question.qtype());
        self.names.lock().expect("unpoisoned").insert(name.clone());
        let records = self.records.lock().expect("unpoisoned").clone();
        let code = match records.contains_key(&name) {
            _ if self.fails.load(Relaxed) => Rcode::SERVFAIL,
            _ if *self.fails_for.lock().expect("unpoisoned") == Some(kind) => Rcode::SERVFAIL,
            true => Rcode::NOERROR,
            false => Rcode::NXDOMAIN,
        };
        let truncated = over_udp && self.truncates.load(Relaxed);
        let mut answer = MessageBuilder::new_vec().start_answer(&query, code).ok()?;
        answer.header_mut().set_tc(truncated);
        answer.header_mut().set_ra(true);
        let mut owner = name;
        while let Some((ttl, found)) = records.get(&owner).filter(|_| code == Rcode::NOERROR && !truncated) {
            let (own, ttl, mut next) = (dns_name(&owner), Ttl::from_secs(*ttl), None);
            for record in found {
                match record {
                    Record::Address(IpAddr::V4(ip)) if kind == Rtype::A => {
                        answer.push((&own, ttl, A::new(*ip))).ok()?;
                    }
                    Record::Address(IpAddr::V6(ip)) if kind == Rtype::AAAA => {
                        answer.push((&own, ttl, Aaaa::new(*ip))).ok()?;
                    }
                    Record::Provider(priority, weight, port, target) if kind == Rtype::SRV => {
                        answer
                            .push((&own, ttl, Srv::new(*priority, *weight, *port, dns_name(target))))
                            .ok()?;
                    }
                    Record::Alias(target) => {
                        answer.push((&own, ttl, Cname::new(dns_name(target)))).ok()?;
                        next = Some(target.clone());
                    }
                    _ => {}
                }
            }
            let Some(next) = next else { break };
            owner = next;
        }
        Some(answer.finish())
    }
}

fn dns_name(text: &str) -> DnsName {
    DnsName::from_str(text).expect("a DNS name")
}

/// One port for both, which the system chooses.
fn bind() -> (UdpSocket, TcpListener) {
    let both = || {
        let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
        let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
        (udp.set_nonblocking(true).is_ok() && tcp.set_nonblocking(true).is_ok()).then_some((udp, tcp))
    };
    (0..100).find_map(|_| both()).expect("a port that is free for both")
}
