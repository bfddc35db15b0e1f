//! How replicas are asked whether they live, from the settings that say so.

use anyhow::{bail, ensure};

use super::args::{Args, ProbeKind};
use crate::{engine::Kind, fleet::ProbeSpec};

/// What these settings mean; `None` where none of them is set. One that the kind has no use for is refused: it would be
/// thought to do something.
pub(super) fn asked(args: &Args) -> anyhow::Result<Option<ProbeSpec>> {
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
            Some(path) => ProbeSpec::Http { path },
            None => by_path(),
        },
        ProbeKind::Tcp => ProbeSpec::Tcp,
        ProbeKind::Grpc => ProbeSpec::Grpc { service: args.probe_service.clone().unwrap_or_default() },
        ProbeKind::Image => ProbeSpec::Image,
    }))
}

/// How the instances of this engine are asked: as set, where that can be.
pub(super) fn of_engine(asked: Option<&ProbeSpec>, engine: Kind) -> anyhow::Result<ProbeSpec> {
    match asked {
        None if engine.owns_instances() => Ok(by_path()),
        None => Ok(ProbeSpec::Tcp), // what somebody else runs need not know of us
        Some(ProbeSpec::Image) if !engine.has_images() => bail!(
            "--probe image: the {engine} engine has no images, and so no HEALTHCHECK; its replicas can be asked by http, tcp or grpc"
        ),
        Some(spec) => Ok(spec.clone()),
    }
}

fn by_path() -> ProbeSpec {
    ProbeSpec::Http { path: "/heartbeat".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_asked_for_a_connection_unless_something_is_set() {
        assert_eq!(of_engine(None, Kind::Fixed).unwrap(), ProbeSpec::Tcp);
        assert_eq!(of_engine(None, Kind::Process).unwrap(), by_path());
        assert_eq!(of_engine(Some(&by_path()), Kind::Fixed).unwrap(), by_path());
        assert!(of_engine(Some(&ProbeSpec::Image), Kind::Fixed).is_err());
        assert_eq!(of_engine(Some(&ProbeSpec::Image), Kind::Docker).unwrap(), ProbeSpec::Image);
    }
}
