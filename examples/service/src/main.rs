//! The services of the examples: `ringkeeper-example ROLE`, where the role is `process`, `preprocess`, `analyze` or `report`
//! (a stage of the pipeline), `resize`, `filter` or `watermark` (a service of the images), or `tasks`.
//! `ringkeeper-example orchestrate HOST:PORT [IMAGES]` is the client of the images.
//!
//! Environment: `PORT` (5000; 0 takes a free one) and `BIND` (0.0.0.0). SIGTERM ends a service when it has finished what it
//! has begun.

use std::{net::SocketAddr, process::ExitCode, str::FromStr};

use anyhow::{Context, anyhow, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

mod images;
mod orchestrate;
mod stages;
mod tasks;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringkeeper-example: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["orchestrate", address] => orchestrate::run(address, 10).await,
        ["orchestrate", address, count] => {
            let count =
                count.parse::<usize>().with_context(|| format!("'{count}' is no number of images"))?;
            orchestrate::run(address, count).await
        }
        ["tasks"] => tasks::serve().await,
        [role] => match (stages::Stage::named(role), images::Step::named(role)) {
            (Some(stage), _) => stages::serve(stage).await,
            (_, Some(step)) => images::serve(step).await,
            _ => bail!("there is no role '{role}'"),
        },
        _ => {
            bail!("say which role: process, preprocess, analyze, report, resize, filter, watermark or tasks")
        }
    }
}

/// Where this service listens, and the address.
async fn listen() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let ip: std::net::IpAddr = setting("BIND", "0.0.0.0")?;
    let address = SocketAddr::new(ip, setting("PORT", "5000")?);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    eprintln!("listening on {bound}");
    Ok((listener, bound))
}

/// A variable of the environment; an empty one counts as not set.
fn setting<T: FromStr>(name: &str, default: &str) -> anyhow::Result<T> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    let value = value.as_deref().unwrap_or(default);
    value.parse().map_err(|_| anyhow!("{name}: '{value}' is not what it has to be"))
}

/// Ends when the service is told to end.
async fn told_to_end() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => _ = terminate.recv().await,
        Err(error) => eprintln!("cannot wait for signals: {error}"),
    }
}
