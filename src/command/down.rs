//! `ringkeeper down`: takes everything of a deployment down.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::Method;
use tokio::sync::Notify;

use super::client;
use crate::{
    config::Config,
    fleet::{self, Fleet, Store, StoreError},
    ring::Ring,
    run::prepare,
    table::{Published, Snapshot, Table},
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
    let patience = config.fleet.drain_timeout + config.docker.stop_timeout + END_TIMEOUT;
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

/// A fleet without a data plane: nothing is in flight, so nothing is waited for but the replicas' own stop.
async fn alone(config: Config, store: Store) -> anyhow::Result<()> {
    let (engine, desired) = prepare(&config, &store).await?;
    let probe = config.probe(engine.kind())?.probe();
    let ring = std::sync::Arc::new(Ring::build(&[], &config.fleet.ring)?);
    let published =
        std::sync::Arc::new(Published::new(Snapshot { default: Table::new(ring, Vec::new()) }, 0));
    let rng = rand::make_rng();
    let parts = fleet::Parts { engine, probe, store, desired, published, rng };
    let (fleet, handle) = Fleet::new(config.fleet, parts);
    let fleet = tokio::spawn(fleet.run(std::sync::Arc::new(Notify::new())));
    let downed = handle.down().await;
    fleet.await.context("the fleet's task failed")??;
    downed?;
    Ok(())
}
