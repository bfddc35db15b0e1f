//! The balancer as its clients meet it: the real program, with replicas that are processes.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod care;
mod conformance;
mod control;
mod discovery;
mod examples;
mod fixed;
mod h2;
mod hostile;
mod keys;
mod kills;
mod late;
mod life;
mod openapi;
mod operate;
mod origin;
mod policies;
mod pools;
mod probes;
mod queue;
mod relay;
mod retry;
mod routes;
mod settings;
mod stats;
mod sticky;
mod trouble;

/// Not a test but a replica, which the balancer under test starts where the sample replica's answers do not tell enough.
#[test]
#[ignore = "is a replica of the other tests"]
fn replica() {
    origin::serve();
}

/// The same, of one that is told what trouble to make.
#[test]
#[ignore = "is a replica of the other tests"]
fn trouble_replica() {
    trouble::serve();
}

/// The same, of one that has gRPC's health service and nothing else.
#[test]
#[ignore = "is a replica of the other tests"]
fn grpc_replica() {
    probes::serve();
}
