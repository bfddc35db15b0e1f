//! Opening a pool's engine, and the set that it keeps: those of an earlier start, or new ones.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use anyhow::bail;
use futures_util::future::FutureExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::OnceCell;

use crate::{
    config::Pool,
    engine::{
        Engine, EngineError, Kind, LateEngine,
        dns::Resolver,
        docker::{self, DockerEngine, LabelsEngine},
        fixed::FixedEngine,
        process::ProcessEngine,
    },
    fleet::{Configured, Desired, Store, Stored},
    name::Owner,
};

/// The client that all pools share, once the engine has answered.
pub(super) type Shared = Arc<OnceCell<docker::Client>>;

/// An engine that is open, whatever the settings of the pool.
pub(super) enum Opened {
    Docker(Shared),
    /// With the one that hears of the containers, once there is one.
    Labels(Shared, Arc<OnceLock<LabelsEngine>>),
    Process(Arc<ProcessEngine>),
    /// With the name server that it asks, where it is not the system's.
    Fixed(Arc<FixedEngine>, Option<SocketAddr>),
}

/// The engine of this pool and the set to keep.
pub(super) async fn open(pool: &Pool, store: &Store, docker: &Shared) -> anyhow::Result<(Opened, Desired)> {
    let stored = store.load()?;
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let was = stored.as_ref().map(|stored| stored.engine);
    let kind = if pool.is_ending { was.or(pool.engine) } else { pool.engine.or(was) };
    let opened = open_engine(pool, kind, stored.is_some(), docker).await?;
    let kind = opened.kind();
    if let Some(stored) = stored.as_ref().filter(|stored| stored.engine != kind) {
        bail!(other_engine(stored, kind, store.directory()));
    }
    let desired = match stored {
        Some(Stored { desired, .. }) if pool.is_ending => desired,
        Some(Stored { mut desired, .. }) => {
            reconfigure(&mut desired, kind, pool, &mut rng);
            desired
        }
        None => new_set(kind, pool, &mut rng),
    };
    Ok((opened, desired))
}

/// The set of a first start.
fn new_set(engine: Kind, pool: &Pool, rng: &mut StdRng) -> Desired {
    let owner = Owner::from_bits(rng.random());
    match engine {
        Kind::Labels => Desired::from_wants(owner, Configured::Labels, Vec::new()),
        Kind::Fixed => Desired::of_sources(owner, &pool.upstreams),
        Kind::Docker | Kind::Process => Desired::fresh(owner, pool.fleet.replicas, rng),
    }
}

/// Has a stored set follow a configuration that changed. One that names no upstreams says nothing of them.
fn reconfigure(desired: &mut Desired, engine: Kind, pool: &Pool, rng: &mut StdRng) {
    if engine.owns_instances() {
        desired.reconfigure(pool.fleet.replicas, rng.random_range(0..1000), rng);
    } else if !pool.upstreams.is_empty() {
        desired.follow(&pool.upstreams);
    }
}

fn other_engine(stored: &Stored, asked: Kind, state_dir: &Path) -> String {
    let (was, state_dir) = (stored.engine, state_dir.display());
    format!(
        "the replicas in {state_dir} belong to the {was} engine, not to {asked}: take them down first (`ringkeeper down --engine {was}`), or give this balancer another --state-dir"
    )
}

/// The engine of this kind; where none is chosen yet, Docker if it answers. One that had replicas before may be late.
async fn open_engine(
    pool: &Pool,
    kind: Option<Kind>,
    had_replicas: bool,
    docker: &Shared,
) -> anyhow::Result<Opened> {
    let of_process = || Opened::Process(Arc::new(ProcessEngine::new(pool.process.clone())));
    match kind {
        Some(Kind::Docker) => Ok(Opened::Docker(reach(docker, had_replicas).await?)),
        Some(Kind::Labels) => Ok(Opened::Labels(reach(docker, had_replicas).await?, Arc::default())),
        Some(Kind::Process) => Ok(of_process()),
        Some(Kind::Fixed) => {
            let engine = FixedEngine::new(pool.fleet.pool.clone(), Resolver::new(pool.resolver));
            Ok(Opened::Fixed(Arc::new(engine), pool.resolver))
        }
        None => match reach(docker, false).await {
            Ok(shared) => Ok(Opened::Docker(shared)),
            Err(error) => {
                tracing::warn!("{error}");
                tracing::warn!("no Docker engine answers: replicas are child processes of the balancer");
                Ok(of_process())
            }
        },
    }
}

