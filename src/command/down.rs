//! `ringkeeper down`: takes everything of a deployment down.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use http::Method;

use super::client;
use crate::{
    config::Config,
    fleet::{Store, StoreError},
    keeper::Keeper,
    proxy::Listener,
};

/// How long a balancer may take to end after its last replica.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Has the running balancer drain to none and exit; where none runs, does the same in its place. Afterwards nothing of
/// the deployment is left.
pub async fn run(config: Config) -> anyhow::Result<()> {
    match Store::open(&config.state_dir) {
        Ok(store) => alone(config, store).await,
        Err(StoreError::Locked(_)) => through_the_balancer(&config).await,
        Err(error) => Err(error.into()),
    }
}

async fn through_the_balancer(config: &Config) -> anyhow::Result<()> {
    let state_dir = config.state_dir.display();
    let admin = Store::announced(&config.state_dir).with_context(|| {
        format!("a balancer has the state directory {state_dir}, and does not say where it listens")
    })?;
    let (admin, token) = (client::reachable(admin), config.access.token.as_ref());
    let patience = config.default.fleet.drain_timeout + config.default.docker.stop_timeout + END_TIMEOUT;
    let called = client::call(admin, token, Method::POST, "/v1/down", patience).await;
    let (status, body) = called.with_context(|| format!("a balancer has the state directory {state_dir}"))?;
    if !status.is_success() {
        bail!("the balancer answers {status}: {}", String::from_utf8_lossy(&body).trim());
    }
    let deadline = Instant::now() + END_TIMEOUT;
    while let Err(error @ StoreError::Locked(_)) = Store::open(&config.state_dir) {
        if Instant::now() >= deadline {
            return Err(error).context("the replicas are gone, but the balancer does not end");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Pools without a data plane: nothing is in flight, so nothing is waited for but the replicas' own stop.
async fn alone(config: Config, store: Store) -> anyhow::Result<()> {
    let nowhere = Arc::new(Listener::nowhere(config.listen));
    let (mut keeper, _doors) = Keeper::new(&config, store, nowhere).await?;
    keeper.down().await?;
    Ok(())
}
