//! What can be set for each pool.

use std::time::Duration;

use super::{
    args::{at_least_one, duration},
    discovery::DiscoveryArgs,
    given::GivenArgs,
    policy::PolicyArgs,
    retry::RetryArgs,
    spec::SpecArgs,
    value::{Bytes, Cpus, Pids},
};
use crate::{engine::Kind, fleet::Victim, name::Name, proxy::KeySource};

/// The settings of a pool: of the default one by flags, by the environment or at the top of the file, of another in its
/// table there or by the control API.
#[derive(clap::Args, Clone, Debug)]
pub struct PoolArgs {
    /// What runs the replicas: docker, process or somebody else, at addresses (fixed) or in containers that join by their
    /// labels (labels) [default: docker if one answers at the first start]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Kind>,
    /// Where replicas are that are started elsewhere; several, or a list with commas. A host is each of its addresses; a
    /// service (_http._tcp.example.org) is all that provide it. A stored set is kept until this changes
    #[arg(long, value_name = "HOST:PORT|SERVICE", value_delimiter = ',', value_parser = Name::of_source)]
    pub upstream: Vec<Name>,
    /// Where else that is said, and who is asked where hosts are.
    #[command(flatten)]
    pub discovery: DiscoveryArgs,
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
    /// What decides where a request goes: request_id, random, path, segment:N (of the path), host, client, client/24/64 (its
    /// network, by the bits of IPv4 and IPv6), header:NAME, cookie:NAME, query:NAME, json:MEMBER (of a small JSON body); or
    /// several, of which the first counts that the request has
    #[arg(long, value_name = "SOURCE,…", value_delimiter = ',', default_value = "request_id")]
    pub key: Vec<KeySource>,
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
    /// What a client gets for a GET that a replica answers with 404: the 404 (pass) or the assignment's 400
    #[arg(long, value_name = "pass|assignment", default_value = "pass")]
    pub unknown_path: UnknownPath,
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
    /// Where clients find the pool's counters, as JSON, in place of a replica [default: nowhere]
    #[arg(long, value_name = "PATH", value_parser = own_path)]
    pub stats_path: Option<Box<str>>,
    /// Where clients find whether anybody serves: 200 or 503, in place of a replica [default: nowhere]
    #[arg(long, value_name = "PATH", value_parser = own_path)]
    pub health_path: Option<Box<str>>,
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

/// A path that is answered in place of a replica.
fn own_path(text: &str) -> Result<Box<str>, String> {
    match text.starts_with('/') && !text.contains(['?', '#', '%', ' ']) && !text.contains("/.") {
        true => Ok(text.into()),
        false => Err("a path begins with '/' and has no '?', '#', '%' or '..'".to_owned()),
    }
}
