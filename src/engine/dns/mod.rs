//! Where hosts and services are, and for how long that is true.
//!
//! As the system's own resolver goes about it: `/etc/hosts` first, then the name servers and search domains of
//! `/etc/resolv.conf`. That one does not tell how long an answer holds (its TTL), and knows no services.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::AtomicUsize,
    time::Duration,
};

use futures_util::future::join_all;

mod conf;
mod exchange;
mod hosts;

use conf::Conf;
use exchange::{Answer, Asked, ask};

/// The port of name servers.
pub const PORT: u16 = 53;
/// For how long what the hosts file says is taken for true.
const OF_A_FILE: Duration = Duration::from_secs(10);

/// Looks hosts and services up.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    server: Option<SocketAddr>,
}

/// Questions that belong together. The name servers are asked in the order of the system's settings, but one that did not
/// answer the first question is not waited for again at the next.
#[derive(Debug)]
pub struct Lookup {
    conf: Conf,
    /// The place of the name server that answered last.
    answering: AtomicUsize,
}

/// What was found, and for how long that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<T> {
    /// What was found: not empty.
    pub found: Vec<T>,
    /// How long it holds.
    pub ttl: Duration,
    /// Of addresses of one family only: why it is not known whether there are others of the other.
    pub lacks: Option<String>,
}

/// One that provides a service (RFC 2782), of those that are to be used first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its host, a whole DNS name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its share, in comparison with the others.
    pub weight: u16,
}

/// Why something is not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// It is known that there is nothing of this name.
    #[error("{0}")]
    Nothing(String),
    /// Who should know it does not say.
    #[error("{0}")]
    Silent(String),
}

impl Resolver {
    /// One that asks this name server, or those of the system.
    pub fn new(server: Option<SocketAddr>) -> Self {
        Resolver { server }
    }

    /// Begins to ask. How the system says that names are looked up is read each time, since it may change.
    pub fn begin(&self) -> Lookup {
        let mut conf = Conf::of(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        if let Some(server) = self.server {
            conf.servers = vec![server];
        }
        Lookup { conf, answering: AtomicUsize::new(0) }
    }
}

impl Lookup {
    /// The addresses of a host.
    pub async fn addresses(&self, host: &str) -> Result<Resolved<IpAddr>, LookupError> {
        let file = fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut found = hosts::addresses(&file, host);
        if found.is_empty() && hosts::is_local(host) {
            found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        if !found.is_empty() {
            return Ok(Resolved { found, ttl: OF_A_FILE, lacks: None });
        }
        let answer = self.searched(host, &[Asked::V4, Asked::V6]).await?;
        Ok(answer.resolved(Answer::address))
    }

    /// Who provides a service: those of the first priority.
    pub async fn providers(&self, service: &str) -> Result<Resolved<Provider>, LookupError> {
        let answer = self.searched(service, &[Asked::Providers]).await?;
        let Resolved { found, ttl, lacks } = answer.resolved(Answer::provider);
        let first = found.iter().map(|(priority, _)| *priority).min();
        let used =
            found.into_iter().filter(|(priority, one)| Some(*priority) == first && !one.host.is_empty());
        let found: Vec<_> = used.map(|(_, one)| one).collect();
        if found.is_empty() {
            return Err(LookupError::Nothing("its DNS says that the service is not provided".into()));
        }
        Ok(Resolved { found, ttl, lacks })
    }

    /// The first answer to one of the names that this one stands for. One that is not answered for hides those after it.
    async fn searched(&self, name: &str, asked: &[Asked]) -> Result<Answer, LookupError> {
        for candidate in self.conf.candidates(name) {
            let questions = asked.iter().map(|asked| ask(&self.conf, &self.answering, &candidate, *asked));
            let answers = join_all(questions).await;
            match answers.into_iter().reduce(either).unwrap_or_else(|| Ok(Answer::default())) {
                Err(LookupError::Nothing(_)) => {}
                Ok(answer) if answer.is_empty() => {}
                other => return other,
            }
        }
        Err(LookupError::Nothing("its DNS has nothing of this name".into()))
    }
}

/// Both answers in one. Where one has something and the other fails, that is said with it.
fn either(
    one: Result<Answer, LookupError>,
    other: Result<Answer, LookupError>,
) -> Result<Answer, LookupError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(one.and(other)),
        (Ok(some), Err(why)) | (Err(why), Ok(some)) if !some.is_empty() => Ok(some.without(why)),
        (Err(silent @ LookupError::Silent(_)), _) | (_, Err(silent @ LookupError::Silent(_))) => Err(silent),
        (Err(nothing), _) | (_, Err(nothing)) => Err(nothing),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use domain::{
        base::{Message, MessageBuilder, Name, Rtype, Ttl, iana::Rcode},
        rdata::A,
    };
    use tokio::net::UdpSocket;

    use super::*;

    /// Knows this host, at 10.0.0.1, and no other.
    async fn serve(socket: &UdpSocket, host: &str) {
        let (own, mut buffer) = (Name::<Vec<u8>>::from_str(host).unwrap(), [0; 512]);
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_octets(buffer[..length].to_vec()).unwrap();
            let question = query.sole_question().unwrap();
            let is_known = question.qname().to_string() == host;
            let code = if is_known { Rcode::NOERROR } else { Rcode::NXDOMAIN };
            let mut answer = MessageBuilder::new_vec().start_answer(&query, code).unwrap();
            if is_known && question.qtype() == Rtype::A {
                answer.push((&own, Ttl::from_secs(9), A::new(Ipv4Addr::new(10, 0, 0, 1)))).unwrap();
            }
            socket.send_to(&answer.finish(), client).await.unwrap();
        }
    }

    /// A dead name server before one that lives and three domains to search: each name waited for the dead one, which
    /// together was longer than a look-up may take, every time.
    #[tokio::test]
    async fn a_name_server_that_is_dead_is_waited_for_once() {
        let bind = async || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (dead, lives) = (bind().await, bind().await);
        let mut conf = Conf::of("search a.test b.test c.test\noptions ndots:5");
        conf.servers = vec![dead.local_addr().unwrap(), lives.local_addr().unwrap()];
        conf.timeout = Duration::from_millis(500);
        let lookup = Lookup { conf, answering: AtomicUsize::new(0) };
        let found = tokio::select! {
            found = lookup.searched("db", &[Asked::V4, Asked::V6]) => found.unwrap(),
            () = serve(&lives, "db.c.test") => unreachable!("it serves for ever"),
        };
        let found = found.resolved(Answer::address);
        assert_eq!((found.found, found.lacks), (vec![IpAddr::from([10, 0, 0, 1])], None));
        let (mut waited, mut buffer) = (0, [0; 512]);
        while dead.try_recv(&mut buffer).is_ok() {
            waited += 1;
        }
        assert_eq!(waited, 2, "for an address of each family of the first name");
    }
}
