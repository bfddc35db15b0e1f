//! Addresses of what is run elsewhere keep the contract of an engine, as far as it is about them.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::get};
use contract::{Harness, contract_of_all};
use futures_util::future::{BoxFuture, FutureExt, ready};
use ringkeeper::{
    engine::{
        Engine, Instance, Launch,
        fixed::{FixedEngine, examine},
    },
    fleet::HttpProbe,
    name::Name,
};
use tokio::net::TcpListener;

#[allow(dead_code, unused_macros, reason = "of the facts of a death by its hand there are none here")]
mod contract;

contract_of_all!(run);

/// Servers that are none of the engine's, as many as a fact has launches.
struct Elsewhere {
    engine: Arc<FixedEngine>,
    servers: Vec<SocketAddr>,
}

fn run(_fact: &str, check: impl AsyncFnOnce(&dyn Harness)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut servers = Vec::new();
        for _ in 0..5 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            servers.push(listener.local_addr().unwrap());
            let router = Router::new().route("/heartbeat", get(async || ()));
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        check(&Elsewhere { engine: Arc::new(FixedEngine::new()), servers }).await;
    });
}

impl Harness for Elsewhere {
    fn word(&self) -> &str {
        "fixed"
    }

    /// The even ones by name: those are looked up.
    fn name(&self, number: u16) -> Name {
        let address = self.servers[usize::from(number) - 1];
        let host = if number.is_multiple_of(2) { "localhost".to_owned() } else { address.ip().to_string() };
        Name::of_address(&format!("{host}:{}", address.port())).unwrap()
    }

    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }

    fn neighbour(&self) -> Arc<dyn Engine> {
        Arc::new(FixedEngine::new())
    }

    fn shares_names(&self) -> bool {
        false
    }

    fn stop_timeout(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn kill<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, ()> {
        ready(()).boxed() // and the engine sees nothing of it
    }

    fn freeze<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    fn answers(&self, address: SocketAddr) -> BoxFuture<'_, bool> {
        async move { HttpProbe::new("/heartbeat").asks(address, Duration::from_secs(1)).await == Some(true) }
            .boxed()
    }

    fn create_only<'a>(&'a self, _: &'a Launch) -> BoxFuture<'a, bool> {
        ready(false).boxed()
    }
}

#[test]
fn the_doctor_tells_who_accepts_connections() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let names = [open.to_string(), format!("localhost:{}", open.port()), closed.to_string()];
        let names = names.map(|name| Name::of_address(&name).unwrap());
        let found: Vec<_> = examine(&names).await.into_iter().map(|finding| finding.found).collect();
        assert_eq!(found[0], Ok(format!("{open} accepts connections")));
        assert_eq!(found[1], Ok(format!("localhost:{} ({open}) accepts connections", open.port())));
        let wrong = found[2].clone().unwrap_err();
        assert!(
            wrong.contains(&format!("{closed} accepts no connection")) && wrong.contains("--upstream"),
            "{wrong}"
        );
    });
}
