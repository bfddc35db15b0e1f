//! The balancer with replicas in real Docker. Only where `RINGKEEPER_TEST_DOCKER` is 1: images are named by
//! `RINGKEEPER_TEST_IMAGE` (the sample replica) and `RINGKEEPER_TEST_BALANCER`.

use std::io::Write;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[path = "../support/mod.rs"]
mod support;

mod addition;
mod compose;
mod contained;
mod engine;
mod foreign;
mod healing;
mod healthcheck;
mod kills;
mod labels;
mod load;
mod membership;
mod outage;
mod restart;
mod tasks;
mod tls;

/// Tests that measure time have the machine for themselves, as far as this suite goes.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// A turn beside other tests; none where Docker is not to be used.
async fn beside_others() -> Option<RwLockReadGuard<'static, ()>> {
    if docker_is_wanted() { Some(MACHINE.read().await) } else { None }
}

/// A turn alone; none where Docker is not to be used.
async fn alone() -> Option<RwLockWriteGuard<'static, ()>> {
    if docker_is_wanted() { Some(MACHINE.write().await) } else { None }
}

fn docker_is_wanted() -> bool {
    let wanted = std::env::var("RINGKEEPER_TEST_DOCKER").is_ok_and(|value| value == "1");
    if !wanted {
        say("*** SKIPPED: a test with real Docker. `make test` runs it where an engine answers. ***");
    }
    wanted
}

/// Says something on stderr, also where the test passes.
fn say(text: &str) {
    let _best_effort = writeln!(std::io::stderr(), "{text}"); // what eprintln! writes is held back by the test harness
}
