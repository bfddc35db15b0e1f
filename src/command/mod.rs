//! The subcommands.

pub mod check;
mod client;
pub mod doctor;
pub mod down;
pub mod ring;
pub mod socket_group;
pub mod status;
