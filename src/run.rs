//! The balancer, put together: store, engine, fleet, control API, data plane.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{
    api,
    config::Config,
    engine::{
        Engine, Kind,
        docker::{self, DockerEngine},
        fixed::FixedEngine,
        process::ProcessEngine,
    },
    fleet::{self, Desired, Fleet, Handle, Store, Stored},
    name::Owner,
    policy::Policy,
    proxy::{Links, Listeners, Plane},
    ring::Ring,
    table::{Published, Snapshot, Table},
};

/// Between two attempts to reach an engine that is late.
const ENGINE_RETRY: Duration = Duration::from_secs(1);

/// How long operators may take to hear the end: whoever had everything taken down among them.
const FAREWELL: Duration = Duration::from_millis(500);

/// The sockets, bound before anything is begun.
#[derive(Debug)]
pub struct Bound {
    /// Where clients connect.
    pub traffic: Listeners,
    /// Where operators connect.
    pub admin: TcpListener,
}

impl Bound {
    /// Binds what the configuration says.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let (listen, admin_listen) = (config.listen, config.admin_listen);
        let traffic = Listeners::bind(listen, config.threads)
            .with_context(|| format!("cannot listen on {listen}; --listen sets another address"))?;
        let admin = TcpListener::bind(admin_listen).await.with_context(|| {
            format!("cannot listen on {admin_listen}; --admin-listen sets another address")
        })?;
        Ok(Bound { traffic, admin })
    }
}

/// Balances until `stop` is done, and then for as long as requests in flight need; or until everything was taken down.
pub async fn run(config: Config, bound: Bound, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let store = Store::open(&config.state_dir)?;
    store.announce(bound.admin.local_addr()?)?;
    tokio::pin!(stop);
    let (engine, desired) = tokio::select! {
        prepared = prepare(&config, &store) => prepared?,
        () = &mut stop => return Ok(()),
    };
    let probe = config.probe(engine.kind())?.probe();
    if engine.kind() == Kind::Docker {
        docker::check_image(&config.docker).await?;
    }
    tracing::info!(engine = %engine.kind(), replicas = desired.wants().len(), state = %config.state_dir.display(), "keeping");
    let ring = Arc::new(Ring::build(&[], &config.fleet.ring)?);
    let table = Table::new(ring, Vec::new()).shared(Policy::new(&config.policy), config.max_in_flight);
    let published = Arc::new(Published::new(Snapshot { default: table }, config.threads));
    let nudge = Arc::new(Notify::new());
    let parts = fleet::Parts {
        engine,
        probe,
        store,
        desired,
        published: published.clone(),
        rng: StdRng::from_rng(&mut rand::rng()),
    };
    let (fleet, handle) = Fleet::new(config.fleet.clone(), parts);
    let (control, pipes) = api::Pipes::new();
    let links = Links { published, epoch: handle.epoch(), nudge: nudge.clone(), control };
    let address = bound.traffic.address();
    let (closing, operators) = serve_api(&handle, config.access, bound.admin, pipes)?;
    let plane = Plane::start(bound.traffic, &config.proxy, &links)?;
    tracing::info!(%address, "ready for requests");

    let mut fleet = JoinSet::from_iter([fleet.run(nudge)]);
    let ended = tokio::select! {
        Some(ended) = fleet.join_next() => ended.context("the fleet's task failed")?.map_err(anyhow::Error::from),
        () = &mut stop => {
            tracing::info!("stopping: finishing what is in flight");
            Ok(())
        }
    };
    tokio::task::spawn_blocking(|| plane.stop()).await.context("the data plane did not stop")?;
    fleet.shutdown().await; // lets go of the engine and of the state directory, where it has not ended
    drop(closing);
    let _else_they_are_cut_off = timeout(FAREWELL, operators).await;
    ended
}

