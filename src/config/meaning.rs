//! From a pool's settings to what they mean.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};

use super::{
    discovery, given,
    pool::{PoolArgs, Protocol, UnknownPath},
    probe,
    spec::Preset,
};
use crate::{
    engine::{Kind, docker, process},
    fleet,
    name::{Deployment, Name},
    policy as policies, proxy,
    ring::SpecError,
    table::queue,
};

/// What all pools of a balancer have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Whose instances they are.
    pub deployment: Deployment,
    /// Docker calls that change something, at a time, of each pool.
    pub docker_concurrency: usize,
    /// Whether to take over the instances of another owner.
    pub adopt: bool,
    /// Whether they are only to be taken down.
    pub is_ending: bool,
}

/// What a pool is to be.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: Box<str>,
    /// The engine, where one is chosen.
    pub engine: Option<Kind>,
    /// Whether it is only to be taken down: as it is stored, whatever is configured now.
    pub is_ending: bool,
    /// How the Docker engine runs replicas.
    pub docker: docker::Config,
    /// How the process engine does.
    pub process: process::Config,
    /// How it is kept.
    pub fleet: fleet::Config,
    /// The replicas that are started elsewhere, where some are configured.
    pub upstreams: Vec<Name>,
    /// The name server that knows their hosts, where it is not the system's.
    pub resolver: Option<SocketAddr>,
    /// How replicas are asked whether they live, where that is set.
    probe: Option<fleet::ProbeSpec>,
    /// Who serves a request.
    pub policy: policies::Settings,
    /// The most requests that a replica may have in flight.
    pub max_in_flight: usize,
    /// Where requests wait when all replicas have that many, where they may.
    pub queue: Option<queue::Settings>,
    /// How its requests are carried.
    pub proxy: proxy::PoolConfig,
}

impl Pool {
    /// What these arguments mean for the pool of this name, or what is wrong with them.
    pub fn of(name: &str, args: &PoolArgs, common: &Common) -> anyhow::Result<Self> {
        let fleet = fleet_config(name, args, common)?;
        let upstreams = if common.is_ending { Vec::new() } else { discovery::upstreams(args)? };
        let engine = engine(args, &upstreams, &fleet, common)?;
        let (probe, proxy) = (probe::asked(args)?, proxy_config(name, args)?);
        if let Some(engine) = engine {
            probe::of_engine(probe.as_ref(), engine, proxy.protocol)?;
        }
        Ok(Pool {
            name: name.into(),
            engine,
            is_ending: common.is_ending,
            docker: docker::Config {
                needs_healthcheck: probe == Some(fleet::ProbeSpec::Image),
                ..docker_config(args, common)?
            },
            process: process_config(args)?,
            policy: args.policy.settings(),
            max_in_flight: args.policy.most(),
            queue: args.policy.queue()?,
            proxy,
            fleet,
            upstreams,
            resolver: args.discovery.resolver,
            probe,
        })
    }

    /// Which labelled containers join.
    pub fn labels(&self) -> docker::LabelsConfig {
        docker::LabelsConfig {
            deployment: self.docker.deployment.clone(),
            pool: self.fleet.pool.clone(),
            port: self.docker.port,
            stop_timeout: self.docker.stop_timeout,
        }
    }

    /// How the instances of this engine are asked whether they live.
    pub fn probe(&self, engine: Kind) -> anyhow::Result<fleet::ProbeSpec> {
        probe::of_engine(self.probe.as_ref(), engine, self.proxy.protocol)
    }
}

/// The engine, where one is chosen; and whether the replicas that are configured can be its.
fn engine(
    args: &PoolArgs,
    upstreams: &[Name],
    fleet: &fleet::Config,
    common: &Common,
) -> anyhow::Result<Option<Kind>> {
    let room = fleet.room();
    ensure!(fleet.replicas <= room, "--replicas {}: there may be {room} at most", fleet.replicas);
    let engine = if discovery::are_said(args) { args.engine.or(Some(Kind::Fixed)) } else { args.engine };
    if common.is_ending {
        return Ok(engine);
    }
    if let Some(engine) = engine.filter(|engine| *engine != Kind::Fixed && !upstreams.is_empty()) {
        let whence = if engine == Kind::Labels {
            "finds its replicas by their labels"
        } else {
            "starts its replicas itself"
        };
        bail!(
            "--upstream: the {engine} engine {whence}; leave out --engine (and RINGKEEPER_ENGINE), or the upstreams"
        );
    }
    if engine == Some(Kind::Labels) && args.replicas.is_some() {
        bail!("--replicas: of the labels engine there are as many as there are containers with its labels");
    }
    if engine == Some(Kind::Fixed) && args.replicas.is_some() {
        bail!(
            "--replicas: of what is started elsewhere there are as many as there are upstreams (--upstream)"
        );
    }
    ensure!(upstreams.len() <= room, "--upstream: there may be {room} at most");
    if let Some((_, twice)) = upstreams.iter().enumerate().find(|(at, name)| upstreams[..*at].contains(name))
    {
        bail!("--upstream {twice}: is given twice");
    }
    Ok(engine)
}

