//! From what was typed ([`Args`]) to what it means ([`Config`]).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};

use crate::{
    api,
    engine::{Kind, docker, process},
    fleet,
    name::{Deployment, Name},
    policy as policies, proxy,
    ring::SpecError,
};

mod args;
mod client;
mod container;
mod file;
mod forwarding;
mod given;
mod policy;
mod probe;
mod refusal;
mod retry;
mod settings;
pub mod source;
mod spec;
mod token;
mod value;

pub use args::{Args, ProbeKind, Protocol, UnknownPath};
pub use client::ClientArgs;
pub use forwarding::ForwardingArgs;
pub use given::GivenArgs;
pub use policy::PolicyArgs;
pub use retry::{RetryArgs, Statuses};
pub use settings::{Origin, Setting, Settings};
pub use source::Invalid;
pub use spec::{Preset, SpecArgs};
pub use token::TokenArgs;

/// What every part of the balancer is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where operators connect.
    pub admin_listen: SocketAddr,
    /// Threads that carry requests.
    pub threads: usize,
    /// Where the desired set is kept.
    pub state_dir: PathBuf,
    /// The engine, where one is chosen.
    pub engine: Option<Kind>,
    /// How the Docker engine runs replicas.
    pub docker: docker::Config,
    /// How the process engine does.
    pub process: process::Config,
    /// How the default pool is kept.
    pub fleet: fleet::Config,
    /// The replicas that are started elsewhere, where some are configured.
    pub upstreams: Vec<Name>,
    /// How replicas are asked whether they live, where that is set.
    probe: Option<fleet::ProbeSpec>,
    /// Who serves a request.
    pub policy: policies::Settings,
    /// The most requests that a replica may have in flight.
    pub max_in_flight: usize,
    /// How requests are carried.
    pub proxy: proxy::Config,
    /// Who may use the control API.
    pub access: api::Access,
}

impl Config {
    /// What these arguments mean, or what is wrong with them.
    pub fn of(args: Args) -> anyhow::Result<Self> {
        let fleet = fleet_config(&args)?;
        let engine = engine(&args, &fleet)?;
        ensure!(
            args.listen != args.admin_listen || args.listen.port() == 0,
            "--listen and --admin-listen are the same"
        );
        let (probe, proxy) = (probe::asked(&args)?, proxy_config(&args)?);
        if let Some(engine) = engine {
            probe::of_engine(probe.as_ref(), engine, proxy.protocol)?;
        }
        Ok(Config {
            listen: args.listen,
            admin_listen: args.admin_listen,
            threads: args.threads.map_or_else(cores, |threads| threads as usize),
            state_dir: args.state_dir.clone().unwrap_or_else(|| default_state_dir(&args.deployment)),
            engine,
            docker: docker::Config {
                needs_healthcheck: probe == Some(fleet::ProbeSpec::Image),
                ..docker_config(&args)?
            },
            process: process_config(&args)?,
            policy: args.policy.settings(),
            max_in_flight: args.policy.most(),
            proxy,
            access: api::Access {
                token: args.token.token()?,
                protect_rep: args.protect_rep,
                hosts: args.allowed_hosts.clone(),
                gateway: container::gateway(),
            },
            fleet,
            upstreams: args.upstream,
            probe,
        })
    }

    /// How the instances of this engine are asked whether they live.
    pub fn probe(&self, engine: Kind) -> anyhow::Result<fleet::ProbeSpec> {
        probe::of_engine(self.probe.as_ref(), engine, self.proxy.protocol)
    }
}

/// The engine, where one is chosen; and whether the replicas that are configured can be its.
fn engine(args: &Args, fleet: &fleet::Config) -> anyhow::Result<Option<Kind>> {
    let (upstreams, room) = (&args.upstream, fleet.room());
    let engine = if upstreams.is_empty() { args.engine } else { args.engine.or(Some(Kind::Fixed)) };
    if let Some(engine) = engine.filter(|engine| *engine != Kind::Fixed && !upstreams.is_empty()) {
        bail!(
            "--upstream: the {engine} engine starts its replicas itself; leave out --engine (and RINGKEEPER_ENGINE), or the upstreams"
        );
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
    ensure!(fleet.replicas <= room, "--replicas {}: there may be {room} at most", fleet.replicas);
    Ok(engine)
}

fn fleet_config(args: &Args) -> anyhow::Result<fleet::Config> {
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
        pool: "default".into(),
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
        adopt: args.adopt,
    })
}

