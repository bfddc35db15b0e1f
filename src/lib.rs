//! Ringkeeper, a load balancer that owns its replicas.

pub mod command;
pub mod name;
pub mod ring;
