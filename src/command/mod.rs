//! What the program does besides balancing: one file for each subcommand.

pub mod ring;