fn flag_of(error: SpecError) -> &'static str {
    match error {
        SpecError::Slots(_) => "--slots",
        SpecError::Virtual { .. } => "--virtual",
    }
}

fn docker_config(args: &Args) -> anyhow::Result<docker::Config> {
    Ok(docker::Config {
        deployment: args.deployment.clone(),
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
        concurrency: args.docker_concurrency as usize,
        needs_healthcheck: false,
    })
}

fn process_config(args: &Args) -> anyhow::Result<process::Config> {
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

fn proxy_config(args: &Args) -> anyhow::Result<proxy::Config> {
    let control_paths = match args.control_paths.as_str() {
        "off" => None,
        prefix if prefix.starts_with('/') => Some(prefix.trim_end_matches('/').into()),
        _ => bail!("--control-paths: a prefix that starts with '/', or 'off'"),
    };
    ensure!(
        args.protocol == Protocol::Http1 || args.policy.max_connections.0.is_none(),
        "--max-connections: counts connections of HTTP/1.1, of which --protocol h2c has none; use --max-in-flight"
    );
    Ok(proxy::Config {
        exchange: proxy::Settings {
            key: args.key.clone(),
            control_paths,
            unknown_path_is_400: args.unknown_path == UnknownPath::Assignment,
            retry: args.retry.rules(),
        },
        protocol: match args.protocol {
            Protocol::Http1 => proxy::Protocol::Http1,
            Protocol::H2c => proxy::Protocol::H2c,
        },
        connect_timeout: args.connect_timeout,
        response_timeout: args.response_timeout,
        max_connections: args.policy.max_connections.get(),
        idle_timeout: args.idle_timeout,
        header_timeout: args.clients.header_timeout,
        body_timeout: args.clients.body_timeout,
        limits: args.clients.limits(),
        trusted_proxies: args.forwarding.trusted_proxies.clone().into(),
        proxy_protocol_from: args.forwarding.proxy_protocol_from.clone().into(),
        forwarded: args.forwarding.forwarded,
        debug_headers: args.forwarding.debug_headers,
        max_concurrent_streams: args.clients.max_concurrent_streams,
        drain_timeout: args.drain_timeout,
        eject_after: args.eject_after,
    })
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// `$XDG_STATE_HOME` or `~/.local/state` (XDG Base Directory Specification), or `/var/lib` where there is no home.
fn default_state_dir(deployment: &Deployment) -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_else(|| Path::new("/var/lib").to_owned()).join("ringkeeper").join(deployment.as_str())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        args: Args,
    }

    fn config(line: &[&str]) -> anyhow::Result<Config> {
        let words = std::iter::once("ringkeeper").chain(line.iter().copied());
        Config::of(Settings::try_parse_from(words)?.args)
    }

    #[test]
    fn the_preset_is_the_assignments_and_what_is_set_beside_it_overrides_it() {
        let preset = config(&["--preset", "assignment"]).unwrap().fleet;
        assert_eq!(preset.ring, crate::ring::Spec::assignment());
        assert_eq!((preset.heartbeat.interval.as_secs(), preset.heartbeat.max_fail_count), (10, 5));
        assert_eq!(preset.heartbeat_concurrency, Some(10));
        let beside = config(&["--preset", "assignment", "--slots", "1024", "--heartbeat-interval", "2s"])
            .unwrap()
            .fleet;
        assert_eq!((beside.ring.slots, beside.heartbeat.interval.as_secs()), (1024, 2));
        assert_eq!(beside.heartbeat.max_fail_count, 5);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_the_name_of_its_flag() {
        for (line, named) in [
            (&["--replicas", "57", "--preset", "assignment"][..], "--replicas"),
            (&["--heartbeat-path", "heartbeat"], "--heartbeat-path"),
            (&["--heartbeat-path", "/", "--probe", "tcp"], "--heartbeat-path"),
            (&["--probe-service", "shop.Cart"], "--probe-service"),
            (&["--probe", "ping"], "--probe"),
            (&["--probe", "image", "--engine", "process"], "the process engine has no images"),
            (&["--probe", "image", "--upstream", "a:1"], "the fixed engine has no images"),
            (&["--upstream", "a:1", "--engine", "docker"], "--upstream"),
            (&["--upstream", "a:1", "--replicas", "3"], "--replicas"),
            (&["--upstream", "a:1", "--upstream", "A:1"], "--upstream A:1"),
            (&["--upstream", "http://a:1"], "without a scheme"),
            (&["--upstream", "a:1,b"], "HOST:PORT"),
            (&["--heartbeat-interval", "0s"], "--heartbeat-interval"),
            (&["--heartbeat-timeout", "soon"], "--heartbeat-timeout"),
            (&["--rise", "0"], "--rise"),
            (&["--victim", "oldest"], "--victim"),
            (&["--eject-time", "0s"], "--eject-time"),
            (&["--slots", "0"], "--slots"),
            (
                &["--policy", "fair"],
                "'fair' is not a policy; accepted are ring, bounded-ring, rendezvous, round-robin",
            ),
            (&["--bound", "0.9"], "--bound"),
            (&["--max-in-flight", "0"], "--max-in-flight"),
            (&["--max-connections", "many"], "--max-connections"),
            (&["--control-paths", "rep"], "--control-paths"),
            (&["--command", "'open"], "--command"),
            (&["--command", ""], "--command"),
            (&["--admin-listen", "127.0.0.1:5000"], "--admin-listen"),
            (&["--container-memory", "much"], "--container-memory"),
            (&["--deployment", "No!"], "--deployment"),
            (&["--env", "A"], "--env"),
            (&["--env", "SERVER_ID=1"], "--env"),
            (&["--container-command", "'open"], "--container-command"),
            (&["--container-entrypoint", ""], "--container-entrypoint"),
            (&["--container-user", ""], "--container-user"),
            (&["--volume", "here"], "--volume"),
            (&["--tmpfs", "run"], "--tmpfs"),
            (&["--gpus", "some"], "--gpus"),
            (&["--pull", "often"], "--pull"),
            (&["--registry-user", "anna"], "--registry-password-file"),
            (&["--registry-password-file", "/x"], "--registry-user"),
            (&["--port", "0"], "--port"),
        ] {
            let error = format!("{:#}", config(line).unwrap_err());
            assert!(error.contains(named), "{line:?}: {error}");
        }
    }

    #[test]
    fn upstreams_may_be_repeated_or_listed_and_make_the_engine_fixed() {
        let config = config(&["--upstream", "a:1,[0::1]:2", "--upstream", "10.0.0.5:3"]).unwrap();
        let names: Vec<&str> = config.upstreams.iter().map(Name::as_str).collect();
        assert_eq!((config.engine, names), (Some(Kind::Fixed), vec!["a:1", "[::1]:2", "10.0.0.5:3"]));
    }

    #[test]
    fn the_file_may_have_a_list_where_a_setting_takes_several() {
        let of = |text: &str| -> Result<Vec<String>, Vec<String>> {
            Ok(read(text)?.upstream.iter().map(Name::to_string).collect())
        };
        assert_eq!(of(r#"upstream = ["a:1", "b:2"]"#).unwrap(), ["a:1", "b:2"]);
        assert_eq!(of(r#"upstream = "a:1,b:2""#).unwrap(), ["a:1", "b:2"]);
        assert!(of("upstream = []").unwrap().is_empty());
        for wrong in ["upstream = [1]", r#"image = ["a", "b"]"#, "[upstream]"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_commented_file_has_every_setting_and_is_one_that_can_be_read() {
        let text = include_str!("../../ringkeeper.toml");
        let is_setting =
            |line: &&str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
        let settings: String =
            text.lines().filter(is_setting).map(|line| format!("{}\n", &line[1..])).collect();
        let file = file::File::parse("ringkeeper.toml".into(), &settings).unwrap();
        let command = Settings::command();
        let mut keys: Vec<String> = command.get_arguments().filter_map(source::key).collect();
        keys.retain(|key| key != "config");
        let mut listed: Vec<&String> = file.entries.iter().map(|entry| &entry.key).collect();
        keys.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, keys.iter().collect::<Vec<_>>());
        read(&settings).unwrap();
    }

    /// What a file of this text comes to.
    fn read(text: &str) -> Result<Args, Vec<String>> {
        let command = Settings::command();
        let nothing_typed = command.clone().get_matches_from(["ringkeeper"]);
        let file = file::File::parse("ringkeeper.toml".into(), text)?;
        source::unknown(&command, &file)?;
        let said = source::said(&command, &nothing_typed, Some(&file))?;
        let matches = source::layered(command.clone(), &said).get_matches_from(["ringkeeper"]);
        Ok(Settings::from_arg_matches(&matches).unwrap().args)
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_by_line_and_text_and_all_at_once() {
        for (text, problems) in [
            (
                "replicas = 3\nheartbeat_intervall = \"2s\"",
                &[
                    "ringkeeper.toml:2: there is no setting 'heartbeat_intervall'; did you mean 'heartbeat_interval'?",
                ][..],
            ),
            (
                "rise = 0\n\nreplicas = \"many\"",
                &[
                    "ringkeeper.toml:3: replicas = \"many\": invalid digit found in string",
                    "ringkeeper.toml:1: rise = 0: a whole number from 1",
                ],
            ),
            (
                "unknown_path = \"fail\"",
                &["ringkeeper.toml:1: unknown_path = \"fail\": not pass or assignment"],
            ),
            (
                "trusted_proxies = [\n\"10.0.0.0/8\", \"10.0.0.0/99\"]",
                &[
                    "ringkeeper.toml:2: trusted_proxies = \"10.0.0.0/99\": a network or an address is written like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, not '10.0.0.0/99'",
                ],
            ),
            ("forwarded = \"x\"", &["ringkeeper.toml:1: forwarded = \"x\": x-forwarded, rfc7239 or both"]),
            ("adopt = \"perhaps\"", &["ringkeeper.toml:1: adopt = \"perhaps\": true or false"]),
            ("replicas = [3]", &["ringkeeper.toml:1: 'replicas' is one value, not a list"]),
            ("[replicas]\nn = 3", &["ringkeeper.toml:1: 'replicas' is no table"]),
        ] {
            assert_eq!(read(text).unwrap_err(), problems, "{text}");
        }
    }

    #[test]
    fn an_environment_is_an_array_a_table_or_words_as_a_shell_has_them() {
        for text in [
            "env = [\"A=1\", \"B=x, y\"]",
            "env = { A = 1, B = \"x, y\" }",
            "[env]\nA = \"1\"\nB = \"x, y\"",
            "env = \"A=1 'B=x, y'\"",
        ] {
            let env = read(text).unwrap().given.env;
            let pairs: Vec<_> = env.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect();
            assert_eq!(pairs, [("A", "1"), ("B", "x, y")], "{text}");
        }
        let problems = read("env = [\n \"A=1\",\n \"B\",\n]").unwrap_err();
        assert_eq!(problems, ["ringkeeper.toml:3: env = \"B\": a variable is NAME=VALUE"]);
    }

    #[test]
    fn a_list_is_an_array_or_a_text() {
        for text in ["allowed_hosts = [\"a\", \"b\"]", "allowed_hosts = \"a,b\""] {
            assert_eq!(read(text).unwrap().allowed_hosts, ["a", "b"], "{text}");
        }
    }
}
