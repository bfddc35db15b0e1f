//! What can be set, by a flag, by the environment or in `ringkeeper.toml`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{client::ClientArgs, forwarding::ForwardingArgs, pool::PoolArgs, token::TokenArgs};
use crate::name::Deployment;

/// What was typed. Each setting is a flag, `RINGKEEPER_…` in the environment and a key of the configuration file, all of
/// one name; a flag goes before the environment, and that before the file.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Read settings from this file [default: ./ringkeeper.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,
    /// Where operators connect: /v1, and /rep, /add and /rm again
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001")]
    pub admin_listen: SocketAddr,
    /// Who may use the control API.
    #[command(flatten)]
    pub token: TokenArgs,
    /// Ask for the token (or for a caller on this machine) on /rep too, where clients connect
    #[arg(long)]
    pub protect_rep: bool,
    /// Names by which callers address the control API, beside addresses and localhost
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// The default pool's settings, each of which another pool can have in its table of the file.
    #[command(flatten)]
    pub pool: PoolArgs,
    /// What clients may send, and how slowly.
    #[command(flatten)]
    pub clients: ClientArgs,
    /// What replicas and clients are told about a request.
    #[command(flatten)]
    pub forwarding: ForwardingArgs,
    /// How long an unused connection is kept, to a replica or to a client
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub idle_timeout: Duration,
    /// Where clients find /rep, /add and /rm: behind this prefix, or 'off'
    #[arg(long, value_name = "PREFIX|off", default_value = "/")]
    pub control_paths: String,
    /// Where the set of replicas is kept [default: ~/.local/state/ringkeeper/DEPLOYMENT]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Take over the replicas of a balancer whose state directory is lost
    #[arg(long)]
    pub adopt: bool,
    /// The name that marks this balancer's containers, and of their network
    #[arg(long, value_name = "NAME", default_value = "ringkeeper")]
    pub deployment: Deployment,
    /// Threads that carry requests [default: one for each core]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<u32>,
    /// Docker calls that change something, at a time
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "10")]
    pub docker_concurrency: u32,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time is written like 500ms, 10s or 1m"))
}

pub(super) fn at_least_one(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|number| *number >= 1).ok_or_else(|| "a whole number from 1".to_owned())
}
