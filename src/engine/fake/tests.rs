//! The fake engine keeps the contract of the real ones.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use contract::{Harness, contract};
use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{Daemon, FakeEngine, STOP_TIMEOUT};
use crate::engine::{Engine, EngineError, Instance, Launch};

#[path = "../../../tests/contract/mod.rs"]
mod contract;

contract!(run);

struct Fake {
    daemon: Arc<Daemon>,
    engine: Arc<FakeEngine>,
}

fn run(fact: &str, check: impl AsyncFnOnce(&dyn Harness)) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let seed = fact.bytes().map(u64::from).sum();
    runtime.block_on(async {
        let daemon = Daemon::new(seed);
        let engine = Arc::new(daemon.engine("ours"));
        check(&Fake { daemon, engine }).await;
    });
}

impl Harness for Fake {
    fn word(&self) -> &str {
        "fake"
    }

    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }

    fn neighbour(&self) -> Arc<dyn Engine> {
        Arc::new(self.daemon.engine("theirs"))
    }

    fn shares_names(&self) -> bool {
        true
    }

    fn stop_timeout(&self) -> Duration {
        STOP_TIMEOUT
    }

    fn kill<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()> {
        self.daemon.crash(&instance.id, 137);
        ready(()).boxed()
    }

    fn freeze<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()> {
        self.daemon.freeze(&instance.id, true);
        ready(()).boxed()
    }

    fn answers(&self, address: SocketAddr) -> BoxFuture<'_, bool> {
        ready(self.daemon.answers(address)).boxed()
    }

    fn create_only<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, bool> {
        self.daemon.put("ours", launch, false);
        ready(true).boxed()
    }
}

#[test]
fn a_name_that_something_foreign_has_is_refused_by_that_name() {
    run("foreign", async |harness| {
        let daemon = Daemon::new(1);
        let (engine, launch) = (daemon.engine("ours"), harness.launch(1));
        daemon.put_foreign(launch.name.as_str());
        let before = daemon.containers();
        let refused = engine.start(&launch).await.unwrap_err();
        assert!(matches!(refused, EngineError::NameTaken { name, .. } if name == launch.name));
        assert_eq!(daemon.containers(), before);
    });
}
