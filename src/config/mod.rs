//! From what was typed ([`Args`]) to what it means ([`Config`]).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::available_parallelism,
};

use anyhow::{anyhow, bail, ensure};

use crate::{api, name::Deployment, proxy};

mod args;
mod client;
mod container;
mod discovery;
mod file;
mod forwarding;
mod given;
mod meaning;
mod policy;
mod pool;
mod probe;
mod refusal;
mod retry;
mod route;
mod section;
mod settings;
pub mod source;
mod spec;
mod token;
mod value;

pub use args::Args;
pub use client::ClientArgs;
pub use discovery::DiscoveryArgs;
pub use forwarding::ForwardingArgs;
pub use given::GivenArgs;
pub use meaning::{Common, Pool};
pub use policy::PolicyArgs;
pub use pool::{PoolArgs, ProbeKind, Protocol, UnknownPath};
pub use retry::{RetryArgs, Statuses};
pub use route::RouteArgs;
pub use section::{Section, Sections};
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
    /// Where the desired sets are kept.
    pub state_dir: PathBuf,
    /// Behind which prefix clients find `/rep`, `/add` and `/rm`; `None` for nowhere.
    pub control_paths: Option<Box<str>>,
    /// How requests are carried, whatever their pool.
    pub proxy: proxy::Config,
    /// Who may use the control API.
    pub access: api::Access,
    /// The default pool.
    pub default: Pool,
    /// What pools have in common.
    pub common: Common,
    /// The other pools that the file has, and its routes.
    pub sections: Sections,
}

impl Config {
    /// What these arguments mean, and what else the file has; or what is wrong with them.
    pub fn of(args: Args, sections: Sections) -> anyhow::Result<Self> {
        Config::meant(args, sections, false)
    }

    /// The same where all is only to be taken down: where upstreams are need not be known then.
    pub fn to_take_down(args: Args, sections: Sections) -> anyhow::Result<Self> {
        Config::meant(args, sections, true)
    }

    fn meant(args: Args, sections: Sections, is_ending: bool) -> anyhow::Result<Self> {
        ensure!(
            args.listen != args.admin_listen || args.listen.port() == 0,
            "--listen and --admin-listen are the same"
        );
        let common = Common {
            deployment: args.deployment.clone(),
            docker_concurrency: args.docker_concurrency as usize,
            adopt: args.adopt,
            is_ending,
        };
        let mut pool = args.pool.clone();
        if !sections.pools.is_empty() && pool.replicas.is_none() && !discovery::are_said(&pool) {
            pool.replicas = Some(0); // what is wanted stands in the tables
        }
        let (default, control_paths) = (Pool::of("default", &pool, &common)?, control_paths(&args)?);
        sections.check(&common).map_err(|problems| anyhow!(problems.join("\n       ")))?;
        Ok(Config {
            listen: args.listen,
            admin_listen: args.admin_listen,
            threads: args.threads.map_or_else(cores, |threads| threads as usize),
            state_dir: args.state_dir.clone().unwrap_or_else(|| default_state_dir(&args.deployment)),
            control_paths,
            proxy: proxy_config(&args),
            access: api::Access {
                token: args.token.token()?,
                protect_rep: args.protect_rep,
                hosts: args.allowed_hosts.clone(),
                gateway: container::gateway(),
            },
            default,
            common,
            sections,
        })
    }
}

impl Config {
    /// All pools that are configured, the default one first.
    pub fn pools(&self) -> impl Iterator<Item = Pool> {
        let others = self.sections.pools.iter().filter_map(|section| section.pool(&self.common).ok());
        std::iter::once(self.default.clone()).chain(others)
    }
}

fn control_paths(args: &Args) -> anyhow::Result<Option<Box<str>>> {
    match args.control_paths.as_str() {
        "off" => Ok(None),
        prefix if prefix.starts_with('/') => Ok(Some(prefix.trim_end_matches('/').into())),
        _ => bail!("--control-paths: a prefix that starts with '/', or 'off'"),
    }
}

