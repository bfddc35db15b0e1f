//! `ringtest run`: so many requests, and whether each replica got what the ring gives it.

use std::time::Duration;

use anyhow::{Context, ensure};
use rand::RngExt;
use ringkeeper_tools::{
    assertion::Assertion,
    base::Base,
    client::{By, Client, DEFAULT, Pool},
    forecast::{self, Forecast},
    ids::Ids,
    load::{self, Carry, Load, Outcome, Protocol, Rate, Reuse},
    progress::Progress,
};

use super::{demand, output::Output, picture, summary::Summary};

/// The port of a balancer's host where operators connect.
const ADMIN_PORT: u16 = 5001;

/// Send requests and compare what each replica got with what the ring gives it.
#[derive(clap::Args, Clone, Debug)]
pub struct RunArgs {
    /// Have the balancer keep so many replicas first: adds some, or removes the newest [default: those it has]
    #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    servers: Option<u16>,
    /// How many requests
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// How many connections
    #[arg(short = 'c', long, value_name = "C", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Requests per second, come what may; latency counts from when each was due [default: as fast as answers come]
    #[arg(long, value_name = "R")]
    rate: Option<Rate>,
    /// What the ids are drawn from; the same seed gives the same ids [default: a random one, which is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Send the id as the JSON body {"request_id": …} in place of ?request_id=…
    #[arg(long)]
    as_body: bool,
    /// When an answer is given up
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    timeout: Duration,
    /// Fail unless every replica got exactly what the ring gives it
    #[arg(long)]
    exact: bool,
    /// Fail unless this holds, such as 'max_over_mean<1.05' or 'p99<20ms'; may be given again
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    #[command(flatten)]
    output: Output,
    /// Where the balancer takes requests
    #[arg(long, value_name = "URL", env = "RINGCTL_URL", default_value = "http://127.0.0.1:5000")]
    url: Base,
    /// The pool whose replicas answer at --url, which ends with the path or names the port that is routed there
    #[arg(long, value_name = "POOL", env = "RINGCTL_POOL", default_value = DEFAULT)]
    pool: String,
    /// Where operators connect [default: port 5001 of the host of --url]
    #[arg(long, value_name = "URL", env = "RINGCTL_ADMIN_URL")]
    admin_url: Option<Base>,
    /// The token of the control API; requests for replicas do not carry it
    #[arg(long, value_name = "TOKEN", env = "RINGCTL_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Whether all was well: no request failed, what was asserted holds and, if that was asked for, the counts are exact.
pub async fn run(args: RunArgs) -> anyhow::Result<bool> {
    demand::known(&args.assertions, &Summary::measure_names())?;
    let admin = args.admin_url.clone().unwrap_or_else(|| args.url.with_port(ADMIN_PORT));
    let client = Client::new(args.url.clone(), admin).with_pool(&args.pool);
    let client = match args.token.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => client.with_token(token).context("the token cannot be sent")?,
        None => client,
    };
    let mut pool = client.pool().await?;
    if let Some(servers) = args.servers {
        pool = scale(&client, &pool, servers.into()).await?;
    }
    ensure!(
        pool.replicas.iter().any(|replica| replica.is_ready()),
        "no replica is ready, so there is nothing to test: `ringctl status` says why"
    );
    ensure!(
        !args.exact || pool.shares_by() == By::Ring,
        "--exact: the ring does not say who of pool '{}' gets what, for its policy is {}",
        pool.pool,
        pool.policy
    );
    let seed = args.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let load = args.load();
    let mut progress = Progress::new(load.requests);
    let observe = move |outcome: &Outcome| progress.advance(outcome.failure().is_some());
    let report = load::run(&load, Ids::new(seed), observe)
        .await
        .with_context(|| format!("cannot test {}", load.base))?;
    let changed = client.pool().await.map_or(true, |after| after.epoch != pool.epoch);
    let requests = usize::try_from(load.requests).context("more requests than can be counted")?;
    let expected = match pool.shares_by() {
        By::Ring => Forecast::of(&pool)?.counts(Ids::new(seed).take(requests)),
        By::Key | By::Load => forecast::even(&pool, load.requests),
    };
    let summary = Summary::new(&load, seed, &pool, &expected, &report, changed);
    args.output.show(
        || serde_json::to_string(&summary),
        || summary.to_string(),
        |folder| picture::keep(folder, &summary, &report),
    )?;
    let demanded = demand::hold(&args.assertions, &summary.measures(), "")?;
    Ok(summary.failed == 0 && demanded && (!args.exact || summary.exact))
}

/// Has the balancer keep so many replicas; those that go are the newest.
async fn scale(client: &Client, pool: &Pool, servers: usize) -> anyhow::Result<Pool> {
    let names: Vec<String> = pool
        .replicas
        .iter()
        .filter(|replica| !replica.is_leaving())
        .map(|replica| replica.name.clone())
        .collect();
    if servers > names.len() {
        client.add((servers - names.len()) as u64, &[]).await?;
    } else if servers < names.len() {
        let newest = &names[servers..];
        client.rm(newest.len() as u64, newest).await?;
    }
    Ok(client.pool().await?)
}

impl RunArgs {
    fn load(&self) -> Load {
        Load {
            base: self.url.clone(),
            path: "/home".into(),
            protocol: Protocol::Http1,
            requests: self.requests,
            connections: self.connections.into(),
            rate: self.rate,
            carry: if self.as_body { Carry::Body } else { Carry::Query },
            reuse: Reuse::Kept,
            timeout: self.timeout,
        }
    }
}
