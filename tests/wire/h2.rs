//! HTTP/2: clients that speak it, replicas that do, gRPC over both, and programs that others wrote.

mod clients;
mod grpc;
pub mod peer;
mod programs;
mod raw;
mod replicas;
