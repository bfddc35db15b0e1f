//! One question to name servers, over UDP, and over TCP where the answer is too long for that (RFC 1035, RFC 7766).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use domain::{
    base::{Message, MessageBuilder, Name, Rtype, iana::Rcode},
    rdata::{A, Aaaa, Srv},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{LookupError, Provider, Resolved, conf::Conf};

/// The longest answer over UDP: more than any server may send that was not told otherwise.
const LONGEST: usize = 4096;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    V4,
    V6,
    Providers,
}

/// What a name server answered: what there is, which may be nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    addresses: Vec<IpAddr>,
    /// With their priorities.
    providers: Vec<(u16, Provider)>,
    /// How long it holds, where there is something.
    ttl: Option<Duration>,
    /// Why what else there may be is not known.
    lacks: Option<String>,
}

type Octets = Message<Vec<u8>>;

impl Answer {
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.providers.is_empty()
    }

    /// Both in one.
    pub(super) fn and(mut self, other: Answer) -> Answer {
        self.ttl = self.ttl.into_iter().chain(other.ttl).min();
        self.lacks = self.lacks.or(other.lacks);
        self.addresses.extend(other.addresses);
        self.providers.extend(other.providers);
        self
    }

    /// What was found, where another question failed: what that would have found is not known, unless it is nothing.
    pub(super) fn without(mut self, why: LookupError) -> Answer {
        if let LookupError::Silent(why) = why {
            self.lacks = Some(why);
        }
        self
    }

    /// What there is of one kind.
    pub(super) fn resolved<T>(mut self, of: impl Fn(Answer) -> Vec<T>) -> Resolved<T> {
        let (ttl, lacks) = (self.ttl.unwrap_or_default(), self.lacks.take());
        Resolved { found: of(self), ttl, lacks }
    }

    pub(super) fn address(self) -> Vec<IpAddr> {
        self.addresses
    }

    pub(super) fn provider(self) -> Vec<(u16, Provider)> {
        self.providers
    }
}

/// Asks the name servers, one after the other, until one of them knows. `answering` is the place of the first that is
/// asked, and becomes that of the one that answers.
pub(super) async fn ask(
    conf: &Conf,
    answering: &AtomicUsize,
    name: &str,
    asked: Asked,
) -> Result<Answer, LookupError> {
    let query = query(name, asked)?;
    let (first, count) = (answering.load(Relaxed), conf.servers.len());
    let mut why = String::new();
    for _ in 0..conf.attempts {
        for (place, server) in conf.servers.iter().enumerate().cycle().skip(first).take(count) {
            let exchanged = timeout(conf.timeout, exchange(*server, &query)).await;
            let answered = match exchanged {
                Ok(Ok(message)) => read(&message, asked),
                Ok(Err(error)) => Err(format!("does not answer: {error}")),
                Err(_) => Err(format!("does not answer within {:?}", conf.timeout)),
            };
            match answered {
                Ok(answer) => {
                    answering.store(place, Relaxed);
                    return Ok(answer);
                }
                Err(problem) => why = format!("the name server {server} {problem}"),
            }
        }
    }
    Err(LookupError::Silent(why))
}

fn query(name: &str, asked: Asked) -> Result<Octets, LookupError> {
    let no_name =
        |why: &dyn std::fmt::Display| LookupError::Nothing(format!("'{name}' is no DNS name: {why}"));
    let name: Name<Vec<u8>> = Name::from_chars(name.chars()).map_err(|error| no_name(&error))?;
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(rand::random());
    message.header_mut().set_rd(true);
    let mut message = message.question();
    let kind = match asked {
        Asked::V4 => Rtype::A,
        Asked::V6 => Rtype::AAAA,
        Asked::Providers => Rtype::SRV,
    };
    message.push((&name, kind)).map_err(|error| no_name(&error))?;
    Ok(message.into_message())
}

async fn exchange(server: SocketAddr, query: &Octets) -> io::Result<Octets> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?; // nobody else is heard
    socket.send(query.as_slice()).await?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Ok(message) = Message::from_octets(buffer[..length].to_vec()) else { continue };
        if !message.is_answer(query) {
            continue; // of an earlier question, or forged
        }
        return if message.header().tc() { exchange_long(server, query).await } else { Ok(message) };
    }
}

async fn exchange_long(server: SocketAddr, query: &Octets) -> io::Result<Octets> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.as_slice().len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).await?;
    let mut buffer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut buffer).await?;
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "what it sends is no answer");
    Message::from_octets(buffer).ok().filter(|message| message.is_answer(query)).ok_or_else(invalid)
}

/// What a message says, or why it says nothing.
fn read(message: &Octets, asked: Asked) -> Result<Answer, String> {
    match message.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Ok(Answer::default()),
        other => return Err(format!("answers {other}")),
    }
    records(message, asked).map_err(|error| format!("sends what cannot be read: {error}"))
}

/// The records of the name that was asked for, or that it is an alias of.
fn records(message: &Octets, asked: Asked) -> Result<Answer, domain::base::wire::ParseError> {
    let mut answer = Answer::default();
    let Some(name) = message.canonical_name() else { return Ok(answer) };
    for record in message.answer()? {
        let record = record?;
        let ttl = Duration::from_secs(record.ttl().as_secs().into());
        let of_name = record.owner() == name;
        answer.ttl = answer.ttl.into_iter().chain([ttl]).min(); // an alias holds no longer than what it leads to
        match asked {
            Asked::V4 if of_name => {
                let found = record.to_record::<A>()?;
                answer.addresses.extend(found.map(|found| IpAddr::from(found.data().addr())));
            }
            Asked::V6 if of_name => {
                let found = record.to_record::<Aaaa>()?;
                answer.addresses.extend(found.map(|found| IpAddr::from(found.data().addr())));
            }
            Asked::Providers if of_name => {
                let found = record.to_record::<Srv<_>>()?;
                answer.providers.extend(found.map(|found| provider(found.data())));
            }
            _ => {}
        }
    }
    Ok(answer)
}

/// The provider that a record names; one without a host where there is none (RFC 2782).
fn provider<N: domain::base::ToName>(record: &Srv<N>) -> (u16, Provider) {
    let target: Name<Vec<u8>> = record.target().to_name();
    let host = if target.is_root() { String::new() } else { format!("{target}.") };
    (record.priority(), Provider { host, port: record.port(), weight: record.weight() })
}
