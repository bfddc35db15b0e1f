//! What can be set, by a flag, by the environment or in `ringkeeper.toml`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    client::ClientArgs,
    forwarding::ForwardingArgs,
    given::GivenArgs,
    policy::PolicyArgs,
    retry::RetryArgs,
    spec::SpecArgs,
    token::TokenArgs,
    value::{Bytes, Cpus, Pids},
};
use crate::{
    engine::Kind,
    fleet::Victim,
    name::{Deployment, Name},
    proxy::KeySource,
};

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
    /// What runs the replicas: docker, process or, somewhere else, somebody else (fixed) [default: docker if one answers at
    /// the first start]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Kind>,
    /// A replica that is started elsewhere; several of them, or a list with commas. A stored set is kept until this changes
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = Name::of_address)]
    pub upstream: Vec<Name>,
    /// How many replicas to start with; a stored set is kept until this changes [default: 3]
    #[arg(long, value_name = "N")]
    pub replicas: Option<usize>,
    /// The most replicas that /add may lead to
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max_replicas: usize,
    /// The image of the replicas (docker)
    #[arg(long, default_value = "ringkeeper-server")]
    pub image: String,
    /// The port that the replicas listen on (docker) [default: the one that the image exposes, or 5000]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// What the replicas speak: http1 or h2c (HTTP/2 without TLS, such as gRPC's). Clients may always speak either
    #[arg(long, value_name = "PROTOCOL", default_value = "http1", hide_possible_values = true)]
    pub protocol: Protocol,
    /// The replicas' program and its arguments (process) [default: ringkeeper-server beside this binary]
    #[arg(long, value_name = "PROGRAM ARG…")]
    pub command: Option<String>,
    /// What replicas are given beside that.
    #[command(flatten)]
    pub given: GivenArgs,
    /// How the ring is made.
    #[command(flatten)]
    pub ring: SpecArgs,
    /// What decides where a request goes: request_id, random, path, client, header:NAME, query:NAME
    #[arg(long, default_value = "request_id")]
    pub key: KeySource,
    /// Who serves a request.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// How a replica is asked whether it lives: http, tcp (it accepts a connection), grpc (grpc.health.v1) or image (docker:
    /// its image's HEALTHCHECK) [default: http; upstreams: tcp, unless there is a heartbeat path]
    #[arg(long, value_name = "KIND", hide_possible_values = true)]
    pub probe: Option<ProbeKind>,
    /// The path of the heartbeat (http) [default: /heartbeat]
    #[arg(long, value_name = "PATH")]
    pub heartbeat_path: Option<String>,
    /// The service that the heartbeat asks about (grpc) [default: the server as a whole]
    #[arg(long, value_name = "NAME")]
    pub probe_service: Option<String>,
    /// From the start of one heartbeat to the start of the next [default: 1s; preset assignment: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub heartbeat_interval: Option<Duration>,
    /// How long a replica may take to answer a heartbeat
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub heartbeat_timeout: Duration,
    /// Heartbeats under way at a time [default: one for each replica; preset assignment: 10]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub heartbeat_concurrency: Option<u32>,
    /// Answered heartbeats in a row that make a replica ready
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "1")]
    pub rise: u32,
    /// Failed heartbeats in a row that make a replica dead [default: 3; preset assignment: 5]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub max_fail_count: Option<u32>,
    /// How many replicas that run and fail their heartbeats are replaced at a time
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "1")]
    pub heal_at_once: u32,
    /// The first pause before a replica that keeps dying is started again; it doubles up to 60s
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub restart_pause: Duration,
    /// Requests in a row that a replica fails before others are preferred to it for a while; 0 for never
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub eject_after: u32,
    /// How long others are preferred to it at first; it doubles up to 10m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub eject_time: Duration,
    /// How long a replica that became ready gets a growing part of its requests; 0s for all of them at once
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    pub slow_start: Duration,
    /// Who leaves where /rm or a smaller scale names nobody: random, least_moved (owns the fewest slots of the ring),
    /// least_busy (has the fewest requests in flight) or newest
    #[arg(long, value_name = "WHO", default_value = "random")]
    pub victim: Victim,
    /// How long /add waits for readiness
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub add_timeout: Duration,
    /// How long what is in flight may go on: at a replica that leaves, and when the balancer stops
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub drain_timeout: Duration,
    /// From a replica's stop signal to SIGKILL
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub stop_timeout: Duration,
    /// How long opening a connection to a replica may take
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub connect_timeout: Duration,
    /// How long it may take until a response begins, whoever gives it in the end
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub response_timeout: Duration,
    /// What is sent again, and when.
    #[command(flatten)]
    pub retry: RetryArgs,
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
    /// What a client gets for a GET that a replica answers with 404: the 404 (pass) or the assignment's 400
    #[arg(long, value_name = "pass|assignment", default_value = "pass")]
    pub unknown_path: UnknownPath,
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
    /// Memory of a replica's container, such as 512m, or 'none' for no limit
    #[arg(long, value_name = "BYTES|none", default_value = "512m")]
    pub container_memory: Bytes,
    /// Processors of a replica's container, such as 0.5, or 'none' for no limit
    #[arg(long, value_name = "CPUS|none", default_value = "1")]
    pub container_cpus: Cpus,
    /// Processes and threads of a replica's container, or 'none' for no limit
    #[arg(long, value_name = "N|none", default_value = "512")]
    pub container_pids: Pids,
    /// Keep the default capabilities of a replica's container
    #[arg(long)]
    pub container_capabilities: bool,
    /// Let a replica's container gain privileges by setuid programs
    #[arg(long)]
    pub container_new_privileges: bool,
    /// Let a replica's container write to its root file system
    #[arg(long)]
    pub container_writable: bool,
}

/// What becomes of a replica's 404 to a GET.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownPath {
    /// It goes to the client.
    Pass,
    /// The client gets the assignment's 400.
    Assignment,
}

/// What the replicas speak.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, from the first byte.
    H2c,
}

/// How a replica is asked whether it lives.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// By a GET of the heartbeat's path.
    Http,
    /// By opening a connection.
    Tcp,
    /// By gRPC's health service.
    Grpc,
    /// By its image's HEALTHCHECK.
    Image,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time is written like 500ms, 10s or 1m"))
}

pub(super) fn at_least_one(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|number| *number >= 1).ok_or_else(|| "a whole number from 1".to_owned())
}
