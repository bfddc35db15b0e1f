//! How replicas are asked whether they live, from the settings that say so.

use anyhow::{bail, ensure};

use super::args::{Args, ProbeKind};
use crate::{engine::Kind, fleet::ProbeSpec};

/// What these settings mean. One that the kind has no use for is refused: it would be thought to do something.
pub(super) fn probe_spec(args: &Args) -> anyhow::Result<ProbeSpec> {
    let kind = args.probe.unwrap_or(ProbeKind::Http);
    ensure!(
        args.heartbeat_path.is_none() || kind == ProbeKind::Http,
        "--heartbeat-path: only --probe http asks for a path"
    );
    ensure!(
        args.probe_service.is_none() || kind == ProbeKind::Grpc,
        "--probe-service: only --probe grpc asks about a service"
    );
    let spec = match kind {
        ProbeKind::Http => {
            ProbeSpec::Http { path: args.heartbeat_path.clone().unwrap_or_else(|| "/heartbeat".into()) }
        }
        ProbeKind::Tcp => ProbeSpec::Tcp,
        ProbeKind::Grpc => ProbeSpec::Grpc { service: args.probe_service.clone().unwrap_or_default() },
        ProbeKind::Image => ProbeSpec::Image,
    };
    match &spec {
        ProbeSpec::Http { path } if !path.starts_with('/') => {
            bail!("--heartbeat-path: a path starts with '/'")
        }
        _ => {}
    }
    if let Some(engine) = args.engine {
        check_engine(&spec, engine)?;
    }
    Ok(spec)
}

/// Whether this engine's instances can be asked so.
pub(super) fn check_engine(spec: &ProbeSpec, engine: Kind) -> anyhow::Result<()> {
    ensure!(
        *spec != ProbeSpec::Image || engine.has_images(),
        "--probe image: the {engine} engine has no images, and so no HEALTHCHECK; its replicas can be asked by http, tcp or grpc"
    );
    Ok(())
}
