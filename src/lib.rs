//! Ringkeeper, a load balancer that owns its replicas.

pub mod api;
pub mod command;
pub mod config;
pub mod engine;
pub mod event;
pub mod fleet;
pub mod name;
pub mod proxy;
pub mod ring;
pub mod run;
pub mod table;
pub mod telemetry;
