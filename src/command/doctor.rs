//! `ringkeeper doctor`: what stands in the way of running, and the way out.

use std::{io::Write, net::SocketAddr, path::Path};

use anyhow::bail;
use tokio::net::TcpListener;

use crate::{
    config::Config,
    engine::{Finding, Kind, dns::Resolver, docker, fixed},
    fleet::{Store, StoreError},
};

/// Looks at everything that `serve` needs with these settings, changes nothing, and writes a line for each: good, or
/// what to do. An error if something is wrong.
pub async fn run(config: Config, out: &mut impl Write) -> anyhow::Result<()> {
    let running = matches!(Store::open(&config.state_dir), Err(StoreError::Locked(_)));
    let mut findings = vec![Finding { what: "state", found: state(&config.state_dir) }];
    for pool in config.pools() {
        match pool.engine {
            Some(Kind::Fixed) => {
                findings.extend(fixed::examine(&pool.upstreams, &Resolver::new(pool.resolver)).await);
            }
            Some(Kind::Labels) => findings.extend(docker::examine_labels(&pool.labels()).await),
            Some(Kind::Process) => {
                findings.push(Finding { what: "program", found: program(&pool.process.command[0]) })
            }
            Some(Kind::Docker) | None => findings.extend(docker::examine(&pool.docker).await),
        }
    }
    for (what, address) in [("listen", config.listen), ("admin", config.admin_listen)] {
        let found =
            if running { Ok(format!("{address}, by the balancer that runs")) } else { port(address).await };
        findings.push(Finding { what, found });
    }
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or_default();
    for Finding { what, found } in &findings {
        match found {
            Ok(good) => writeln!(out, "ok     {what:width$}  {good}")?,
            Err(bad) => writeln!(out, "WRONG  {what:width$}  {}", bad.replace('\n', " "))?,
        }
    }
    let wrong = findings.iter().filter(|finding| finding.found.is_err()).count();
    if wrong > 0 {
        bail!("{wrong} of {} are wrong", findings.len());
    }
    Ok(())
}

fn state(directory: &Path) -> Result<String, String> {
    let shown = directory.display();
    match Store::open(directory) {
        Ok(store) => match store.load() {
            Ok(Some(stored)) => Ok(format!(
                "{shown}: {} replicas of the {} engine",
                stored.desired.wants().len(),
                stored.engine
            )),
            Ok(None) => Ok(format!("{shown}: empty")),
            Err(error) => Err(error.to_string()),
        },
        Err(StoreError::Locked(_)) => Ok(format!("{shown}: a balancer is running with it")),
        Err(error) => Err(error.to_string()),
    }
}

fn program(path: &str) -> Result<String, String> {
    let found = if path.contains('/') {
        Path::new(path).exists()
    } else {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(path).exists())
    };
    if found {
        Ok(path.to_owned())
    } else {
        Err(format!("there is no '{path}': build it (`make build`), or set --command"))
    }
}

async fn port(address: SocketAddr) -> Result<String, String> {
    match TcpListener::bind(address).await {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) => Err(format!("{address}: {error}; stop what has it (`ss -ltnp`), or set another")),
    }
}