/// Answers operators until what this returns is dropped, and then what is asked already.
fn serve_api(
    handle: &Handle,
    access: api::Access,
    admin: TcpListener,
    pipes: api::Pipes,
) -> anyhow::Result<(oneshot::Sender<()>, JoinHandle<()>)> {
    let access = Arc::new(access);
    tracing::info!(address = %admin.local_addr()?, "ready for operators");
    let control =
        api::control(handle.clone(), access.clone()).into_make_service_with_connect_info::<api::Peer>();
    let own = api::admin(handle.clone(), access).into_make_service_with_connect_info::<api::Peer>();
    tokio::spawn(async move { axum::serve(pipes, control).await });
    let (closing, closed) = oneshot::channel();
    let operators = tokio::spawn(async move {
        let serving = axum::serve(admin, own).with_graceful_shutdown(async { _ = closed.await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "the control API ended");
        }
    });
    Ok((closing, operators))
}

/// The engine and the set to keep: those of an earlier start, or new ones.
pub async fn prepare(config: &Config, store: &Store) -> anyhow::Result<(Arc<dyn Engine>, Desired)> {
    let stored = store.load()?;
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let kind = config.engine.or(stored.as_ref().map(|stored| stored.engine));
    let engine = open_engine(config, kind, stored.is_some()).await?;
    if let Some(stored) = stored.as_ref().filter(|stored| stored.engine != engine.kind()) {
        anyhow::bail!(other_engine(stored, engine.kind(), &config.state_dir));
    }
    let desired = match stored {
        Some(Stored { mut desired, .. }) => {
            reconfigure(&mut desired, engine.kind(), config, &mut rng);
            desired
        }
        None if !engine.kind().owns_instances() => {
            Desired::of_addresses(Owner::from_bits(rng.random()), &config.upstreams, &mut rng)
        }
        None => Desired::fresh(Owner::from_bits(rng.random()), config.fleet.replicas, &mut rng),
    };
    Ok((engine, desired))
}

/// Has a stored set follow a configuration that changed. One that names no upstreams says nothing of them.
fn reconfigure(desired: &mut Desired, engine: Kind, config: &Config, rng: &mut StdRng) {
    if engine.owns_instances() {
        desired.reconfigure(config.fleet.replicas, rng.random_range(0..1000), rng);
    } else if !config.upstreams.is_empty() {
        desired.follow(&config.upstreams, rng);
    }
}

fn other_engine(stored: &Stored, asked: Kind, state_dir: &Path) -> String {
    let (was, state_dir) = (stored.engine, state_dir.display());
    format!(
        "the replicas in {state_dir} belong to the {was} engine, not to {asked}: take them down first (`ringkeeper down --engine {was}`), or give this balancer another --state-dir"
    )
}

/// The engine of this kind; where none is chosen yet, Docker if it answers. One that had replicas before is waited for.
async fn open_engine(
    config: &Config,
    kind: Option<Kind>,
    had_replicas: bool,
) -> anyhow::Result<Arc<dyn Engine>> {
    let of_docker = |client| Arc::new(DockerEngine::new(client, config.docker.clone())) as Arc<dyn Engine>;
    let of_process = || Arc::new(ProcessEngine::new(config.process.clone())) as Arc<dyn Engine>;
    match kind {
        Some(Kind::Docker) => loop {
            match docker::connect().await {
                Ok(client) => break Ok(of_docker(client)),
                Err(error) if had_replicas && error.may_come => {
                    tracing::warn!("waiting for the engine: {error}")
                }
                Err(error) => break Err(error.into()),
            }
            tokio::time::sleep(ENGINE_RETRY).await;
        },
        Some(Kind::Process) => Ok(of_process()),
        Some(Kind::Fixed) => Ok(Arc::new(FixedEngine::new())),
        None => match docker::connect().await {
            Ok(client) => Ok(of_docker(client)),
            Err(error) => {
                tracing::warn!("{error}");
                tracing::warn!("no Docker engine answers: replicas are child processes of the balancer");
                Ok(of_process())
            }
        },
    }
}
