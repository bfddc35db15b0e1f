//! Replicas that somebody else runs: addresses, which are looked up and kept, and nothing more.

use std::{
    collections::BTreeMap,
    future::ready,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Engine, EngineError, Finding, Instance, Kind, Launch, Logs, State, Stop};
use crate::name::{InstanceId, Name};

/// How long looking a host up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// From one look-up of a host to the next.
const LOOKUP_EVERY: Duration = Duration::from_secs(30);
/// The same, while a host has several addresses and none of them accepts a connection: which one it will be is open.
const LOOKUP_SOON: Duration = Duration::from_secs(1);
/// How long opening a connection may take, where that chooses among a host's addresses.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);

/// Keeps addresses. The name of each instance is one; its host is looked up when it is entered, and again every 30 s: an
/// address that it has no more is given up for one that it has, and a look-up that fails changes nothing.
pub struct FixedEngine {
    upstreams: Upstreams,
    changed: Arc<Notify>,
    lookup: Lookup,
}

/// Locked because every call and every follower changes it; never held across an await.
type Upstreams = Arc<Mutex<BTreeMap<InstanceId, Upstream>>>;
type Lookup = Arc<dyn Fn(Name) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

struct Upstream {
    instance: Instance,
    /// Looks its host up again and again, until this is dropped.
    _follower: JoinSet<()>,
}

/// Where a host was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    address: SocketAddr,
    /// Whether it is the only address, or accepts connections.
    sure: bool,
}

impl Default for FixedEngine {
    fn default() -> Self {
        FixedEngine::new()
    }
}

impl FixedEngine {
    /// An engine without addresses yet. To be used in a runtime.
    pub fn new() -> Self {
        FixedEngine::with_lookup(system_lookup())
    }

    fn with_lookup(lookup: Lookup) -> Self {
        FixedEngine { upstreams: Arc::default(), changed: Arc::default(), lookup }
    }

