//! A line for each pool.

use ringkeeper_tools::{client::Pool, table};
use serde_json::json;

use super::{BAD, CHANGING, GOOD, one_line, styled, tame};
use crate::args::{Format, Options};

/// What shares out the requests of a pool that does not tell.
const USUAL: &str = "ring";

/// The pools, and below them what keeps one from healing.
pub fn pools(pools: &[Pool], options: &Options) -> String {
    match options.format() {
        Format::Json => one_line(&json!({ "pools": pools })),
        Format::Text if options.quiet => {
            pools.iter().map(|pool| pool.pool.as_str()).collect::<Vec<_>>().join("\n")
        }
        Format::Text => text(pools),
    }
}

fn text(pools: &[Pool]) -> String {
    let header = ["NAME", "POLICY", "READY", "REQUESTS", "ERRORS", "IN FLIGHT", "QUEUE"];
    let mut lines = table::lines(&header, &header[2..], pools.iter().map(row).collect());
    let problems = pools.iter().filter_map(|pool| Some((&pool.pool, pool.problem.as_ref()?)));
    lines.extend(
        problems
            .flat_map(|(pool, problem)| [String::new(), format!("{pool}: {}", styled(BAD, &tame(problem)))]),
    );
    lines.join("\n")
}

fn row(pool: &Pool) -> Vec<String> {
    let policy = if pool.policy.is_empty() { USUAL } else { &pool.policy };
    let queue = pool.queue.as_ref().map(|queue| format!("{}/{}", queue.length, queue.most));
    vec![
        pool.pool.clone(),
        policy.to_owned(),
        ready(pool),
        pool.totals.dispatched.to_string(),
        pool.totals.errors.to_string(),
        pool.totals.pending.to_string(),
        queue.unwrap_or_else(|| "-".into()),
    ]
}

/// How many of those that are wanted are ready.
fn ready(pool: &Pool) -> String {
    let desired = || pool.replicas.iter().filter(|replica| !replica.is_leaving());
    let (ready, all) = (desired().filter(|replica| replica.is_ready()).count(), desired().count());
    let style = match ready {
        _ if ready == all => GOOD,
        0 => BAD,
        _ => CHANGING,
    };
    styled(style, &format!("{ready}/{all}"))
}

#[cfg(test)]
mod tests {
    use ringkeeper_tools::client::Queue;

    use super::*;
    use crate::{layout::tests::pool, show::tests::plain};

    fn two() -> Vec<Pool> {
        let mut web = pool("xxh3", &["ready", "starting", "leaving"]);
        (web.pool, web.policy) = ("web".into(), "weighted-round-robin".into());
        web.queue = Some(Queue { length: 3, most: 100, ..Queue::default() });
        (web.totals.dispatched, web.totals.errors, web.totals.pending) = (1234, 5, 6);
        web.problem = Some("no engine".into());
        vec![pool("xxh3", &[]), web]
    }

    #[test]
    fn a_pool_has_a_line_and_what_ails_it_stands_below() {
        assert_eq!(
            plain(&pools(&two(), &Options::default())),
            "NAME     POLICY                READY  REQUESTS  ERRORS  IN FLIGHT  QUEUE\n\
             default  ring                    0/0         0       0          0      -\n\
             web      weighted-round-robin    1/2      1234       5          6  3/100\n\nweb: no engine"
        );
        assert_eq!(pools(&two(), &Options { quiet: true, ..Options::default() }), "default\nweb");
    }

    #[test]
    fn programs_get_all_that_the_balancer_says_of_each() {
        let options = Options { output: Some(Format::Json), ..Options::default() };
        let value: serde_json::Value = serde_json::from_str(&pools(&two(), &options)).expect("JSON");
        assert_eq!(value["pools"][1]["queue"]["most"], 100);
        assert_eq!(value["pools"][1]["replicas"][1]["state"], "starting");
    }
}
