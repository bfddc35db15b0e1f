//! Where a source says that replicas are. Pure.

use std::net::SocketAddr;

use super::member::{Member, address_of};
use crate::{engine::Known, name::Name};

/// What the name of a source means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// This address, without any look-up.
    Address(SocketAddr),
    /// Every address of this host, at this port.
    Host(String, u16),
    /// Every provider of this service.
    Service(String),
}

impl Place {
    pub(super) fn of(name: &Name) -> Self {
        let text = name.as_str();
        if let Ok(address) = text.parse() {
            return Place::Address(address);
        }
        let host = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match host {
            Some((host, port)) => Place::Host(host.to_owned(), port),
            None => Place::Service(text.strip_prefix("srv:").unwrap_or(text).to_owned()),
        }
    }

    /// Who of those that were members before may have been found here, at one of these sources: what is served until it
    /// is looked up again. What a service provides may be called anything but what is found elsewhere.
    pub(super) fn remembered(&self, source: &Name, sources: &[Name], before: &[Known]) -> Vec<Member> {
        let may_be = |name: &Name, address: SocketAddr| match self {
            Place::Address(there) => *there == address,
            Place::Host(_, port) => *port == address.port() && is_of(name, source),
            Place::Service(_) => {
                name.as_str().parse::<SocketAddr>().is_err()
                    && !sources.iter().any(|other| is_of(name, other))
            }
        };
        let known = before.iter().filter_map(|known| Some((known, address_of(&known.instance)?)));
        let here = known.filter(|(known, address)| may_be(&known.name, *address));
        here.map(|(known, address)| Member { name: known.name.clone(), address, weight: known.weight })
            .collect()
    }
}

/// Whether a name is this one, or this one's in another place.
pub(super) fn is_of(name: &Name, source: &Name) -> bool {
    let place = name.as_str().strip_prefix(source.as_str()).and_then(|rest| rest.strip_prefix('-'));
    name == source || place.is_some_and(|place| place.parse::<usize>().is_ok())
}