    fn upstreams(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Upstream>> {
        lock(&self.upstreams)
    }

    async fn enter(&self, launch: &Launch) -> Result<(), EngineError> {
        if self.upstreams().contains_key(&launch.instance) {
            return Ok(());
        }
        let place = locate(&self.lookup, &launch.name, None).await;
        let place = place.map_err(|why| EngineError::Unresolved { name: launch.name.clone(), why })?;
        let instance = Instance::of(launch, State::Running(Some(place.address)));
        let mut follower = JoinSet::new();
        if literal(&launch.name).is_none() {
            let (lookup, upstreams) = (self.lookup.clone(), self.upstreams.clone());
            follower.spawn(follow(instance.clone(), place, lookup, upstreams, self.changed.clone()));
        }
        let mut upstreams = self.upstreams();
        for other in upstreams.values_mut().filter(|other| other.instance.name == instance.name) {
            other.instance.holds_name = false;
        }
        upstreams.insert(instance.id.clone(), Upstream { instance, _follower: follower });
        Ok(())
    }
}

impl Drop for FixedEngine {
    fn drop(&mut self) {
        self.upstreams().clear(); // the followers hold on to it
    }
}

impl Engine for FixedEngine {
    fn kind(&self) -> Kind {
        Kind::Fixed
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Instance>, EngineError>> {
        let instances = self.upstreams().values().map(|upstream| upstream.instance.clone()).collect();
        ready(Ok(instances)).boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, Result<(), EngineError>> {
        self.enter(launch).boxed()
    }

    fn release<'a>(&'a self, instance: &'a InstanceId) -> BoxFuture<'a, Result<(), EngineError>> {
        if let Some(upstream) = self.upstreams().get_mut(instance) {
            upstream.instance.holds_name = false;
        }
        ready(Ok(())).boxed()
    }

    fn stop<'a>(&'a self, instance: &'a InstanceId, _: Stop) -> BoxFuture<'a, Result<(), EngineError>> {
        self.upstreams().remove(instance);
        self.changed.notify_one();
        ready(Ok(())).boxed()
    }

    fn logs<'a>(&'a self, _: &'a InstanceId, _: usize, _: bool) -> BoxFuture<'a, Result<Logs, EngineError>> {
        let (attempt, why) =
            ("read the logs".to_owned(), "somebody else runs the replica and has them".to_owned());
        ready(Err(EngineError::Refused { kind: Kind::Fixed, attempt, why })).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        ready(Ok(())).boxed()
    }
}

/// Looks at each address, for `ringkeeper doctor`: whether its host is known, and a connection accepted.
pub async fn examine(upstreams: &[Name]) -> Vec<Finding> {
    let lookup = &system_lookup();
    let look = async |name: &Name| {
        let place = locate(lookup, name, None).await.map_err(|why| {
            format!("the host of '{name}' cannot be looked up: {why}; mend its DNS, or --upstream")
        })?;
        let at = if literal(name).is_some() { String::new() } else { format!(" ({})", place.address) };
        match accepts(place.address).await {
            Ok(()) => Ok(format!("{name}{at} accepts connections")),
            Err(error) => Err(format!(
                "{name}{at} accepts no connection: {error}; start it, or take it out of --upstream"
            )),
        }
    };
    let found = join_all(upstreams.iter().map(look)).await;
    found.into_iter().map(|found| Finding { what: "upstream", found }).collect()
}

fn lock(upstreams: &Upstreams) -> MutexGuard<'_, BTreeMap<InstanceId, Upstream>> {
    upstreams.lock().expect("nobody panics while holding it")
}

fn system_lookup() -> Lookup {
    Arc::new(|name| async move { Ok(lookup_host(name.as_str()).await?.collect()) }.boxed())
}

/// The address that a name is already, without any look-up.
fn literal(name: &Name) -> Option<SocketAddr> {
    name.as_str().parse().ok()
}

/// Has the instance go by the address that its host has now, for ever.
async fn follow(
    instance: Instance,
    mut place: Place,
    lookup: Lookup,
    upstreams: Upstreams,
    changed: Arc<Notify>,
) {
    loop {
        sleep(if place.sure { LOOKUP_EVERY } else { LOOKUP_SOON }).await;
        let now = match locate(&lookup, &instance.name, Some(place.address)).await {
            Ok(now) => now,
            Err(why) => {
                tracing::warn!(name = %instance.name, why, "its host cannot be looked up: the last address is kept");
                place.sure = true;
                continue;
            }
        };
        if now.address != place.address {
            tracing::info!(name = %instance.name, from = %place.address, to = %now.address, "its host has moved");
            if let Some(upstream) = lock(&upstreams).get_mut(&instance.id) {
                upstream.instance.state = State::Running(Some(now.address));
            }
            changed.notify_one();
        }
        place = now;
    }
}

/// Where the host of this name is now, or why that is not known.
async fn locate(lookup: &Lookup, name: &Name, current: Option<SocketAddr>) -> Result<Place, String> {
    if let Some(address) = literal(name) {
        return Ok(Place { address, sure: true });
    }
    let found = timeout(LOOKUP_TIMEOUT, lookup(name.clone())).await;
    let found = found.map_err(|_| format!("no answer within {LOOKUP_TIMEOUT:?}"))?;
    let found = found.map_err(|error| error.to_string())?;
    choose(&found, current).await.ok_or_else(|| "it has no address".to_owned())
}

/// One of a host's addresses: the current one if it has it still and that accepts connections, else the first that does;
/// where none does, the current one or the first.
async fn choose(found: &[SocketAddr], current: Option<SocketAddr>) -> Option<Place> {
    let current = current.filter(|current| found.contains(current));
    let first = current.or(found.first().copied())?;
    if let [address] = *found {
        return Some(Place { address, sure: true });
    }
    for address in std::iter::once(first).chain(found.iter().copied()) {
        if accepts(address).await.is_ok() {
            return Some(Place { address, sure: true });
        }
    }
    Some(Place { address: first, sure: false })
}

async fn accepts(address: SocketAddr) -> io::Result<()> {
    timeout(ACCEPT_TIMEOUT, TcpStream::connect(address)).await?.map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::net::TcpListener;

    use super::*;
    use crate::name::{Number, Owner};

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn launch(name: &str) -> Launch {
        Launch {
            instance: InstanceId::from_bits(1),
            owner: Owner::from_bits(1),
            pool: "default".into(),
            name: Name::of_address(name).unwrap(),
            number: Number::new(1).unwrap(),
        }
    }

    /// An engine whose look-ups find these, one after the other, and then nothing.
    fn finding(answers: Vec<Vec<SocketAddr>>) -> FixedEngine {
        let answers = Mutex::new(VecDeque::from(answers));
        FixedEngine::with_lookup(Arc::new(move |_| {
            let answer = answers.lock().unwrap().pop_front();
            ready(answer.ok_or_else(|| io::Error::other("no such host"))).boxed()
        }))
    }

    async fn listed(engine: &FixedEngine) -> Option<SocketAddr> {
        engine.list().await.unwrap()[0].address()
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_moves_is_followed_and_one_that_is_not_found_stays_where_it_was() {
        let engine = finding(vec![vec![address(1)], vec![address(1)], vec![address(2)]]);
        engine.start(&launch("db.internal:80")).await.unwrap();
        assert_eq!(listed(&engine).await, Some(address(1)));
        engine.changed().await;
        assert_eq!(listed(&engine).await, Some(address(2)));
        sleep(5 * LOOKUP_EVERY).await;
        assert_eq!(listed(&engine).await, Some(address(2)));
    }

    #[tokio::test]
    async fn a_host_that_is_not_found_at_first_is_not_entered() {
        let engine = finding(vec![]);
        let refused = engine.start(&launch("db.internal:80")).await.unwrap_err();
        assert_eq!(refused.to_string(), "the host of 'db.internal:80' cannot be looked up: no such host");
        assert_eq!(engine.list().await.unwrap(), []);
        engine.start(&launch("[::1]:80")).await.unwrap();
        assert_eq!(listed(&engine).await, Some("[::1]:80".parse().unwrap()));
    }

    /// `localhost` is ::1 and 127.0.0.1, and most servers listen on one of them.
    #[tokio::test]
    async fn of_several_addresses_it_is_one_that_accepts_and_stays_that() {
        let listeners = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let [one, two] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let sure = |address| Some(Place { address, sure: true });
        assert_eq!(choose(&[closed, one, two], None).await, sure(one));
        assert_eq!(choose(&[closed, one, two], Some(two)).await, sure(two));
        assert_eq!(choose(&[closed, one], Some(two)).await, sure(one), "an address that it has no more");
        drop(listeners);
        assert_eq!(choose(&[one, two], Some(two)).await, Some(Place { address: two, sure: false }));
        assert_eq!(choose(&[one], Some(two)).await, sure(one), "there is no other");
        assert_eq!(choose(&[], Some(two)).await, None);
    }

    #[tokio::test]
    async fn dropped_it_looks_nothing_up_any_more() {
        let engine = finding(vec![vec![address(1)]]);
        engine.start(&launch("db.internal:80")).await.unwrap();
        let upstreams = Arc::downgrade(&engine.upstreams);
        drop(engine);
        while upstreams.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
