//! Changes of the set, and when they count as done.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use anyhow::anyhow;
use ringkeeper_tools::client::{Client, ClientError, Replicas};
use tokio::time::{Instant, sleep};

use super::{
    args::Options,
    command::{Many, Pace},
    failure::{Failure, REFUSED},
    show, spinner,
};

/// How long between two looks at how far a change has come.
const LOOK: Duration = Duration::from_millis(100);

/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Adds replicas.
pub async fn add(client: &Client, what: &[String], pace: Pace, options: &Options) -> Result<String, Failure> {
    let many = many(what, "add")?;
    let failed = |error| Failure::of(error, client);
    let before = client.rep().await.map_err(failed)?.replicas;
    let begun = |now: &[String]| {
        let new = now.iter().filter(|name| !before.contains(name)).count() as u64;
        new >= many.n && many.names.iter().all(|name| now.contains(name))
    };
    let adding = client.add(many.n, &many.names);
    let doing = format!("waiting until {} more answer heartbeats", many.n);
    let after = paced(client, pace, &doing, adding, begun).await.map_err(failed)?;
    Ok(show::change(&before, &after, options))
}

/// Removes replicas.
pub async fn remove(
    client: &Client,
    what: &[String],
    pace: Pace,
    options: &Options,
) -> Result<String, Failure> {
    let many = many(what, "rm")?;
    let failed = |error| Failure::of(error, client);
    let before = client.rep().await.map_err(failed)?.replicas;
    let begun = |now: &[String]| {
        let gone = before.iter().filter(|name| !now.contains(name)).count() as u64;
        gone >= many.n && !many.names.iter().any(|name| now.contains(name))
    };
    let removing = client.rm(many.n, &many.names);
    let after = paced(client, pace, "taking them out", removing, begun).await.map_err(failed)?;
    if pace.wait {
        gone(client).await?;
    }
    Ok(show::change(&before, &after, options))
}

/// Adds or removes as many as it takes.
pub async fn scale(client: &Client, n: u64, pace: Pace, options: &Options) -> Result<String, Failure> {
    let failed = |error| Failure::of(error, client);
    let before = client.pool().await.map_err(failed)?.desired().replicas;
    let begun = |now: &[String]| now.len() as u64 == n && now != before;
    let scaling = async { client.scale(n).await.map(|pool| pool.desired()) };
    let doing = format!("waiting until all {n} answer heartbeats");
    let after = paced(client, pace, &doing, scaling, begun).await.map_err(failed)?;
    if pace.wait {
        gone(client).await?;
    }
    Ok(show::change(&before, &after, options))
}

/// A change of one replica, of the pools or of the routes, with what is waited for.
pub async fn tell<T>(
    client: &Client,
    doing: &str,
    change: impl Future<Output = Result<T, ClientError>>,
    options: &Options,
) -> Result<T, Failure> {
    let done = match options.quiet {
        true => change.await,
        false => spinner::during(doing, change).await,
    };
    done.map_err(|error| Failure::of(error, client))
}

fn many(what: &[String], word: &str) -> Result<Many, Failure> {
    Many::of(what).map_err(|error| {
        Failure::usage(error, format!("such as `ringctl {word} 2` or `ringctl {word} s4 s5`"))
    })
}

/// The change's answer, or with `detach` the replicas as soon as `begun` says of them that it is under way: from then on
/// the balancer needs nobody who waits for it.
async fn paced(
    client: &Client,
    pace: Pace,
    doing: &str,
    change: impl Future<Output = Result<Replicas, ClientError>>,
    begun: impl Fn(&[String]) -> bool,
) -> Result<Replicas, ClientError> {
    if !pace.detach {
        return spinner::during(doing, change).await;
    }
    let mut change = pin!(change);
    loop {
        tokio::select! {
            answer = &mut change => return answer,
            () = sleep(LOOK) => {}
        }
        // The change's own answer says what is wrong, if something is.
        if let Ok(now) = client.rep().await
            && begun(&now.replicas)
        {
            return Ok(now);
        }
    }
}

/// Waits until the instances that leave at this moment are gone.
async fn gone(client: &Client) -> Result<(), Failure> {
    let pool = client.pool().await.map_err(|error| Failure::of(error, client))?;
    let leaving: BTreeSet<String> =
        pool.replicas.into_iter().filter(|row| row.is_leaving()).map(|row| row.instance).collect();
    let work = async {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pool = client.pool().await.map_err(|error| Failure::of(error, client))?;
            if !pool.replicas.iter().any(|row| leaving.contains(&row.instance)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let error = anyhow!("not gone after {}", humantime::format_duration(PATIENCE));
                return Err(Failure::new(REFUSED, error, "`ringctl status` says what they still have"));
            }
            sleep(LOOK).await;
        }
    };
    spinner::during("waiting until they have finished what they had", work).await
}
