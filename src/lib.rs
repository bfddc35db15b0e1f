//! Ringkeeper, a load balancer that owns its replicas.

pub mod engine;
pub mod event;
pub mod fleet;
pub mod name;
pub mod proxy;
pub mod ring;
pub mod table;
