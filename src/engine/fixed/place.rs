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

    /// Who of those that were members before were found here, at one of these sources: what is served until it is looked up
    /// again. Where nobody knows which one found a member, its name says which ones may have: what a service provides may be
    /// called anything but what is found elsewhere.
    pub(super) fn remembered(&self, source: &Name, sources: &[Name], before: &[Known]) -> Vec<Member> {
        let may_be = |name: &Name, address: SocketAddr| match self {
            Place::Address(there) => *there == address,
            Place::Host(_, port) => *port == address.port() && is_of(name, source),
            Place::Service(_) => {
                name.as_str().parse::<SocketAddr>().is_err()
                    && !sources.iter().any(|other| is_of(name, other))
            }
        };
        let is_here = |known: &Known, address: SocketAddr| match &known.source {
            Some(found_by) => found_by == source,
            None => may_be(&known.name, address),
        };
        let known = before.iter().filter_map(|known| Some((known, address_of(&known.instance)?)));
        let here = known.filter(|(known, address)| is_here(known, *address));
        here.map(|(known, address)| Member { name: known.name.clone(), address, weight: known.weight })
            .collect()
    }
}

/// Whether a name is this one, or this one's in another place.
pub(super) fn is_of(name: &Name, source: &Name) -> bool {
    let place = name.as_str().strip_prefix(source.as_str()).and_then(|rest| rest.strip_prefix('-'));
    name == source || place.is_some_and(|place| place.parse::<usize>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixed::instance_at;

    fn known(name: &str, address: &str, source: Option<&str>) -> Known {
        let source = source.map(|source| Name::of_source(source).unwrap());
        let instance = instance_at(&Name::of_address(address).unwrap()).unwrap();
        Known { name: Name::of_found(name).unwrap(), instance, source, weight: 1 }
    }

    /// The addresses of those that are remembered at each of these sources.
    fn remembered(sources: &[&str], before: &[Known]) -> Vec<Vec<String>> {
        let sources: Vec<Name> = sources.iter().map(|source| Name::of_source(source).unwrap()).collect();
        let at = |source: &Name| -> Vec<String> {
            let members = Place::of(source).remembered(source, &sources, before);
            members.iter().map(|member| member.address.to_string()).collect()
        };
        sources.iter().map(at).collect()
    }

    /// The first service of two had all that both had found, until it was looked up; and where its DNS was away, it kept
    /// them when the other one's had none of them any more.
    #[test]
    fn those_that_were_found_by_a_source_are_remembered_there_and_nowhere_else() {
        let (web, mail, host) = ("_http._tcp.test", "_smtp._tcp.test", "b.test:80");
        let before = [
            known("a.test:80", "10.0.0.1:80", Some(web)),
            known("c.test:25", "10.0.0.2:25", Some(mail)),
            known("b.test:80", "10.0.0.3:80", Some(web)),
            known("b.test:80-2", "10.0.0.4:80", Some(host)),
            known("d.test:25", "10.0.0.5:25", Some("_gone._tcp.test")),
        ];
        let there = remembered(&[web, mail, host], &before);
        assert_eq!(there, [vec!["10.0.0.1:80", "10.0.0.3:80"], vec!["10.0.0.2:25"], vec!["10.0.0.4:80"]]);
    }

    #[test]
    fn where_no_source_is_known_a_name_says_which_it_may_be() {
        let before = [
            known("b.test:80", "10.0.0.1:80", None),
            known("b.test:80-2", "10.0.0.2:80", None),
            known("a.test:80", "10.0.0.3:80", None),
            known("10.0.0.4:80", "10.0.0.4:80", None),
        ];
        let there = remembered(&["_http._tcp.test", "b.test:80"], &before);
        assert_eq!(there, [vec!["10.0.0.3:80"], vec!["10.0.0.1:80", "10.0.0.2:80"]]);
    }
}
