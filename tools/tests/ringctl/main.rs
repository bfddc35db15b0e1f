//! The client: each command against the real balancer, what no real one does against a scripted one, and the shell on a
//! terminal.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod pools;
mod scripted;
mod server;
mod shell;
mod terminal;
