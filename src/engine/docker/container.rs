//! A replica's container: what is asked for, and what is read back.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use bollard::models::{
    ContainerCreateBody, ContainerState, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings,
    HostConfig, NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};

use super::{Config, Volume, healthcheck, images::DEFAULT_PORT};
use crate::{
    engine::{Instance, Launch, State},
    name::{Deployment, InstanceId, Number, Owner},
};

pub(super) const DEPLOYMENT: &str = "ringkeeper.deployment";
pub(super) const INSTANCE: &str = "ringkeeper.instance";
pub(super) const OWNER: &str = "ringkeeper.owner";
const POOL: &str = "ringkeeper.pool";
const NAME: &str = "ringkeeper.name";
const NUMBER: &str = "ringkeeper.number";
/// The port that it listens on, where the settings name none.
const PORT: &str = "ringkeeper.port";

/// What a replica's container may do and use: the least that does, each of it to be opted out of.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Every capability dropped.
    pub drop_capabilities: bool,
    /// No privilege is gained by executing a setuid program.
    pub no_new_privileges: bool,
    /// The root file system is read-only; `/tmp` is a tmpfs.
    pub read_only: bool,
    /// Processes and threads; `None` for no limit.
    pub pids: Option<i64>,
    /// Bytes of memory; `None` for no limit.
    pub memory: Option<i64>,
    /// Processors' worth of time; `None` for no limit.
    pub cpus: Option<f64>,
}

/// The container that a launch asks for, which is to listen on this port.
pub(super) fn body(launch: &Launch, config: &Config, port: u16) -> ContainerCreateBody {
    let endpoint = EndpointSettings { aliases: Some(vec![launch.goes_by()]), ..Default::default() };
    let network = config.deployment.to_string();
    let given = &config.given;
    let variables = given.env.iter().map(|variable| format!("{}={}", variable.name, variable.value));
    ContainerCreateBody {
        image: Some(config.image.clone()),
        hostname: Some(launch.name.to_string()),
        env: Some(variables.chain([format!("SERVER_ID={}", launch.number)]).collect()),
        cmd: given.command.clone(),
        entrypoint: given.entrypoint.clone(),
        user: given.user.clone(),
        labels: Some(labels(launch, config, port)),
        host_config: Some(host_config(config)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network, endpoint)])),
        }),
        ..Default::default()
    }
}

fn labels(launch: &Launch, config: &Config, port: u16) -> HashMap<String, String> {
    [
        (DEPLOYMENT, config.deployment.to_string()),
        (OWNER, launch.owner.to_string()),
        (POOL, launch.pool.to_string()),
        (NAME, launch.name.to_string()),
        (NUMBER, launch.number.to_string()),
        (INSTANCE, launch.instance.to_string()),
        (PORT, port.to_string()),
    ]
    .into_iter()
    .map(|(label, value)| (label.to_owned(), value))
    .collect()
}

fn host_config(config: &Config) -> HostConfig {
    let (limits, given) = (&config.limits, &config.given);
    let binds: Vec<String> = given.volumes.iter().map(Volume::bind).collect();
    HostConfig {
        binds: (!binds.is_empty()).then_some(binds),
        device_requests: given.gpus.map(|gpus| vec![gpus.request()]),
        network_mode: Some(config.deployment.to_string()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        cap_drop: limits.drop_capabilities.then(|| vec!["ALL".to_owned()]),
        security_opt: limits.no_new_privileges.then(|| vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(limits.read_only),
        tmpfs: Some(tmpfs(config)),
        pids_limit: limits.pids,
        memory: limits.memory,
        nano_cpus: limits.cpus.map(|cpus| (cpus * 1e9) as i64),
        ..Default::default()
    }
}

fn tmpfs(config: &Config) -> HashMap<String, String> {
    let tmp = ("/tmp".to_owned(), "rw,nosuid,nodev,noexec,size=64m".to_owned());
    let own = config.limits.read_only.then_some(tmp);
    let given = config.given.tmpfs.iter().map(|tmpfs| (tmpfs.path.clone(), tmpfs.options.clone()));
    own.into_iter().chain(given).collect()
}

/// The instance that a row of the engine's list shows; `None` where its labels are not those of one.
pub(super) fn observe(summary: &ContainerSummary, config: &Config) -> Option<Instance> {
    let label = |key: &str| summary.labels.as_ref()?.get(key).map(String::as_str);
    let mut instance = Instance {
        id: InstanceId::parse(label(INSTANCE)?)?,
        owner: Owner::parse(label(OWNER)?)?,
        pool: label(POOL)?.into(),
        name: label(NAME)?.parse().ok()?,
        number: Number::new(label(NUMBER)?.parse().ok()?)?,
        state: state(summary, config),
        holds_name: false,
        checked: healthcheck::checked(summary),
        found: None,
    };
    let name = instance.goes_by();
    instance.holds_name = summary.names.iter().flatten().any(|n| n.trim_start_matches('/') == name);
    Some(instance)
}

fn state(summary: &ContainerSummary, config: &Config) -> State {
    match summary.state {
        Some(ContainerSummaryStateEnum::CREATED) => State::Created,
        Some(
            ContainerSummaryStateEnum::RUNNING
            | ContainerSummaryStateEnum::PAUSED
            | ContainerSummaryStateEnum::RESTARTING
            | ContainerSummaryStateEnum::STOPPING,
        ) => State::Running(address(summary, config)),
        _ => State::Exited { code: None, out_of_memory: false },
    }
}

fn address(summary: &ContainerSummary, config: &Config) -> Option<SocketAddr> {
    let networks = summary.network_settings.as_ref()?.networks.as_ref()?;
    let ip: IpAddr = networks.get(config.deployment.as_str())?.ip_address.as_ref()?.parse().ok()?;
    let labelled = || summary.labels.as_ref()?.get(PORT)?.parse().ok();
    Some(SocketAddr::new(ip, config.port.or_else(labelled).unwrap_or(DEFAULT_PORT)))
}

/// How a container ended, from its inspection.
pub(super) fn exit(state: &ContainerState) -> State {
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
    State::Exited { code, out_of_memory: state.oom_killed.unwrap_or(false) }
}

pub(super) fn has_ended(summary: &ContainerSummary) -> bool {
    matches!(
        summary.state,
        Some(
            ContainerSummaryStateEnum::EXITED
                | ContainerSummaryStateEnum::DEAD
                | ContainerSummaryStateEnum::REMOVING
        )
    )
}

pub(super) fn is_of(summary: &ContainerSummary, deployment: &Deployment) -> bool {
    let label = summary.labels.as_ref().and_then(|labels| labels.get(DEPLOYMENT));
    label.is_some_and(|label| label == deployment.as_str())
}

/// Whether an engine's message says that the container's network is not there.
pub(super) fn is_missing_network(message: &str) -> bool {
    message.contains("network") && message.contains("not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_network_is_told_from_other_missing_things() {
        assert!(is_missing_network("network ringkeeper not found"));
        assert!(!is_missing_network("No such container: abc"));
    }
}
