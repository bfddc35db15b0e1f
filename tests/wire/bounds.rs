//! What many clients cost, and those who are slow, stall or vanish: memory and time are bounded, and nobody gets what is
//! another's.

mod crowd;
mod leaving;
mod memory;
mod mixing;
mod origin;
mod pausing;
mod websocket;
mod wire;

use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Mutex, MutexGuard};

use self::{origin::Origin, wire::Wire};
use crate::support::{Balancer, Deployment};

/// Descriptors that are left to the other tests.
const OTHERS: u64 = 1000;

/// Has those tests wait for each other that need thousands of descriptors, or look at how much memory there is.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// So many, or as many as there are descriptors for, if each needs so many of them. The system is asked for more than it
/// lets a process have, which root may; a balancer that is started then may have as many.
fn afford(wanted: usize, each: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = (wanted * each) as u64 + OTHERS;
    let most = limit.maximum.map(|most| most.max(needed));
    let raised = [most, limit.maximum].map(|most| Rlimit { current: most, maximum: most });
    let is_raised = raised.into_iter().any(|raised| setrlimit(Resource::Nofile, raised).is_ok());
    assert!(is_raised, "up to the maximum is allowed");
    let there = getrlimit(Resource::Nofile).current;
    let there = there.map_or(wanted * each, |there| usize::try_from(there - OTHERS).expect("many"));
    wanted.min(there / each)
}

/// A balancer before these.
async fn balance(deployment: &Deployment, origins: &[SocketAddr], settings: &[&str]) -> Balancer {
    let origins: Vec<String> = origins.iter().map(SocketAddr::to_string).collect();
    let upstreams = origins.iter().flat_map(|origin| ["--upstream", origin.as_str()]);
    let own = ["--probe", "tcp", "--threads", "2", "--control-paths", "off", "--response-timeout", "60s"];
    let arguments: Vec<&str> = upstreams.chain(own).chain(settings.iter().copied()).collect();
    deployment.start(&arguments).await
}

/// A request without a body.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A connection over which this was sent.
async fn send(address: SocketAddr, text: &str) -> Wire {
    let mut wire = Wire::connect(address).await.expect("the balancer accepts");
    wire.write(text.as_bytes()).await.expect("sent");
    wire
}

/// The numbers of requests in flight and failed that the balancer tells.
async fn told(balancer: &Balancer) -> (u64, u64) {
    let pool = balancer.pool().await;
    let number = |name: &str| pool["replicas"][0][name].as_u64().expect("a number");
    (number("in_flight"), number("errors"))
}
