//! How replicas are asked whether they live, from the settings that say so.

use anyhow::{bail, ensure};

use super::pool::{PoolArgs, ProbeKind};
use crate::{engine::Kind, fleet::ProbeSpec, proxy::Protocol};

/// What these settings mean; `None` where none of them is set. One that the kind has no use for is refused: it would be
/// thought to do something.
pub(super) fn asked(args: &PoolArgs) -> anyhow::Result<Option<ProbeSpec>> {
    if args.probe.is_none() && args.heartbeat_path.is_none() && args.probe_service.is_none() {
        return Ok(None);
    }
    let kind = args.probe.unwrap_or(ProbeKind::Http);
    ensure!(
        args.heartbeat_path.is_none() || kind == ProbeKind::Http,
        "--heartbeat-path: only --probe http asks for a path"
    );
    ensure!(
        args.probe_service.is_none() || kind == ProbeKind::Grpc,
        "--probe-service: only --probe grpc asks about a service"
    );
    Ok(Some(match kind {
        ProbeKind::Http => match args.heartbeat_path.clone() {
            Some(path) if !path.starts_with('/') => bail!("--heartbeat-path: a path starts with '/'"),
            Some(path) => http(path),
            None => by_path(),
        },
        ProbeKind::Tcp => ProbeSpec::Tcp,
        ProbeKind::Grpc => ProbeSpec::Grpc { service: args.probe_service.clone().unwrap_or_default() },
        ProbeKind::Image => ProbeSpec::Image,
    }))
}

/// How the instances of this engine are asked: as set, where that can be.
pub(super) fn of_engine(
    asked: Option<&ProbeSpec>,
    engine: Kind,
    protocol: Protocol,
) -> anyhow::Result<ProbeSpec> {
    match asked {
        None if engine.owns_instances() => Ok(spoken(by_path(), protocol)),
        None => Ok(ProbeSpec::Tcp), // what somebody else runs need not know of us
        Some(ProbeSpec::Image) if !engine.has_images() => bail!(
            "--probe image: the {engine} engine has no images, and so no HEALTHCHECK; its replicas can be asked by http, tcp or grpc"
        ),
        Some(spec) => Ok(spoken(spec.clone(), protocol)),
    }
}

fn by_path() -> ProbeSpec {
    http("/heartbeat".into())
}

fn http(path: String) -> ProbeSpec {
    ProbeSpec::Http { path, http2: false }
}

/// The same, asked in what the replicas speak.
fn spoken(spec: ProbeSpec, protocol: Protocol) -> ProbeSpec {
    match spec {
        ProbeSpec::Http { path, .. } => ProbeSpec::Http { path, http2: protocol == Protocol::H2c },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP1: Protocol = Protocol::Http1;

    #[test]
    fn upstreams_are_asked_for_a_connection_unless_something_is_set() {
        assert_eq!(of_engine(None, Kind::Fixed, HTTP1).unwrap(), ProbeSpec::Tcp);
        assert_eq!(of_engine(None, Kind::Process, HTTP1).unwrap(), by_path());
        assert_eq!(of_engine(Some(&by_path()), Kind::Fixed, HTTP1).unwrap(), by_path());
        assert!(of_engine(Some(&ProbeSpec::Image), Kind::Fixed, HTTP1).is_err());
        assert_eq!(of_engine(Some(&ProbeSpec::Image), Kind::Docker, HTTP1).unwrap(), ProbeSpec::Image);
    }

    #[test]
    fn a_path_is_asked_for_in_what_the_replicas_speak() {
        let asked = of_engine(None, Kind::Process, Protocol::H2c).unwrap();
        assert_eq!(asked, ProbeSpec::Http { path: "/heartbeat".into(), http2: true });
        assert_eq!(of_engine(Some(&ProbeSpec::Tcp), Kind::Fixed, Protocol::H2c).unwrap(), ProbeSpec::Tcp);
    }
}
