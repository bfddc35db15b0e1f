//! What can be seen of a balancer from here, and what of it is wrong.

use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use http::StatusCode;
use ringkeeper_tools::client::{Answer, Client, ClientError, DEFAULT, Pool, Replica, Replicas};

use super::{
    args::Options,
    failure::{Failure, REFUSED, UNREACHABLE},
    reach,
    show::{self, counted},
};

/// Clocks that are no farther apart are right: an answer's date is in whole seconds.
const APART: Duration = Duration::from_secs(3);

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub found: Result<String, Wrong>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// How it is.
    pub what: String,
    /// How to mend it.
    pub fix: String,
}

/// Looks at everything and changes nothing. A failure if something is wrong; its output says what, and what is not.
pub async fn examine(client: &Client, options: &Options) -> Result<String, Failure> {
    let (rep, pool) = (client.clone().with_pool(DEFAULT).rep().await, client.pool().await);
    let unreachable = [rep.as_ref().err(), pool.as_ref().err()]
        .iter()
        .all(|error| matches!(error, Some(ClientError::Unreachable { .. } | ClientError::Foreign { .. })));
    let mut findings = vec![traffic(&rep, client), admin(&pool, client)];
    findings.extend(token(&rep, &pool, client));
    if let Ok(Answer { date: Some(date), .. }) = client.rep_answer().await {
        findings.push(clock(date, SystemTime::now()));
    }
    if let Ok(pool) = pool {
        findings.extend(rep.as_ref().ok().map(|rep| one_balancer(rep, &pool)));
        findings.extend([version(&pool), healing(&pool)]);
        findings.extend(pool.replicas.iter().filter_map(state));
        findings.extend(reach::examine(client, pool).await);
    }
    let wrong = findings.iter().filter(|finding| finding.found.is_err()).count();
    let output = show::findings::findings(&findings, options);
    if wrong == 0 {
        return Ok(output);
    }
    let code = if unreachable { UNREACHABLE } else { REFUSED };
    let error = anyhow!("{wrong} of {} {} wrong", findings.len(), if wrong == 1 { "is" } else { "are" });
    Err(Failure { output: Some(output), error, hint: None, code })
}

/// Something that is as it should be.
pub fn good(what: &str, found: impl Into<String>) -> Finding {
    Finding { what: what.into(), found: Ok(found.into()) }
}

/// Something that is not, and how to mend it.
pub fn wrong(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { what: what.into(), found: Err(Wrong { what: found.into(), fix: fix.into() }) }
}

fn refused_with(error: &ClientError, wanted: StatusCode) -> bool {
    matches!(error, ClientError::Refused { status, .. } if *status == wanted)
}

fn traffic(rep: &Result<Replicas, ClientError>, client: &Client) -> Finding {
    let base = client.traffic();
    match rep {
        Ok(rep) => good("traffic", format!("{base} answers, with {}", counted(rep.count, "replica"))),
        Err(ClientError::Refused { .. }) => good("traffic", format!("{base} answers")),
        Err(error) => wrong("traffic", error.to_string(), "start one with `make`, or say where it is: --url"),
    }
}

fn admin(pool: &Result<Pool, ClientError>, client: &Client) -> Finding {
    let base = client.admin();
    match pool {
        Ok(pool) => good("admin", format!("{base} answers, for pool '{}'", pool.pool)),
        Err(error) if refused_with(error, StatusCode::FORBIDDEN) => wrong(
            "admin",
            error.to_string(),
            "call from its own machine, or start it with a token and bring that along",
        ),
        Err(error) if refused_with(error, StatusCode::UNAUTHORIZED) => {
            good("admin", format!("{base} answers"))
        }
        Err(error) => wrong("admin", error.to_string(), "say where operators connect: --admin-url"),
    }
}

/// Nothing where no answer says whether it is right.
fn token(
    rep: &Result<Replicas, ClientError>,
    pool: &Result<Pool, ClientError>,
    client: &Client,
) -> Option<Finding> {
    let refusal = [rep.as_ref().err(), pool.as_ref().err()]
        .into_iter()
        .flatten()
        .find(|error| refused_with(error, StatusCode::UNAUTHORIZED));
    match (refusal, pool, client.has_token()) {
        (Some(_), _, true) => {
            Some(wrong("token", "it is not this balancer's", "give its own: --token-file, RINGCTL_TOKEN"))
        }
        (Some(_), _, false) => {
            Some(wrong("token", "this balancer wants one", "give it: --token-file, RINGCTL_TOKEN"))
        }
        (None, Ok(_), true) => Some(good("token", "accepted, or not asked for")),
        (None, Ok(_), false) => Some(good("token", "none is asked for")),
        (None, Err(_), _) => None,
    }
}