fn proxy_config(args: &Args) -> proxy::Config {
    proxy::Config {
        idle_timeout: args.idle_timeout,
        header_timeout: args.clients.header_timeout,
        body_timeout: args.clients.body_timeout,
        limits: args.clients.limits(),
        trusted_proxies: args.forwarding.trusted_proxies.clone().into(),
        proxy_protocol_from: args.forwarding.proxy_protocol_from.clone().into(),
        forwarded: args.forwarding.forwarded,
        debug_headers: args.forwarding.debug_headers,
        max_concurrent_streams: args.clients.max_concurrent_streams,
    }
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
    use crate::{engine::Kind, name::Name};

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        args: Args,
    }

    fn config(line: &[&str]) -> anyhow::Result<Config> {
        let words = std::iter::once("ringkeeper").chain(line.iter().copied());
        Config::of(Settings::try_parse_from(words)?.args, Sections::default())
    }

    #[test]
    fn the_preset_is_the_assignments_and_what_is_set_beside_it_overrides_it() {
        let preset = config(&["--preset", "assignment"]).unwrap().default.fleet;
        assert_eq!(preset.ring, crate::ring::Spec::assignment());
        assert_eq!((preset.heartbeat.interval.as_secs(), preset.heartbeat.max_fail_count), (10, 5));
        assert_eq!(preset.heartbeat_concurrency, Some(10));
        let beside = config(&["--preset", "assignment", "--slots", "1024", "--heartbeat-interval", "2s"])
            .unwrap()
            .default
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
            (&["--upstream", "a:1", "--engine", "labels"], "finds its replicas by their labels"),
            (&["--engine", "labels", "--replicas", "3"], "--replicas"),
            (&["--upstream", "a:1", "--upstreams-env", "HOSTS"], "--upstreams-env"),
            (&["--upstreams-env", "RINGKEEPER_NO_SUCH_VARIABLE"], "the environment has no such variable"),
            (&["--resolver", "dns.example.org"], "--resolver"),
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
            (&["--key", "body"], "'body' is no key: accepted are request_id, random, path, segment:N"),
            (&["--key", "header:a,client/24,path"], "--key: 'path' comes after 'client/24'"),
            (&["--key", "client/24,64"], "'64' is no key"),
            (&["--sticky", "a b"], "--sticky"),
            (&["--bound", "0.9"], "--bound"),
            (&["--max-in-flight", "0"], "--max-in-flight"),
            (&["--max-connections", "many"], "--max-connections"),
            (&["--queue", "5"], "--queue: nobody waits"),
            (&["--queue", "many", "--max-in-flight", "1"], "--queue"),
            (&["--queue", "5", "--max-in-flight", "1", "--queue-timeout", "0s"], "--queue-timeout"),
            (&["--queue", "5", "--max-in-flight", "1", "--queue-priority", "a b"], "--queue-priority"),
            (&["--queue-priority", "priority", "--max-in-flight", "1"], "--queue-priority"),
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
        let names: Vec<&str> = config.default.upstreams.iter().map(Name::as_str).collect();
        assert_eq!((config.default.engine, names), (Some(Kind::Fixed), vec!["a:1", "[::1]:2", "10.0.0.5:3"]));
    }

    #[test]
    fn what_is_only_to_be_taken_down_needs_no_upstreams() {
        let unset = "upstreams_env = \"RINGKEEPER_NO_SUCH_VARIABLE\"";
        let args = || read(unset).unwrap();
        let table = file::File::parse("r.toml".into(), &format!("[pools.web]\n{unset}")).unwrap();
        let sections = Sections::of(table);
        for (args, sections) in [(args(), Sections::default()), (read("").unwrap(), sections.clone())] {
            let error = Config::of(args, sections).unwrap_err().to_string();
            assert!(error.contains("the environment has no such variable"), "{error}");
        }
        let config = Config::to_take_down(args(), sections).unwrap();
        let pools: Vec<_> = config.pools().map(|pool| (pool.engine, pool.upstreams)).collect();
        assert_eq!(pools, [(Some(Kind::Fixed), vec![]), (Some(Kind::Fixed), vec![])]);
    }

    #[test]
    fn the_file_may_have_a_list_where_a_setting_takes_several() {
        let of = |text: &str| -> Result<Vec<String>, Vec<String>> {
            Ok(read(text)?.pool.upstream.iter().map(Name::to_string).collect())
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
            let env = read(text).unwrap().pool.given.env;
            let pairs: Vec<_> = env.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect();
            assert_eq!(pairs, [("A", "1"), ("B", "x, y")], "{text}");
        }
        let problems = read("env = [\n \"A=1\",\n \"B\",\n]").unwrap_err();
        assert_eq!(problems, ["ringkeeper.toml:3: env = \"B\": a variable is NAME=VALUE"]);
    }

    #[test]
    fn keys_are_one_or_several_in_order() {
        for (text, keys) in [
            ("key = \"header:X-User,cookie:sid,client/24/64\"", "header:x-user cookie:sid client/24/64"),
            ("key = [\"json:user.id\", \"random\"]", "json:user.id random"),
            ("key = \"path\"", "path"),
            ("", "request_id"),
        ] {
            let read: Vec<String> = read(text).unwrap().pool.key.iter().map(ToString::to_string).collect();
            assert_eq!(read.join(" "), keys, "{text}");
        }
        let problems = read("key = [\n\"host\",\n\"segment:0\"]").unwrap_err();
        let why = "the segments of a path are counted from 1, as in segment:2";
        assert_eq!(
            problems,
            [format!("ringkeeper.toml:3: key = \"segment:0\": 'segment:0' is no key: {why}")]
        );
        let none = Config::of(read("key = []").unwrap(), Sections::default()).unwrap_err().to_string();
        assert_eq!(none, "--key: at least one source is needed, such as 'random'");
    }

    #[test]
    fn a_list_is_an_array_or_a_text() {
        for text in ["allowed_hosts = [\"a\", \"b\"]", "allowed_hosts = \"a,b\""] {
            assert_eq!(read(text).unwrap().allowed_hosts, ["a", "b"], "{text}");
        }
    }
}
