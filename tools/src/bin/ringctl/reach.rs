//! Whether requests come to the replicas of a pool.

use std::time::{Duration, Instant};

use http::StatusCode;
use ringkeeper_tools::client::{By, Client, Pool, Replica, Settings};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    doctor::{Finding, good, wrong},
    layout::{Layout, LayoutError},
    show::counted,
};

/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// The first of the keys of requests that anybody may answer.
const FIRST: u64 = 100_000;

/// A request, and whose it is.
struct Asked {
    /// Who answers it; `None` where that is decided then.
    of: Option<String>,
    /// Its key.
    id: u64,
}

/// Of the default pool whether requests are answered, one for each that is ready; of another one whether routes lead to it.
pub async fn examine(client: &Client, pool: Pool) -> Vec<Finding> {
    if !client.is_of_default() {
        return vec![routed(client, &pool.pool).await];
    }
    let asked = spawn_blocking(move || requests(&pool)).await.expect("building a ring does not panic");
    match asked {
        Ok(asked) if asked.is_empty() => {
            vec![wrong("replicas", "none is ready", "`ringctl events` says why")]
        }
        Ok(asked) => answered(client, &asked).await,
        Err(error) => vec![wrong("ring", error.to_string(), "use the ringctl that came with this balancer")],
    }
}

async fn routed(client: &Client, pool: &str) -> Finding {
    let leads_here = |route: &&Settings| route.get("pool").is_some_and(|name| name == pool);
    match client.routes().await.map(|routes| routes.iter().filter(leads_here).count()) {
        Ok(0) => {
            let fix = format!("`ringctl routes add {pool} path=/{pool}` makes one");
            wrong("routes", format!("none leads to pool '{pool}', so it gets no requests"), fix)
        }
        Ok(count) => good("routes", format!("pool '{pool}' has {}", counted(count, "route"))),
        Err(error) => wrong("routes", error.to_string(), "use the ringctl that came with this balancer"),
    }
}

/// A request for each that is ready. Where keys have no place on the ring, as many of which nobody knows whose they are.
fn requests(pool: &Pool) -> Result<Vec<Asked>, LayoutError> {
    if pool.shares_by() != By::Ring {
        let ready = pool.replicas.iter().filter(|replica| replica.is_ready());
        return Ok(ready.zip(FIRST..).map(|(_, id)| Asked { of: None, id }).collect());
    }
    let layout = Layout::of(pool)?;
    let ready = (0..layout.seats().len()).filter(|seat| Replica::is_ready(&layout.seats()[*seat]));
    let asked = ready.filter_map(|seat| {
        let id = layout.id_of(seat)?; // where no key leads to it, none can fail
        Some(Asked { of: Some(layout.seats()[seat].name.clone()), id })
    });
    Ok(asked.collect())
}

async fn answered(client: &Client, asked: &[Asked]) -> Vec<Finding> {
    let begin = Instant::now();
    let mut findings = Vec::new();
    for Asked { of, id } in asked {
        let Err(why) = ask(client, *id).await else { continue };
        findings.push(match of {
            Some(name) => {
                let fix = format!("`ringctl logs {name}` shows what it wrote");
                wrong("replica", format!("a request for {name} got {why}"), fix)
            }
            None => wrong("replicas", format!("a request got {why}"), "`ringctl events` says what happened"),
        });
    }
    if findings.is_empty() {
        let each = begin.elapsed().as_secs_f64() * 1e3 / asked.len() as f64;
        let text = format!("a request for each of {} was answered, in {each:.1} ms", asked.len());
        findings.push(good("replicas", text));
    }
    findings
}

/// Whatever a replica answers is an answer; these statuses are the balancer's own word that none did.
async fn ask(client: &Client, id: u64) -> Result<(), String> {
    let answer = timeout(ANSWER, client.get(&format!("home?request_id={id}"))).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", ANSWER.as_secs()))?;
    match answer.map_err(|error| error.to_string())?.status {
        status
        @ (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
            Err(status.to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::pool;

    #[test]
    fn each_that_is_ready_is_asked_and_by_name_where_the_ring_says_who_answers() {
        let mut pool = pool("xxh3", &["ready", "down", "ready"]);
        let names = |pool: &Pool| {
            requests(pool).expect("a ring").into_iter().map(|asked| asked.of).collect::<Vec<_>>()
        };
        assert_eq!(names(&pool), [Some("Server-1".to_owned()), Some("Server-3".to_owned())]);
        pool.policy = "round-robin".into();
        assert_eq!(names(&pool), [None, None]);
    }
}