fn fleet_config(name: &str, args: &PoolArgs, common: &Common) -> anyhow::Result<fleet::Config> {
    let (interval, max_fail_count, concurrency) = match args.ring.preset {
        Some(Preset::Assignment) => (Duration::from_secs(10), 5, Some(10)),
        None => (Duration::from_secs(1), 3, None),
    };
    let heartbeat = fleet::Rules {
        interval: args.heartbeat_interval.unwrap_or(interval),
        timeout: args.heartbeat_timeout,
        rise: args.rise,
        max_fail_count: args.max_fail_count.unwrap_or(max_fail_count),
    };
    ensure!(!heartbeat.interval.is_zero(), "--heartbeat-interval: a time above 0");
    ensure!(!heartbeat.timeout.is_zero(), "--heartbeat-timeout: a time above 0");
    ensure!(!args.eject_time.is_zero(), "--eject-time: a time above 0; --eject-after 0 ejects nobody");
    Ok(fleet::Config {
        pool: name.into(),
        replicas: args.replicas.unwrap_or(3),
        max_replicas: args.max_replicas,
        ring: args.ring.spec().map_err(|error| anyhow!("{}: {error}", flag_of(error)))?,
        heartbeat,
        heartbeat_concurrency: args.heartbeat_concurrency.or(concurrency).map(|most| most as usize),
        add_timeout: args.add_timeout,
        drain_timeout: args.drain_timeout,
        heal_at_once: args.heal_at_once as usize,
        restart_pause: args.restart_pause,
        outliers: fleet::Outliers { after: args.eject_after, time: args.eject_time },
        victim: args.victim,
        slow_start: args.slow_start,
        adopt: common.adopt,
    })
}

fn flag_of(error: SpecError) -> &'static str {
    match error {
        SpecError::Slots(_) => "--slots",
        SpecError::Virtual { .. } => "--virtual",
    }
}

fn docker_config(args: &PoolArgs, common: &Common) -> anyhow::Result<docker::Config> {
    Ok(docker::Config {
        deployment: common.deployment.clone(),
        image: args.image.clone(),
        port: args.port,
        pulling: args.given.pulling()?,
        given: args.given.given()?,
        limits: docker::Limits {
            drop_capabilities: !args.container_capabilities,
            no_new_privileges: !args.container_new_privileges,
            read_only: !args.container_writable,
            pids: args.container_pids.0,
            memory: args.container_memory.0,
            cpus: args.container_cpus.0,
        },
        stop_timeout: args.stop_timeout,
        concurrency: common.docker_concurrency,
        needs_healthcheck: false,
    })
}

fn process_config(args: &PoolArgs) -> anyhow::Result<process::Config> {
    let command = match given::split("--command", args.command.as_deref())? {
        Some(command) => command,
        None => vec![beside_this_binary("ringkeeper-server")?],
    };
    Ok(process::Config { command, env: args.given.env.clone(), stop_timeout: args.stop_timeout })
}

fn beside_this_binary(name: &str) -> anyhow::Result<String> {
    let this = std::env::current_exe().context("cannot find this binary")?;
    Ok(this.with_file_name(name).to_string_lossy().into_owned())
}

fn proxy_config(name: &str, args: &PoolArgs) -> anyhow::Result<proxy::PoolConfig> {
    ensure!(
        args.protocol == Protocol::Http1 || args.policy.max_connections.0.is_none(),
        "--max-connections: counts connections of HTTP/1.1, of which --protocol h2c has none; use --max-in-flight"
    );
    let of_pool = |sticky: &proxy::Sticky| match name {
        fleet::DEFAULT => sticky.clone(),
        name => sticky.of_pool(name),
    };
    Ok(proxy::PoolConfig {
        exchange: proxy::Settings {
            key: proxy::Key::new(args.key.clone()).map_err(|error| anyhow!("--key: {error}"))?,
            sticky: args.policy.sticky.as_ref().map(of_pool),
            unknown_path_is_400: args.unknown_path == UnknownPath::Assignment,
            retry: args.retry.rules(),
            priority: args.policy.queue_priority.clone(),
        },
        protocol: match args.protocol {
            Protocol::Http1 => proxy::Protocol::Http1,
            Protocol::H2c => proxy::Protocol::H2c,
        },
        connect_timeout: args.connect_timeout,
        response_timeout: args.response_timeout,
        max_connections: args.policy.max_connections.get(),
        eject_after: args.eject_after,
        drain_timeout: args.drain_timeout,
        stats_path: args.stats_path.clone(),
        health_path: args.health_path.clone(),
    })
}
