//! What Ringkeeper's client `ringctl` and its tester `ringtest` are made of.
//!
//! In reading order: `base` is where a balancer is reached, `client` calls its control API, `ids` draws request ids,
//! `load` sends requests and counts what came of them, `forecast` says what each replica should get, `stats` compares
//! the two, `progress` shows that something goes on, `table` aligns columns.
//!
//! Of the balancer's own code only `ring` (and `name::Number`, which it needs) is used: a tester that shares wire types
//! with its subject cannot notice that the wire changed.

pub mod base;
pub mod client;
pub mod forecast;
pub mod ids;
pub mod load;
pub mod progress;
pub mod stats;
pub mod table;
