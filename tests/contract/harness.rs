//! What the suite needs: an engine in its place, and words for looking at it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture};
use ringkeeper::{
    engine::{Engine, Instance, Launch, Logs},
    name::{InstanceId, Name, Number, Owner},
};
use tokio::time::{Instant, sleep};

/// How long anything may take that is to happen soon.
pub const SOON: Duration = Duration::from_secs(30);

/// What an engine under test needs from outside of it.
pub trait Harness {
    /// A word that no other harness has, for names: things beyond the deployment share their space.
    fn word(&self) -> &str;
    /// The name of a launch of this number.
    fn name(&self, number: u16) -> Name {
        format!("{}-{number}", self.word()).parse().unwrap()
    }
    /// The engine, of a deployment of this harness alone.
    fn engine(&self) -> Arc<dyn Engine>;
    /// An engine of another deployment in the same place.
    fn neighbour(&self) -> Arc<dyn Engine>;
    /// Whether the two compete for names.
    fn shares_names(&self) -> bool;
    /// How long the engine lets one end by itself.
    fn stop_timeout(&self) -> Duration;
    /// Ends an instance with SIGKILL, past the engine.
    fn kill<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()>;
    /// Stops an instance from doing anything, such as heeding SIGTERM, past the engine.
    fn freeze<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()>;
    /// Whether `GET /heartbeat` is answered there.
    fn answers(&self, address: SocketAddr) -> BoxFuture<'_, bool>;
    /// Does the first half of a start, as a start that was cut off would have; `false` where none has halves.
    fn create_only<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, bool>;
}

impl dyn Harness + '_ {
    /// A launch of this number.
    pub fn launch(&self, number: u16) -> Launch {
        Launch {
            instance: id(number),
            owner: Owner::from_bits(7),
            pool: "default".into(),
            name: self.name(number),
            number: Number::new(number).unwrap(),
        }
    }
}

/// An instance id.
pub fn id(bits: u16) -> InstanceId {
    InstanceId::from_bits(bits.into())
}

/// The listed instance of this launch.
pub async fn one(engine: &dyn Engine, launch: &Launch) -> Instance {
    find(engine, launch).await.expect("it is listed")
}

/// The same, if there is one.
pub async fn find(engine: &dyn Engine, launch: &Launch) -> Option<Instance> {
    let mut found: Vec<_> =
        engine.list().await.unwrap().into_iter().filter(|instance| instance.id == launch.instance).collect();
    assert!(found.len() <= 1, "one instance is listed twice: {found:?}");
    found.pop()
}

/// The last lines that this launch's instance wrote.
pub async fn wrote(engine: &dyn Engine, launch: &Launch, tail: usize) -> String {
    text(engine.logs(&launch.instance, tail, false).await.unwrap()).await
}

/// All that comes, as a text.
pub async fn text(logs: Logs) -> String {
    let pieces: Vec<_> = logs.map(Result::unwrap).collect().await;
    String::from_utf8(pieces.concat()).unwrap()
}

/// Waits until this holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "never so: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
