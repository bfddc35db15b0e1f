//! Looking a source up again and again.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Weak,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    Shared,
    family::{Chosen, choose},
    member::Member,
    place::{Place, is_of},
    share::shares,
};
use crate::{
    engine::dns::{Lookup, LookupError, Provider, Resolved, Resolver},
    name::Name,
};

/// How long looking up may take: longer than all but one of three name servers are waited for, and connections.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// From one look-up to the next, however short or long its answer holds.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);
/// The same after one that failed, where something is known from before, and at most after one that failed in part.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How often in a row it has to be heard that there is nothing until that is believed.
const BELIEVED: u32 = 3;
/// How long opening a connection may take, where that tells which of a host's addresses are meant.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);

/// Who was found, and when that is to be looked up again.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) members: Vec<Member>,
    next: Duration,
}

/// Tells who is there, for ever: of a source of which these are known.
pub(super) async fn follow(
    source: Name,
    place: Place,
    mut known: Vec<Member>,
    resolver: Resolver,
    shared: Weak<Shared>,
) {
    let (mut denied, mut failing) = (0, false);
    loop {
        let looked = look(&source, &place, &known, &resolver).await;
        let Some(shared) = shared.upgrade() else { return };
        denied = if let Err(LookupError::Nothing(_)) = looked { denied + 1 } else { 0 };
        let pause = match looked {
            Ok(Looked { members, next }) => {
                if members != known {
                    let addresses: Vec<_> = members.iter().map(|member| member.address).collect();
                    tracing::info!(%source, ?addresses, "found");
                } else if failing {
                    tracing::info!(%source, "can be looked up again");
                }
                (known, failing) = (members, false);
                shared.note(&source, Ok(known.clone()));
                next
            }
            Err(error) => {
                if denied >= BELIEVED && !known.is_empty() {
                    tracing::warn!(%source, "nobody is there any more: {error}");
                    known.clear();
                    shared.note(&source, Ok(Vec::new()));
                } else if !failing {
                    tracing::warn!(%source, known = known.len(), "cannot be looked up: {error}");
                }
                failing = true;
                shared.note(&source, Err(error.to_string()));
                if known.is_empty() { SOONEST } else { AFTER_FAILURE }
            }
        };
        drop(shared);
        sleep(pause).await;
    }
}

/// Looks a source up once.
pub(super) async fn look(
    source: &Name,
    place: &Place,
    known: &[Member],
    resolver: &Resolver,
) -> Result<Looked, LookupError> {
    let looked = timeout(LOOKUP_TIMEOUT, async {
        let lookup = resolver.begin();
        match place {
            Place::Address(address) => {
                Ok(Looked { members: vec![Member::at(source, *address)], next: LATEST })
            }
            Place::Host(host, port) => of_host(source, host, *port, known, &lookup).await,
            Place::Service(service) => of_service(service, known, &lookup).await,
        }
    });
    let late = |_| Err(LookupError::Silent(format!("no answer within {LOOKUP_TIMEOUT:?}")));
    looked.await.unwrap_or_else(late)
}

async fn of_host(
    source: &Name,
    host: &str,
    port: u16,
    known: &[Member],
    lookup: &Lookup,
) -> Result<Looked, LookupError> {
    let found = lookup.addresses(host).await?;
    let (addresses, next) = meant(found, port, known.first()).await?;
    let members = addresses.into_iter().map(|address| Member::at(source, address)).collect();
    Ok(Looked { members, next })
}

/// Every address of every provider. A host of one that has none is left out.
async fn of_service(service: &str, known: &[Member], lookup: &Lookup) -> Result<Looked, LookupError> {
    let Resolved { found: providers, ttl, .. } = lookup.providers(service).await?;
    let weights: Vec<u16> = providers.iter().map(|provider| provider.weight).collect();
    let found = join_all(providers.iter().map(|provider| of_provider(provider, known, lookup))).await;
    let (mut members, mut next) = (Vec::new(), bounded(ttl));
    for (weight, found) in shares(&weights).into_iter().zip(found) {
        let (name, addresses, again) = match found {
            Err(LookupError::Nothing(_)) => continue,
            found => found?,
        };
        next = next.min(again);
        members.extend(addresses.into_iter().map(|address| Member { name: name.clone(), address, weight }));
    }
    if members.is_empty() {
        return Err(LookupError::Nothing("none of the hosts that provide it has an address".into()));
    }
    members.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()).then(a.address.cmp(&b.address)));
    Ok(Looked { members, next })
}

/// What one is called, its addresses, and when they are to be looked up again.
async fn of_provider(
    Provider { host, port, .. }: &Provider,
    known: &[Member],
    lookup: &Lookup,
) -> Result<(Name, Vec<SocketAddr>, Duration), LookupError> {
    let found = lookup.addresses(host).await?;
    let no_name = |error| LookupError::Silent(format!("'{host}:{port}': {error}"));
    let name = Name::of_address(&format!("{}:{port}", host.trim_end_matches('.'))).map_err(no_name)?;
    let current = known.iter().find(|member| is_of(&member.name, &name));
    let (addresses, next) = meant(found, *port, current).await?;
    Ok((name, addresses, next))
}

/// Which of a host's addresses are meant, and when they are to be looked up again. Nothing is said where those of the
/// current member's family are not known: it may still have its address.
async fn meant(
    Resolved { found, ttl, lacks }: Resolved<IpAddr>,
    port: u16,
    current: Option<&Member>,
) -> Result<(Vec<SocketAddr>, Duration), LookupError> {
    let current = current.map(|member| member.address);
    let is_whole = lacks.is_none();
    let is_unknown = |current: SocketAddr| found.iter().all(|ip| ip.is_ipv4() != current.is_ipv4());
    if let Some(why) = lacks.filter(|_| current.is_some_and(is_unknown)) {
        return Err(LookupError::Silent(why));
    }
    let Chosen { addresses, sure } = choose(found, port, current).await;
    let next = match (sure, is_whole) {
        (true, true) => bounded(ttl),
        (true, false) => bounded(ttl).min(AFTER_FAILURE),
        (false, _) => SOONEST,
    };
    Ok((addresses, next))
}

fn bounded(ttl: Duration) -> Duration {
    ttl.clamp(SOONEST, LATEST)
}

/// Whether a connection is accepted there.
pub(super) async fn accepts(address: SocketAddr) -> io::Result<()> {
    timeout(ACCEPT_TIMEOUT, TcpStream::connect(address)).await?.map(drop)
}
