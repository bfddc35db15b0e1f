//! Doing it: a fault happens to the replicas of a running balancer, and the balancer is watched until it is well again.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use ringkeeper_tools::{
    client::{Client, Pool, Replica},
    docker::docker,
    subject::Subject,
    target::{Blow, Target},
};
use tokio::{task::JoinSet, time::sleep_until};

use super::fault::Fault;

/// Between two looks at the pool.
const LOOK: Duration = Duration::from_millis(10);

/// How long a replica may take to answer that it will misbehave.
const TOLD: Duration = Duration::from_secs(5);

/// One time that something was done.
#[derive(Clone, Copy, Debug)]
pub struct Struck {
    /// When that began.
    pub at: Instant,
    /// When the balancer first showed that it is over.
    pub over: Option<Instant>,
}

/// What was done, in order.
#[derive(Debug, Default)]
pub struct Strikes {
    pub struck: Vec<Struck>,
    /// What `/add` and `/rm` refused.
    pub refused: Vec<String>,
}

/// Does it, and watches each time for so long at most; `churn` is how long replicas come and go.
pub async fn strike(
    subject: &Subject,
    fault: Fault,
    patience: Duration,
    churn: Duration,
) -> anyhow::Result<Strikes> {
    let mut strikes = Strikes::default();
    match fault {
        Fault::CrashLoop => {}
        Fault::Churn => {
            strikes.struck.push(Struck { at: Instant::now(), over: None });
            strikes.refused = come_and_go(&subject.client, churn).await?;
        }
        Fault::KillEach => {
            for victim in fault.victims() {
                let struck = strike_once(subject, fault, &[*victim], patience).await?;
                strikes.struck.push(struck);
                if struck.over.is_none() {
                    break;
                }
            }
        }
        _ => strikes.struck.push(strike_once(subject, fault, fault.victims(), patience).await?),
    }
    Ok(strikes)
}

