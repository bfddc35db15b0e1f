//! Ringkeeper, a load balancer that owns its replicas.
//!
//! Requests are many and each only has to *read* which replica; changes are few, and each needs slow, failing, outside
//! work. So they live in different tasks and share one immutable value, the snapshot, swapped whole.
//!
//! A request: [`proxy`] accepts it, finds its pool and its key, and claims the candidate that the pool's [`policy`] chooses (by
//! default the first on the ring) by the snapshot of now; where that one fails it and it may be sent again, another one.
//! It takes no lock and never waits for an engine.
//!
//! A change (a call, an event, a death, a restart; all one path): the loop of [`fleet`] wakes, looks at the engine and
//! the heartbeats, publishes the table if it differs, and acts on the difference between what is desired and what is
//! there. Publish comes before act: a replica is out of the table before it is out of the network.
//!
//! The modules, in reading order:

/// The words: names, numbers, ids.
pub mod name;
/// What happened and why.
pub mod event;
/// Who calls the control API.
pub mod caller;
/// Which server a key belongs to: slots, hash functions, placements.
pub mod ring;
/// Who of a pool serves a request: by key, or by load.
pub mod policy;
/// The snapshot: what requests read.
pub mod table;
/// What this process may use of the system.
pub mod limits;
/// What runs replicas: Docker, child processes, somebody else.
pub mod engine;
/// Keeps the desired replicas alive.
pub mod fleet;
/// Carries requests.
pub mod proxy;
/// The control API.
pub mod api;
/// Logs.
pub mod telemetry;
/// From flags, environment and file to values.
pub mod config;
/// Makes, changes and ends pools, and says where requests go.
pub mod keeper;
/// The balancer, put together.
pub mod run;
/// The subcommands.
pub mod command;

#[cfg(test)]
mod layers;

#[cfg(test)]
extern crate self as ringkeeper; // the contract suite, which also runs outside, calls the crate by its name