/// The way to the engine, which answers unless it may be late.
async fn reach(shared: &Shared, may_be_late: bool) -> Result<Shared, docker::ConnectError> {
    match connect(shared).await {
        Err(error) if may_be_late && error.may_come => {
            tracing::warn!("going on without the engine, which is late: {error}");
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    Ok(shared.clone())
}

async fn connect(shared: &Shared) -> Result<docker::Client, docker::ConnectError> {
    let connecting = || async { docker::connect().await.map(docker::Client::from) };
    shared.get_or_try_init(connecting).await.cloned()
}

/// The engine that `make` makes of the client, at once or when there is one.
fn of_client<M>(kind: Kind, shared: &Shared, make: M) -> Arc<dyn Engine>
where
    M: Fn(docker::Client) -> Arc<dyn Engine> + Clone + Send + Sync + 'static,
{
    if let Some(client) = shared.get() {
        return make(client.clone());
    }
    let shared = shared.clone();
    let late = move || {
        let (shared, make) = (shared.clone(), make.clone());
        let unreachable =
            move |error: docker::ConnectError| EngineError::Unreachable { kind, why: error.to_string() };
        async move { connect(&shared).await.map(make).map_err(unreachable) }.boxed()
    };
    Arc::new(LateEngine::new(kind, Box::new(late)))
}

impl Opened {
    /// Which one it is.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Opened::Docker(_) => Kind::Docker,
            Opened::Labels(..) => Kind::Labels,
            Opened::Process(_) => Kind::Process,
            Opened::Fixed(..) => Kind::Fixed,
        }
    }

    /// Why the pool cannot have these settings as long as this is its engine, if it cannot.
    pub(super) fn refusal(&self, pool: &Pool) -> Option<String> {
        let kind = self.kind();
        match (pool.engine.filter(|asked| *asked != kind), self) {
            (Some(asked), _) => Some(format!(
                "its replicas belong to the {kind} engine, not to {asked}: remove the pool first"
            )),
            (None, Opened::Fixed(_, resolver)) if *resolver != pool.resolver => Some(
                "its hosts are looked up at another name server (resolver): remove the pool first".into(),
            ),
            _ => None,
        }
    }

    /// The engine as these settings have it; what runs already goes on.
    pub(super) fn engine(&self, pool: &Pool) -> Arc<dyn Engine> {
        match self {
            Opened::Docker(shared) => {
                let config = pool.docker.clone();
                of_client(self.kind(), shared, move |client| -> Arc<dyn Engine> {
                    Arc::new(DockerEngine::new(client, config.clone()))
                })
            }
            Opened::Labels(shared, first) => {
                let (config, first) = (pool.labels(), first.clone());
                of_client(self.kind(), shared, move |client| -> Arc<dyn Engine> {
                    let first = first.get_or_init(|| LabelsEngine::new(client.docker(), config.clone()));
                    Arc::new(first.configured(config.clone()))
                })
            }
            Opened::Process(engine) => Arc::new(engine.configured(pool.process.clone())),
            Opened::Fixed(engine, _) => engine.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Common, Section},
        fleet::{Given, Sheet},
    };

    fn pool(settings: &[(&str, &str)]) -> Pool {
        let given = |(name, value): &(&str, &str)| ((*name).to_owned(), Given::One((*value).to_owned()));
        let sheet: Sheet = settings.iter().map(given).collect();
        let deployment = "test".parse().unwrap();
        let common = Common { deployment, docker_concurrency: 1, adopt: false, is_ending: false };
        Section::of_sheet("pool 'a'", "a", &sheet).pool(&common).unwrap()
    }

    #[tokio::test]
    async fn what_is_only_to_be_taken_down_is_what_is_stored() {
        let directory = std::env::temp_dir().join(format!("ringkeeper-open-{}", std::process::id()));
        let store = Store::open(&directory).unwrap();
        let desired = Desired::fresh(Owner::from_bits(1), 2, &mut StdRng::seed_from_u64(1));
        store.save(&Stored { engine: Kind::Process, desired }).unwrap();
        let mut elsewhere = pool(&[("upstream", "a:1")]);
        assert!(open(&elsewhere, &store, &Shared::default()).await.is_err());
        elsewhere.is_ending = true;
        let (opened, desired) = open(&elsewhere, &store, &Shared::default()).await.unwrap();
        assert_eq!((opened.kind(), desired.wants().len()), (Kind::Process, 2));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    /// A call that named another name server was told that all was well, and the old one was asked on.
    #[test]
    fn what_an_engine_that_is_open_cannot_change_is_refused() {
        let open = |resolver: Option<&str>| {
            let resolver = resolver.map(|it| it.parse().unwrap());
            let engine = FixedEngine::new("a".into(), Resolver::new(resolver));
            Opened::Fixed(Arc::new(engine), resolver)
        };
        let (one, other) = (("resolver", "127.0.0.1:53"), ("resolver", "127.0.0.2:53"));
        let upstream = ("upstream", "a:1");
        for (opened, settings, is_refused) in [
            (open(None), vec![upstream], false),
            (open(None), vec![upstream, one], true),
            (open(Some(one.1)), vec![upstream, one], false),
            (open(Some(one.1)), vec![("upstream", "b:2"), one, ("rise", "2")], false),
            (open(Some(one.1)), vec![upstream, other], true),
            (open(Some(one.1)), vec![upstream], true),
            (open(None), vec![("engine", "process")], true),
        ] {
            let refused = opened.refusal(&pool(&settings));
            assert_eq!(refused.is_some(), is_refused, "{settings:?}: {refused:?}");
        }
    }
}