fn clock(theirs: SystemTime, ours: SystemTime) -> Finding {
    let (apart, where_to) = match theirs.duration_since(ours) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    match apart <= APART {
        true => good("clock", "the balancer's is as this machine's"),
        false => wrong(
            "clock",
            format!("the balancer's is {} s {where_to} this machine's, so ages are off", apart.as_secs()),
            "let both keep time by NTP (`timedatectl`)",
        ),
    }
}

fn one_balancer(rep: &Replicas, pool: &Pool) -> Finding {
    let wanted = pool.replicas.iter().filter(|replica| !replica.is_leaving());
    match pool.pool != DEFAULT || wanted.map(|replica| &replica.name).eq(&rep.replicas) {
        true => good("same", "both ports are of one balancer"),
        false => wrong(
            "same",
            "the two ports show different replicas",
            "--url and --admin-url have to name one balancer",
        ),
    }
}

fn version(pool: &Pool) -> Finding {
    match pool.replicas.iter().all(|replica| replica.requests.is_some()) {
        true => good("version", "the balancer tells everything that this client shows"),
        false => wrong(
            "version",
            "the balancer is older than this client: no rates, events, logs, scale or weights",
            "use the ringctl that came with it, or restart it from the newer build",
        ),
    }
}

fn healing(pool: &Pool) -> Finding {
    match &pool.problem {
        None => good("healing", "nothing keeps it from replacing what dies"),
        Some(problem) => wrong("healing", problem, "`ringkeeper doctor` on the balancer's machine says more"),
    }
}

/// What there is to say of a replica that is not ready.
fn state(replica: &Replica) -> Option<Finding> {
    let Replica { name, state, reason, .. } = replica;
    let why = reason.as_ref().map(|reason| format!(": {}", show::tame(reason))).unwrap_or_default();
    match state.as_str() {
        "ready" | "leaving" => None,
        "drained" => Some(good("replica", format!("{name} is drained: `ringctl restore {name}` ends that"))),
        "ejected" | "suspected" => {
            let fix = format!(
                "`ringctl logs {name}` shows what it wrote; `ringctl restart {name}` puts a fresh one there"
            );
            Some(wrong("replica", format!("{name} is {state}{why}"), fix))
        }
        "starting" => Some(good("replica", format!("{name} is starting{why}"))),
        _ => {
            let fix = format!("`ringctl logs {name}` shows what it wrote, `ringctl events` what happened");
            Some(wrong("replica", format!("{name} is {state}{why}"), fix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::pool;

    fn client() -> Client {
        let base: ringkeeper_tools::base::Base = "h:5000".parse().expect("a base");
        Client::new(base.clone(), base.with_port(5001))
    }

    fn refused(status: StatusCode) -> ClientError {
        ClientError::Refused { status, message: "no".into() }
    }

    #[test]
    fn a_missing_token_is_told_from_a_wrong_one() {
        let refused = || Err(refused(StatusCode::UNAUTHORIZED));
        let found = |client| token(&Err(self::refused(StatusCode::UNAUTHORIZED)), &refused(), &client);
        let text = |finding: Option<Finding>| finding.expect("a finding").found.expect_err("wrong").what;
        assert_eq!(text(found(client())), "this balancer wants one");
        assert_eq!(text(found(client().with_token("x").expect("a token"))), "it is not this balancer's");
        assert!(admin(&refused(), &client()).found.is_ok(), "it answers, if only to say so");
    }

    #[test]
    fn clocks_that_are_seconds_apart_are_noticed_both_ways() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(clock(now - Duration::from_secs(2), now).found.is_ok());
        for (theirs, word) in
            [(now + Duration::from_secs(42), "42 s ahead"), (now - Duration::from_secs(42), "42 s behind")]
        {
            let wrong = clock(theirs, now).found.expect_err("wrong");
            assert!(wrong.what.contains(word), "{}", wrong.what);
        }
    }

    #[test]
    fn two_balancers_are_told_from_one() {
        let pool = pool("xxh3", &["ready", "starting", "leaving"]);
        let rep = |names: &[&str]| {
            let replicas: Vec<_> = names.iter().map(ToString::to_string).collect();
            Replicas { count: replicas.len(), replicas }
        };
        assert!(one_balancer(&rep(&["Server-1", "Server-2"]), &pool).found.is_ok());
        assert!(one_balancer(&rep(&["S9"]), &pool).found.is_err());
    }

    #[test]
    fn who_is_down_is_wrong_and_who_starts_is_not() {
        let mut pool = pool("xxh3", &["ready", "starting", "down", "leaving"]);
        pool.replicas[2].reason = Some("exited with code 1".into());
        let found: Vec<_> = pool.replicas.iter().filter_map(state).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].found.is_ok());
        let wrong = found[1].found.as_ref().expect_err("wrong");
        assert_eq!(wrong.what, "Server-3 is down: exited with code 1");
        assert!(wrong.fix.contains("ringctl logs Server-3"));
    }
}
