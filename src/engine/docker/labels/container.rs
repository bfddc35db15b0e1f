//! What a container's labels say.

use std::{collections::BTreeSet, net::SocketAddr};

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, PortSummaryTypeEnum};

use super::{LabelsConfig, reach::Reach};
use crate::{
    engine::{
        Found, Instance, State, Trouble,
        docker::{
            container::{DEPLOYMENT, INSTANCE},
            healthcheck::checked,
        },
    },
    name::{InstanceId, Name, Number, Owner},
};

/// Whether a container joins at all.
pub(super) const ENABLE: &str = "ringkeeper.enable";
const POOL: &str = "ringkeeper.pool";
const PORT: &str = "ringkeeper.port";
const WEIGHT: &str = "ringkeeper.weight";
const HEAL: &str = "ringkeeper.heal";
const HOST: &str = "ringkeeper.host";
const PATH: &str = "ringkeeper.path";
/// By which compose tells its own.
const COMPOSE: &str = "com.docker.compose.project";
/// The pool of those that name none.
const DEFAULT_POOL: &str = "default";
/// How many digits of a container's id are enough.
const DIGITS: usize = 12;

/// One container of the pool.
pub(super) struct Labelled {
    pub(super) instance: InstanceId,
    /// As the fleet sees it, while it runs; or what is wrong with it.
    pub(super) read: Result<Instance, Trouble>,
    /// Whether it runs.
    pub(super) runs: bool,
    /// Whether it has run and has ended.
    pub(super) ended: bool,
}

/// The short id of a container.
pub(super) fn short(id: &str) -> Option<InstanceId> {
    InstanceId::parse(id.get(..DIGITS).unwrap_or(id))
}

/// What a row of the engine's list says of a container; `None` where it is not of this pool, or is a replica that a
/// balancer made.
pub(super) fn read(summary: &ContainerSummary, config: &LabelsConfig, reach: &Reach) -> Option<Labelled> {
    let label = |key: &str| summary.labels.as_ref()?.get(key).map(|value| value.trim());
    let of_pool = label(POOL).unwrap_or(DEFAULT_POOL) == &*config.pool;
    let of_deployment = label(DEPLOYMENT).is_none_or(|deployment| deployment == config.deployment.as_str());
    if !of_pool || !of_deployment || label(INSTANCE).is_some() {
        return None;
    }
    let instance = short(summary.id.as_deref()?)?;
    let name = name(summary)?;
    let trouble = |why| Trouble { source: name.clone(), why, known: false };
    let runs = summary.state == Some(ContainerSummaryStateEnum::RUNNING);
    let ended =
        matches!(summary.state, Some(ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD));
    let read = found(&name, label).and_then(|found| {
        let address = if runs { Some(address(summary, label(PORT), config, reach)?) } else { None };
        Ok(Instance {
            id: instance.clone(),
            owner: Owner::from_bits(0),
            pool: config.pool.clone(),
            name: name.clone(),
            number: Number::new(1).expect("not 0"),
            state: State::Running(address),
            holds_name: true,
            checked: checked(summary),
            found: Some(found),
        })
    });
    Some(Labelled { instance, read: read.map_err(trouble), runs, ended })
}

/// The container's name, without what compose puts before that of one that it is about to replace.
fn name(summary: &ContainerSummary) -> Option<Name> {
    let mut names = summary.names.iter().flatten().map(|name| name.trim_start_matches('/'));
    let name = names.find(|name| !name.contains('/'))?; // others are those of links
    let is_of_compose = summary.labels.as_ref().is_some_and(|labels| labels.contains_key(COMPOSE));
    let replaced = name
        .split_once('_')
        .filter(|(id, _)| is_of_compose && id.len() == DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit()));
    Name::of_found(replaced.map_or(name, |(_, name)| name)).ok()
}

fn found<'a>(name: &Name, label: impl Fn(&str) -> Option<&'a str>) -> Result<Found, String> {
    let weight =
        label(WEIGHT).map_or(Some(1), |text| text.parse().ok().filter(|weight| (1..=100).contains(weight)));
    let weight = weight.ok_or_else(|| wrong(WEIGHT, label(WEIGHT), "a whole number from 1 to 100"))?;
    let heals = match label(HEAL) {
        None | Some("false") => false,
        Some("true") => true,
        other => return Err(wrong(HEAL, other, "true or false")),
    };
    let text = |key| label(key).filter(|text| !text.is_empty()).map(Into::into);
    Ok(Found { source: name.clone(), weight, heals, host: text(HOST), path: text(PATH) })
}

fn address(
    summary: &ContainerSummary,
    port: Option<&str>,
    config: &LabelsConfig,
    reach: &Reach,
) -> Result<SocketAddr, String> {
    let port = match port {
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong(PORT, Some(text), "a number from 1 to 65535"))?,
        None => config.port.map_or_else(|| exposed(summary), Ok)?,
    };
    let networks = summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut there: Vec<_> = networks
        .into_iter()
        .flatten()
        .filter_map(|(name, endpoint)| Some((name.as_str(), endpoint.ip_address.as_ref()?.parse().ok()?)))
        .collect();
    there.sort_unstable();
    let ip =
        reach.choose(&there).ok_or("it has no address of its own: put it on a network of the balancer's")?;
    Ok(SocketAddr::new(ip, port))
}

