//! What Ringkeeper's client `ringctl` and its tester `ringtest` are made of.
//!
//! In reading order: `base` is where a balancer is reached, `client` calls its control API, `ids` draws request ids,
//! `load` sends requests and counts what came of them, `forecast` says what each replica should get, `stats` compares
//! the two, `survey` asks the ring alone, for many servers and many keys, `assertion` is what a script demands of numbers,
//! `docker` is that command, `target` a replica that can be hit, `subject` a balancer of a test's own, `said` what a
//! program says, `progress` shows that something goes on, `table` aligns columns, `chart` draws, `csv` and `folder` keep
//! what was found.
//!
//! Of the balancer's own code only `ring` (and `name::Number`, which it needs) is used: a tester that shares wire types
//! with its subject cannot notice that the wire changed.

pub mod assertion;
pub mod base;
pub mod chart;
pub mod client;
pub mod csv;
pub mod docker;
pub mod folder;
pub mod forecast;
pub mod grpc;
pub mod ids;
pub mod load;
pub mod progress;
pub mod said;
pub mod stats;
pub mod subject;
pub mod survey;
pub mod table;
pub mod target;
