//! Looking a source up again and again.

use std::{io, net::SocketAddr, sync::Weak, time::Duration};

use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    Shared,
    family::{Chosen, choose},
    member::Member,
    place::Place,
    share::shares,
};
use crate::{
    engine::dns::{LookupError, Provider, Resolved, Resolver},
    name::Name,
};

/// How long looking up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// From one look-up to the next, however short or long its answer holds.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);
/// The same after one that failed, where something is known from before.
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
        match place {
            Place::Address(address) => {
                Ok(Looked { members: vec![Member::at(source, *address)], next: LATEST })
            }
            Place::Host(host, port) => of_host(source, host, *port, known, resolver).await,
            Place::Service(service) => of_service(service, known, resolver).await,
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
    resolver: &Resolver,
) -> Result<Looked, LookupError> {
    let Resolved { found, ttl } = resolver.addresses(host).await?;
    let Chosen { addresses, sure } = choose(found, port, known.first().map(|member| member.address)).await;
    let members = addresses.into_iter().map(|address| Member::at(source, address)).collect();
    Ok(Looked { members, next: if sure { bounded(ttl) } else { SOONEST } })
}

/// Every address of every provider. A host of one that has none is left out.
async fn of_service(service: &str, known: &[Member], resolver: &Resolver) -> Result<Looked, LookupError> {
    let Resolved { found: providers, mut ttl } = resolver.providers(service).await?;
    let weights: Vec<u16> = providers.iter().map(|provider| provider.weight).collect();
    let (weights, mut members) = (shares(&weights), Vec::new());
    let hosts = resolver.addresses_of(providers.iter().map(|provider| provider.host.as_str())).await;
    for ((Provider { host, port, .. }, weight), found) in providers.iter().zip(weights).zip(hosts) {
        let found = match found {
            Err(LookupError::Nothing(_)) => continue,
            found => found?,
        };
        let no_name = |error| LookupError::Silent(format!("'{host}:{port}': {error}"));
        let name = Name::of_address(&format!("{}:{port}", host.trim_end_matches('.'))).map_err(no_name)?;
        let current = known.iter().find(|member| member.name == name).map(|member| member.address);
        let Chosen { addresses, sure } = choose(found.found, *port, current).await;
        ttl = if sure { ttl.min(found.ttl) } else { SOONEST };
        members.extend(addresses.into_iter().map(|address| Member { name: name.clone(), address, weight }));
    }
    if members.is_empty() {
        return Err(LookupError::Nothing("none of the hosts that provide it has an address".into()));
    }
    members.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()).then(a.address.cmp(&b.address)));
    Ok(Looked { members, next: bounded(ttl) })
}

fn bounded(ttl: Duration) -> Duration {
    ttl.clamp(SOONEST, LATEST)
}

/// Whether a connection is accepted there.
pub(super) async fn accepts(address: SocketAddr) -> io::Result<()> {
    timeout(ACCEPT_TIMEOUT, TcpStream::connect(address)).await?.map(drop)
}
