//! Replicas that somebody else runs: where they are looked for, and who is found there.

use std::{
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    Answer, Engine, EngineError, Finding, Instance, Kind, Known, Launch, Logs, Stop, Trouble, dns::Resolver,
};
use crate::name::{InstanceId, Name};

mod family;
mod follow;
mod member;
mod place;
mod share;

use follow::{accepts, follow, look};
use member::{Member, id_of, instances};
use place::Place;

/// Finds replicas at addresses. A host is each of its addresses, a service each of its providers; both are looked up
/// again as their answers run out. A look-up that fails changes nothing.
pub struct FixedEngine {
    shared: Arc<Shared>,
    resolver: Resolver,
    pool: Box<str>,
}

/// What those who follow the sources tell.
struct Shared {
    /// Locked because every follower changes it; never held across an await.
    sources: Mutex<Vec<Source>>,
    changed: Notify,
    /// That something was looked up for the first time.
    looked: Notify,
}

/// Where is looked, and what was found there at last.
struct Source {
    name: Name,
    members: Vec<Member>,
    trouble: Option<String>,
    /// Whether nothing is known of it yet.
    pending: bool,
    /// Looks it up again and again, until this is dropped.
    _follower: JoinSet<()>,
}

impl FixedEngine {
    /// An engine for this pool, which is not told yet where to look.
    pub fn new(pool: Box<str>, resolver: Resolver) -> Self {
        let (sources, changed, looked) = (Mutex::default(), Notify::new(), Notify::new());
        FixedEngine { shared: Arc::new(Shared { sources, changed, looked }), resolver, pool }
    }

    /// One of these sources, of which this may be known from before.
    fn begin(&self, name: &Name, sources: &[Name], before: &[Known]) -> Source {
        let place = Place::of(name);
        let mut follower = JoinSet::new();
        let members = match &place {
            Place::Address(address) => vec![Member::at(name, *address)],
            _ => place.remembered(name, sources, before),
        };
        let pending = members.is_empty();
        if !matches!(place, Place::Address(_)) {
            follower.spawn(follow(
                name.clone(),
                place,
                members.clone(),
                self.resolver.clone(),
                Arc::downgrade(&self.shared),
            ));
        }
        Source { name: name.clone(), members, trouble: None, pending, _follower: follower }
    }

    async fn list_all(&self) -> Vec<Instance> {
        loop {
            let looked = self.shared.looked.notified(); // before looking, so that none is missed
            if let Some(listed) = self.known() {
                return listed;
            }
            looked.await; // each look-up has a deadline
        }
    }

    /// Every member, unless a source was never looked up.
    fn known(&self) -> Option<Vec<Instance>> {
        let sources = self.shared.sources();
        if sources.iter().any(|source| source.pending) {
            return None;
        }
        Some(instances(sources.iter().map(|source| (&source.name, &source.members[..])), &self.pool))
    }
}

impl Shared {
    fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        self.sources.lock().expect("nobody panics while holding it")
    }

    /// Takes in what a look-up found, or why it did not.
    fn note(&self, name: &Name, found: Result<Vec<Member>, String>) {
        let mut sources = self.sources();
        let Some(source) = sources.iter_mut().find(|source| source.name == *name) else { return };
        let first = std::mem::replace(&mut source.pending, false);
        let news = match found {
            Ok(members) => {
                let news = source.members != members || source.trouble.is_some();
                (source.members, source.trouble) = (members, None);
                news
            }
            Err(why) => source.trouble.replace(why.clone()) != Some(why),
        };
        drop(sources);
        if first {
            self.looked.notify_one();
        }
        if first || news {
            self.changed.notify_one();
        }
    }
}

impl Engine for FixedEngine {
    fn kind(&self) -> Kind {
        Kind::Fixed
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        async { Ok(self.list_all().await) }.boxed()
    }

    fn start<'a>(&'a self, _: &'a Launch) -> Answer<'a> {
        ready(Ok(())).boxed()
    }

    fn release<'a>(&'a self, _: &'a InstanceId) -> Answer<'a> {
        ready(Ok(())).boxed()
    }

    fn stop<'a>(&'a self, _: &'a InstanceId, _: Stop) -> Answer<'a> {
        ready(Ok(())).boxed()
    }

    fn logs<'a>(&'a self, _: &'a InstanceId, _: usize, _: bool) -> Answer<'a, Logs> {
        let (attempt, why) =
            ("read the logs".to_owned(), "somebody else runs the replica and has them".to_owned());
        ready(Err(EngineError::Refused { kind: Kind::Fixed, attempt, why })).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.shared.changed.notified().boxed()
    }

    fn clear(&self) -> Answer<'_> {
        ready(Ok(())).boxed()
    }

    fn seek(&self, sources: &[Name], before: &[Known]) {
        let mut there = self.shared.sources();
        let mut next = Vec::with_capacity(sources.len());
        for name in sources {
            let known = there.iter().position(|source| source.name == *name);
            next.push(known.map_or_else(|| self.begin(name, sources, before), |at| there.swap_remove(at)));
        }
        *there = next;
        drop(there);
        self.shared.looked.notify_one(); // what was waited for may be sought no more
        self.shared.changed.notify_one();
    }

    fn troubles(&self) -> Vec<Trouble> {
        let sources = self.shared.sources();
        let troubled = sources.iter().filter_map(|source| {
            let (why, known) = (source.trouble.clone()?, !source.members.is_empty());
            let why = if known { format!("{why}; what was known before is kept") } else { why };
            Some(Trouble { source: source.name.clone(), why, known })
        });
        troubled.collect()
    }
}

/// The id of what listens at this address, where the name is one.
pub fn instance_at(name: &Name) -> Option<InstanceId> {
    match Place::of(name) {
        Place::Address(address) => Some(id_of(address)),
        Place::Host(..) | Place::Service(_) => None,
    }
}

/// Looks at each address, for `ringkeeper doctor`: whether its host is known, and a connection accepted.
pub async fn examine(upstreams: &[Name], resolver: &Resolver) -> Vec<Finding> {
    let reach = async |shown: String, address: SocketAddr| match accepts(address).await {
        Ok(()) => Ok(format!("{shown} accepts connections")),
        Err(error) => {
            Err(format!("{shown} accepts no connection: {error}; start it, or take it out of --upstream"))
        }
    };
    let examined = async |name: &Name| {
        let place = Place::of(name);
        if let Place::Address(address) = place {
            return vec![reach(name.to_string(), address).await];
        }
        match look(name, &place, &[], resolver).await {
            Ok(found) => {
                let shown = |member: &Member| format!("{} ({})", member.name, member.address);
                join_all(found.members.iter().map(|member| reach(shown(member), member.address))).await
            }
            Err(why) => {
                vec![Err(format!("'{name}' cannot be looked up: {why}; mend its DNS, or --upstream"))]
            }
        }
    };
    let found = join_all(upstreams.iter().map(examined)).await;
    found.into_iter().flatten().map(|found| Finding { what: "upstream", found }).collect()
}