/// The only port that the container exposes.
fn exposed(summary: &ContainerSummary) -> Result<u16, String> {
    let ports = summary.ports.iter().flatten();
    let tcp = ports.filter(|port| port.typ.is_none_or(|kind| kind == PortSummaryTypeEnum::TCP));
    let ports: BTreeSet<u16> = tcp.map(|port| port.private_port).collect();
    match ports.iter().collect::<Vec<_>>()[..] {
        [port] => Ok(*port),
        [] => Err(format!("it exposes no port: give it the label {PORT}")),
        _ => Err(format!("it exposes several ports: say which one with the label {PORT}")),
    }
}

fn wrong(label: &str, text: Option<&str>, is: &str) -> String {
    format!("its label {label}={}: {is}", text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerSummaryNetworkSettings, EndpointSettings, PortSummary};

    use super::*;

    fn summary(name: &str, labels: &[(&str, &str)], ports: &[u16]) -> ContainerSummary {
        let endpoint = EndpointSettings { ip_address: Some("172.18.0.7".into()), ..Default::default() };
        let port = |port: &u16| PortSummary {
            private_port: *port,
            typ: Some(PortSummaryTypeEnum::TCP),
            ..Default::default()
        };
        ContainerSummary {
            id: Some(format!("{:064x}", 7)),
            names: Some(vec!["/other/alias".into(), format!("/{name}")]),
            labels: Some(labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
            ports: Some(ports.iter().map(port).collect()),
            state: Some(ContainerSummaryStateEnum::RUNNING),
            network_settings: Some(ContainerSummaryNetworkSettings {
                networks: Some(HashMap::from([("net".into(), endpoint)])),
            }),
            ..Default::default()
        }
    }

    fn of(labels: &[(&str, &str)], ports: &[u16]) -> Option<Labelled> {
        let config = LabelsConfig {
            deployment: "ours".parse().unwrap(),
            pool: "default".into(),
            port: None,
            stop_timeout: std::time::Duration::ZERO,
        };
        read(&summary("shop_ml_3", labels, ports), &config, &Reach::default())
    }

    #[test]
    fn labels_say_who_joins_and_how() {
        let labels =
            [(PORT, "8080"), (WEIGHT, "5"), (HEAL, "true"), (HOST, "a.org"), (PATH, "/x"), (POOL, "default")];
        let read = of(&labels, &[]).unwrap().read.unwrap();
        assert_eq!((read.name.as_str(), read.id.as_str()), ("shop_ml_3", "000000000000"));
        assert_eq!(read.address(), Some("172.18.0.7:8080".parse().unwrap()));
        let found = read.found.unwrap();
        assert_eq!((found.weight, found.heals), (5, true));
        assert_eq!((found.host.as_deref(), found.path.as_deref()), (Some("a.org"), Some("/x")));
        let plain = of(&[], &[5000, 5000]).unwrap().read.unwrap();
        assert_eq!((plain.address().unwrap().port(), plain.found.unwrap().heals), (5000, false));
    }

    #[test]
    fn those_of_others_do_not_join() {
        assert!(of(&[(POOL, "other")], &[80]).is_none());
        assert!(of(&[(DEPLOYMENT, "theirs")], &[80]).is_none());
        assert!(of(&[(DEPLOYMENT, "ours")], &[80]).is_some());
        assert!(of(&[(INSTANCE, "0a")], &[80]).is_none(), "a replica that a balancer made");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_label() {
        for (labels, ports, says) in [
            (&[][..], &[][..], "it exposes no port: give it the label ringkeeper.port"),
            (&[], &[80, 81], "it exposes several ports: say which one with the label ringkeeper.port"),
            (&[(PORT, "http")], &[80], "its label ringkeeper.port=http: a number from 1 to 65535"),
            (&[(WEIGHT, "0")], &[80], "its label ringkeeper.weight=0: a whole number from 1 to 100"),
            (&[(HEAL, "yes")], &[80], "its label ringkeeper.heal=yes: true or false"),
        ] {
            let trouble = of(labels, ports).unwrap().read.unwrap_err();
            assert_eq!((trouble.source.as_str(), trouble.why.as_str()), ("shop_ml_3", says));
        }
    }

    #[test]
    fn one_that_compose_replaces_keeps_its_name() {
        let named = |name: &str, labels: &[(&str, &str)]| {
            super::name(&summary(name, labels, &[])).unwrap().to_string()
        };
        assert_eq!(named("0123456789ab_shop_ml_3", &[(COMPOSE, "shop")]), "shop_ml_3");
        assert_eq!(named("0123456789ab_shop_ml_3", &[]), "0123456789ab_shop_ml_3");
        assert_eq!(named("shop_ml_3", &[(COMPOSE, "shop")]), "shop_ml_3");
    }
}
