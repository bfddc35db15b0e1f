//! Where hosts and services are, and for how long that is true.
//!
//! As the system's own resolver goes about it: `/etc/hosts` first, then the name servers and search domains of
//! `/etc/resolv.conf`. That one does not tell how long an answer holds (its TTL), and knows no services.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
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

/// What was found, and for how long that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<T> {
    /// What was found: not empty.
    pub found: Vec<T>,
    /// How long it holds.
    pub ttl: Duration,
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

    /// The addresses of a host.
    pub async fn addresses(&self, host: &str) -> Result<Resolved<IpAddr>, LookupError> {
        let file = fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut found = hosts::addresses(&file, host);
        if found.is_empty() && hosts::is_local(host) {
            found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        if !found.is_empty() {
            return Ok(Resolved { found, ttl: OF_A_FILE });
        }
        let answer = searched(&self.conf(), host, &[Asked::V4, Asked::V6]).await?;
        Ok(answer.resolved(Answer::address))
    }

    /// Who provides a service: those of the first priority.
    pub async fn providers(&self, service: &str) -> Result<Resolved<Provider>, LookupError> {
        let answer = searched(&self.conf(), service, &[Asked::Providers]).await?;
        let Resolved { found, ttl } = answer.resolved(Answer::provider);
        let first = found.iter().map(|(priority, _)| *priority).min();
        let used =
            found.into_iter().filter(|(priority, one)| Some(*priority) == first && !one.host.is_empty());
        let found: Vec<_> = used.map(|(_, one)| one).collect();
        if found.is_empty() {
            return Err(LookupError::Nothing("its DNS says that the service is not provided".into()));
        }
        Ok(Resolved { found, ttl })
    }

    /// The addresses of each of these hosts, in their order.
    pub async fn addresses_of(
        &self,
        hosts: impl Iterator<Item = &str>,
    ) -> Vec<Result<Resolved<IpAddr>, LookupError>> {
        join_all(hosts.map(|host| self.addresses(host))).await
    }

    /// How the system says that names are looked up: read each time, since it may change.
    fn conf(&self) -> Conf {
        let mut conf = Conf::of(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        if let Some(server) = self.server {
            conf.servers = vec![server];
        }
        conf
    }
}

/// The first answer to one of the names that this one stands for. One that is not answered for hides those after it.
async fn searched(conf: &Conf, name: &str, asked: &[Asked]) -> Result<Answer, LookupError> {
    for candidate in conf.candidates(name) {
        let answers = join_all(asked.iter().map(|asked| ask(conf, &candidate, *asked))).await;
        match answers.into_iter().reduce(either).unwrap_or_else(|| Ok(Answer::default())) {
            Err(LookupError::Nothing(_)) => {}
            Ok(answer) if answer.is_empty() => {}
            other => return other,
        }
    }
    Err(LookupError::Nothing("its DNS has nothing of this name".into()))
}

/// Both answers in one. Where one has something, it does not matter why the other has not.
fn either(
    one: Result<Answer, LookupError>,
    other: Result<Answer, LookupError>,
) -> Result<Answer, LookupError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(one.and(other)),
        (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => Ok(some),
        (Err(silent @ LookupError::Silent(_)), _) | (_, Err(silent @ LookupError::Silent(_))) => Err(silent),
        (Err(nothing), _) | (_, Err(nothing)) => Err(nothing),
    }
}
