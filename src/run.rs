//! The balancer, put together: store, keeper of the pools, control API, data plane.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{
    api,
    config::Config,
    fleet::{Pools, Store},
    keeper::{Doors, Keeper},
    proxy::{self, Links, Listener, Plane},
};

/// How long operators may take to hear the end: whoever had everything taken down among them.
const FAREWELL: Duration = Duration::from_millis(500);

/// The sockets, bound before anything is begun.
#[derive(Debug)]
pub struct Bound {
    /// Where clients connect.
    pub traffic: Arc<Listener>,
    /// Where operators connect.
    pub admin: TcpListener,
}

impl Bound {
    /// Binds what the configuration says.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let (listen, admin_listen) = (config.listen, config.admin_listen);
        let traffic = proxy::bind(listen, config.threads)
            .with_context(|| format!("cannot listen on {listen}; --listen sets another address"))?;
        let admin = TcpListener::bind(admin_listen).await.with_context(|| {
            format!("cannot listen on {admin_listen}; --admin-listen sets another address")
        })?;
        Ok(Bound { traffic: Arc::new(traffic), admin })
    }
}

/// Balances until `stop` is done, and then for as long as requests in flight need; or until everything was taken down.
pub async fn run(config: Config, bound: Bound, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let store = Store::open(&config.state_dir)?;
    store.announce(bound.admin.local_addr()?)?;
    tokio::pin!(stop);
    let address = bound.traffic.address;
    let (keeper, doors) = tokio::select! {
        begun = Keeper::new(&config, store, bound.traffic) => begun?,
        () = &mut stop => return Ok(()),
    };
    let Doors { published, epoch, routing, pools } = doors;
    let (control, pipes) = api::Pipes::new();
    let links = Links { published, epoch, routing, control };
    let (closing, operators) = serve_api(&pools, config.access, bound.admin, pipes)?;
    let plane = Plane::start(config.threads, &config.proxy, &links)?;
    tracing::info!(%address, "ready for requests");

    let mut keeper = JoinSet::from_iter([keeper.run()]);
    let ended = tokio::select! {
        Some(ended) = keeper.join_next() => ended.context("the keeper's task failed")?,
        () = &mut stop => {
            tracing::info!("stopping: finishing what is in flight");
            Ok(())
        }
    };
    tokio::task::spawn_blocking(|| plane.stop()).await.context("the data plane did not stop")?;
    keeper.shutdown().await; // lets go of the engines and of the state directory, where it has not ended
    drop(closing);
    let _else_they_are_cut_off = timeout(FAREWELL, operators).await;
    ended
}

/// Answers operators until what this returns is dropped, and then what is asked already.
fn serve_api(
    pools: &Pools,
    access: api::Access,
    admin: TcpListener,
    pipes: api::Pipes,
) -> anyhow::Result<(oneshot::Sender<()>, JoinHandle<()>)> {
    let access = Arc::new(access);
    tracing::info!(address = %admin.local_addr()?, "ready for operators");
    let control =
        api::control(pools.clone(), access.clone()).into_make_service_with_connect_info::<api::Peer>();
    let own = api::admin(pools.clone(), access).into_make_service_with_connect_info::<api::Peer>();
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