async fn strike_once(
    subject: &Subject,
    fault: Fault,
    numbers: &[u16],
    patience: Duration,
) -> anyhow::Result<Struck> {
    let replicas = subject.client.pool().await?.replicas;
    let count = replicas.len();
    let victims: Vec<Replica> =
        replicas.into_iter().filter(|replica| numbers.contains(&replica.number)).collect();
    ensure!(victims.len() == numbers.len(), "replicas {numbers:?} are not all there");
    let targets = victims.iter().map(|victim| subject.target(victim)).collect::<anyhow::Result<Vec<_>>>()?;
    let addresses: Vec<Option<String>> = victims.iter().map(|victim| victim.address.clone()).collect();
    let network = subject.deployment().to_owned();
    let at = Instant::now();
    let deed = tokio::task::spawn_blocking(move || deed(fault, &targets, &addresses, &network));
    let mut deed = std::pin::pin!(deed);
    let (mut is_done, mut over) = (false, None);
    while at.elapsed() < patience && !(is_done && over.is_some()) {
        tokio::select! {
            done = &mut deed, if !is_done => {
                done??;
                is_done = true;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        if over.is_none() && is_over(fault, &subject.client.pool().await?, &victims, count) {
            over = Some(Instant::now());
        }
    }
    ensure!(is_done, "{} took more than {patience:?}", fault.name());
    Ok(Struck { at, over })
}

/// Whether the victims are out and nobody has to follow them, or all are ready and none of them is a victim.
fn is_over(fault: Fault, pool: &Pool, victims: &[Replica], count: usize) -> bool {
    let is_victim = |replica: &&Replica| victims.iter().any(|victim| victim.instance == replica.instance);
    let mut present = pool.replicas.iter().filter(|replica| !replica.is_leaving());
    if fault.ends_with_ejection() {
        return !present.any(|replica| is_victim(&replica) && replica.is_ready());
    }
    let well = present.filter(|replica| replica.is_ready() && !is_victim(replica)).count();
    well == count && pool.replicas.iter().filter(|replica| !replica.is_leaving()).count() == count
}

/// Waits for whoever does it.
fn deed(fault: Fault, targets: &[Target], addresses: &[Option<String>], network: &str) -> anyhow::Result<()> {
    if fault.ends_with_ejection() {
        let mode = if fault == Fault::Deaf { "deaf" } else { "errors" };
        return addresses
            .iter()
            .try_for_each(|address| tell(address.as_deref().context("no address")?, mode));
    }
    let containers: Vec<&str> = targets.iter().filter_map(Target::container_id).collect();
    if containers.is_empty() {
        let blow = if fault == Fault::Pause { Blow::Freeze } else { Blow::Kill };
        return targets.iter().try_for_each(|target| target.hit(blow).map(drop));
    }
    let words: &[&str] = match fault {
        Fault::Kill | Fault::KillEach | Fault::KillTwo => &["kill"],
        Fault::Pause => &["pause"],
        Fault::StopSignal => &["kill", "-s", "STOP"],
        Fault::DockerStop => &["stop"],
        Fault::DockerRm => &["rm", "-f"],
        Fault::CutOff => &["network", "disconnect", network],
        _ => bail!("{} is nothing that Docker does", fault.name()),
    };
    docker(&[words, &containers].concat()).map(drop)
}

/// Tells the replica at this address how to behave.
fn tell(address: &str, mode: &str) -> anyhow::Result<()> {
    let address: SocketAddr = address.parse().context("a replica's address")?;
    let mut stream = TcpStream::connect_timeout(&address, TOLD)?;
    stream.set_read_timeout(Some(TOLD))?;
    let head = format!("PUT /fault?mode={mode} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "the replica at {address} does not understand: {answer}");
    Ok(())
}

/// Adds one and removes another each second, for so long; returns what was refused, when everything was answered.
async fn come_and_go(client: &Client, churn: Duration) -> anyhow::Result<Vec<String>> {
    let start = tokio::time::Instant::now();
    let mut changes = JoinSet::new();
    for half in 0..2 * u32::try_from(churn.as_secs())? {
        sleep_until(start + half * Duration::from_millis(500)).await;
        let client = client.clone();
        changes.spawn(async move {
            let (what, done) = match half % 2 {
                0 => ("/add", client.add(1, &[]).await),
                _ => ("/rm", client.rm(1, &[]).await),
            };
            done.err().map(|error| format!("{what}: {error}"))
        });
    }
    Ok(changes.join_all().await.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(instance: &str, state: &str) -> Replica {
        Replica { instance: instance.into(), state: state.into(), ..Replica::default() }
    }

    fn over(fault: Fault, replicas: &[(&str, &str)]) -> bool {
        let text = r#"{"pool":"default","epoch":1,"replicas":[],
            "ring":{"slots":512,"virtual":"9","probing":"linear","hash":"prime","slack":0.01}}"#;
        let mut pool: Pool = serde_json::from_str(text).expect("a pool");
        pool.replicas = replicas.iter().map(|(instance, state)| replica(instance, state)).collect();
        is_over(fault, &pool, &[replica("b", "ready")], 3)
    }

    #[test]
    fn it_is_over_when_another_is_ready_in_the_victims_place() {
        let with = |last| over(Fault::Kill, &[("a", "ready"), ("c", "ready"), last]);
        assert!(!with(("b", "ready")), "nobody has noticed");
        assert!(!with(("b", "down")) && !with(("d", "starting")) && !with(("b", "leaving")));
        assert!(with(("d", "ready")));
        assert!(over(Fault::Kill, &[("a", "ready"), ("c", "ready"), ("d", "ready"), ("b", "leaving")]));
    }

    #[test]
    fn one_that_misbehaves_only_has_to_be_out() {
        let with = |last| over(Fault::Errors, &[("a", "ready"), ("c", "ready"), last]);
        assert!(!with(("b", "ready")));
        assert!(with(("b", "ejected")) && with(("d", "ready")) && with(("b", "leaving")));
    }
}
