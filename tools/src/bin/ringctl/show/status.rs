//! A line for each replica.

use std::time::SystemTime;

use console::truncate_str;
use ringkeeper_tools::{
    client::{By, DEFAULT, Exit, Pool, Queue, Replica, RingSpec, Totals},
    table,
};
use serde::Serialize;

use super::{FAINT, age, of_state, one_line, percent, styled, tame, traffic};
use crate::{
    args::{Format, Options},
    standing::{Derived, Standing},
};

/// Lines of a log that are shown below a replica that is down.
const LAST_WORDS: usize = 3;

/// The shortest that a name is cut to.
const SHORTEST_NAME: usize = 10;

/// The pool: its ring, a line for each replica, then what is wrong. It keeps to `width` where one is given.
pub fn status(standing: &Standing, now: SystemTime, width: Option<usize>, options: &Options) -> String {
    match options.format() {
        Format::Json => return json(standing),
        Format::Text if options.quiet => return names(standing),
        Format::Text => {}
    }
    let mut lines = vec![summary(standing)];
    lines.extend(traffic::totals(&standing.pool));
    lines.extend(standing.pool.queue.as_ref().map(traffic::queue));
    lines.push(String::new());
    lines.extend(fitting(standing, now, width));
    lines.extend(standing.pool.replicas.iter().flat_map(wrong));
    lines.extend(
        standing.pool.problem.iter().flat_map(|problem| [String::new(), styled(super::BAD, problem)]),
    );
    lines.join("\n")
}

/// As the balancer shows it, with what follows from it in each row.
#[derive(Serialize)]
struct Shown<'a> {
    pool: &'a str,
    epoch: u64,
    ring: &'a RingSpec,
    #[serde(skip_serializing_if = "str::is_empty")]
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a Queue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
    replicas: Vec<Row<'a>>,
    totals: &'a Totals,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    replica: &'a Replica,
    #[serde(flatten)]
    derived: &'a Derived,
}

fn json(standing: &Standing) -> String {
    let Pool { pool, epoch, ring, policy, queue, problem, totals, .. } = &standing.pool;
    let replicas = standing.rows().map(|(replica, derived)| Row { replica, derived }).collect();
    let (queue, problem) = (queue.as_ref(), problem.as_deref());
    one_line(&Shown { pool, epoch: *epoch, ring, policy, queue, problem, replicas, totals })
}

fn names(standing: &Standing) -> String {
    standing.pool.replicas.iter().map(|replica| replica.name.as_str()).collect::<Vec<_>>().join("\n")
}

fn summary(standing: &Standing) -> String {
    let desired = standing.pool.replicas.iter().filter(|replica| !replica.is_leaving());
    let (ready, all) =
        (desired.clone().filter(|replica| replica.is_ready()).count(), desired.clone().count());
    let pool = &standing.pool.pool;
    let of = if pool == DEFAULT { String::new() } else { format!("{pool}: ") };
    let mut parts = vec![format!("{of}{ready} of {all} ready")];
    let drained = desired.filter(|replica| replica.drained == Some(true)).count();
    parts.extend((drained > 0).then(|| format!("{drained} drained")));
    let rates: Vec<f64> = standing.derived.iter().filter_map(|derived| derived.requests_per_second).collect();
    if !rates.is_empty() {
        parts.push(format!("{:.0} requests/s", rates.iter().sum::<f64>()));
    }
    let flights: Vec<u64> = standing.pool.replicas.iter().filter_map(|replica| replica.in_flight).collect();
    if !flights.is_empty() {
        parts.push(format!("{} in flight", flights.iter().sum::<u64>()));
    }
    if standing.pool.shares_by() != By::Ring {
        return parts.join(", ");
    }
    let ring = &standing.pool.ring;
    let ring = format!("{} slots, virtual {}, hash {}", ring.slots, ring.placement, ring.hash);
    format!("{}  {}", parts.join(", "), styled(FAINT, &ring))
}

/// The columns that go where there is no room, the first one first.
const DISPENSABLE: [&str; 3] = ["ADDRESS", "P50", "P99"];

/// The columns with numbers.
const NUMBERS: [&str; 8] = ["NUMBER", "SHARE", "WEIGHT", "IN FLIGHT", "REQ/S", "P50", "P99", "RESTARTS"];

/// The table, with what fits: columns that matter less go first, then the ends of long names.
fn fitting(standing: &Standing, now: SystemTime, width: Option<usize>) -> Vec<String> {
    let whole = table(standing, now, &[], usize::MAX);
    let Some(width) = width else { return whole };
    let over = |lines: &[String]| {
        let broadest = lines.iter().map(|line| console::measure_text_width(line)).max();
        broadest.unwrap_or(0).saturating_sub(width)
    };
    let mut lines = whole;
    for without in (1..=DISPENSABLE.len()).map(|count| &DISPENSABLE[..count]) {
        if over(&lines) == 0 {
            return lines;
        }
        lines = table(standing, now, without, usize::MAX);
    }
    let longest = standing.pool.replicas.iter().map(|replica| replica.name.len()).max().unwrap_or(0);
    match over(&lines) {
        0 => lines,
        over => table(standing, now, &DISPENSABLE, longest.saturating_sub(over).max(SHORTEST_NAME)),
    }
}

fn table(standing: &Standing, now: SystemTime, without: &[&str], name: usize) -> Vec<String> {
    let mut header = vec![
        "NAME",
        "NUMBER",
        "STATE",
        "SHARE",
        "WEIGHT",
        "IN FLIGHT",
        "REQ/S",
        "P50",
        "P99",
        "RESTARTS",
        "AGE",
        "ADDRESS",
    ];
    let keep = |title: &str| has(&standing.pool, title) && !without.contains(&title);
    let kept: Vec<bool> = header.iter().map(|title| keep(title)).collect();
    let cells = |row: Vec<String>| {
        row.into_iter().zip(&kept).filter(|(_, keep)| **keep).map(|(cell, _)| cell).collect()
    };
    let rows = standing.rows().map(|(replica, derived)| cells(row(replica, derived, now, name))).collect();
    header.retain(|title| keep(title));
    table::lines(&header, &NUMBERS, rows)
}

/// Whether a pool has something to say in this column.
fn has(pool: &Pool, title: &str) -> bool {
    match title {
        "SHARE" => pool.shares_by() == By::Ring,
        "WEIGHT" => pool.replicas.iter().any(|replica| replica.weight.is_some_and(|weight| weight != 1)),
        "P50" | "P99" => pool.replicas.iter().any(|replica| replica.latency.is_some()),
        _ => true,
    }
}

fn row(replica: &Replica, derived: &Derived, now: SystemTime, name: usize) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        truncate_str(&replica.name, name, "…").into_owned(),
        replica.number.to_string(),
        styled(of_state(&replica.state), &replica.state),
        or_dash(derived.share.map(percent)),
        replica.weight.unwrap_or(1).to_string(),
        or_dash(replica.in_flight.map(|count| count.to_string())),
        or_dash(derived.requests_per_second.map(|rate| format!("{rate:.0}"))),
        or_dash(replica.latency.map(|latency| traffic::time(latency.p50_ms))),
        or_dash(replica.latency.map(|latency| traffic::time(latency.p99_ms))),
        replica.restarts.to_string(),
        age(&replica.since, now),
        or_dash(replica.address.clone()),
    ]
}

/// Why a replica is not as it should be, and the last that was heard of it.
fn wrong(replica: &Replica) -> Vec<String> {
    let well = replica.serves() || replica.is_leaving() || replica.state == "drained";
    let exit = replica.last_exit.as_ref().filter(|_| !well);
    let why = replica.reason.as_ref().or(exit.map(|exit| &exit.reason));
    let Some(why) = why.filter(|_| !replica.is_ready()) else { return Vec::new() };
    let said = format!("{} is {}: {}", replica.name, replica.state, tame(why));
    let words = exit.map(last_words).unwrap_or_default();
    [String::new(), said].into_iter().chain(words).collect()
}

fn last_words(exit: &Exit) -> Vec<String> {
    let skipped = exit.log.len().saturating_sub(LAST_WORDS);
    exit.log.iter().skip(skipped).map(|line| styled(FAINT, &format!("  {}", tame(line)))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ringkeeper_tools::client::Latency;
    use serde_json::Value;

    use super::*;
    use crate::{
        layout::tests::pool,
        show::tests::plain,
        standing::{Look, Shares},
    };

    fn standing(states: &[&str], change: impl Fn(&mut Replica)) -> Standing {
        let mut pool = pool("xxh3", states);
        pool.replicas.iter_mut().for_each(change);
        Standing::of(&Look { pool, at: Instant::now() }, None, &mut Shares::default())
    }

    fn text(standing: &Standing, width: Option<usize>) -> String {
        let now = humantime::parse_rfc3339("2024-01-01T01:02:03Z").expect("a time");
        plain(&status(standing, now, width, &Options::default()))
    }

    #[test]
    fn each_replica_has_a_line_with_what_is_known() {
        let standing = standing(&["ready", "starting"], |replica| {
            replica.address = Some("127.0.0.1:4000".into());
            replica.in_flight = Some(7);
        });
        assert_eq!(
            text(&standing, None),
            "1 of 2 ready, 14 in flight  262147 slots, virtual full, hash xxh3\n\
             policy ring, 0 requests, 0 errors\n\n\
             NAME      NUMBER  STATE       SHARE  IN FLIGHT  REQ/S  RESTARTS  AGE    ADDRESS\n\
             Server-1       1  ready     100.0 %          7      -         0  1h 2m  127.0.0.1:4000\n\
             Server-2       2  starting        -          7      -         0  1h 2m  127.0.0.1:4000"
        );
    }

    #[test]
    fn who_is_down_is_said_why_with_its_last_words() {
        let standing = standing(&["ready", "crash-looping"], |replica| {
            let log = ["one", "two", "three", "four"].map(ToOwned::to_owned).to_vec();
            replica.last_exit = Some(Exit { reason: "exited with code 1".into(), log, ..Exit::default() });
        });
        let text = text(&standing, None);
        assert!(
            text.ends_with("\n\nServer-2 is crash-looping: exited with code 1\n  two\n  three\n  four"),
            "{text}"
        );
    }

    #[test]
    fn who_is_drained_is_counted_and_not_blamed_and_who_is_ejected_says_why() {
        let standing = standing(&["ready", "drained", "ejected"], |replica| {
            replica.drained = Some(replica.state == "drained");
            replica.last_exit = Some(Exit { reason: "exited with code 1".into(), ..Exit::default() });
            replica.reason = (replica.state == "ejected").then(|| "5 requests in a row failed".into());
        });
        let text = text(&standing, None);
        assert!(text.starts_with("1 of 3 ready, 1 drained  "), "{text}");
        assert!(text.ends_with("\n\nServer-3 is ejected: 5 requests in a row failed"), "{text}");
        assert!(!text.contains("exited with"), "{text}");
    }

    #[test]
    fn a_pool_that_goes_by_load_has_no_shares_and_tells_its_queue_and_latencies() {
        let mut look = pool("xxh3", &["ready"]);
        (look.pool, look.policy) = ("web".into(), "least-requests".into());
        look.queue = Some(Queue { most: 9, ..Queue::default() });
        look.replicas[0].latency = Some(Latency { p50_ms: 0.5, p99_ms: 20.0, ..Latency::default() });
        let standing = Standing::of(&Look { pool: look, at: Instant::now() }, None, &mut Shares::default());
        assert_eq!(
            text(&standing, None),
            "web: 1 of 1 ready\npolicy least-requests, 0 requests, 0 errors\n\
             queue: 0 of at most 9 waiting, 0 ms on average, 0 in vain, 0 refused\n\n\
             NAME      NUMBER  STATE  IN FLIGHT  REQ/S      P50      P99  RESTARTS  AGE    ADDRESS\n\
             Server-1       1  ready          -      -  0.50 ms  20.0 ms         0  1h 2m  -"
        );
        let narrow = text(&standing, Some(70));
        assert!(!narrow.contains("P50") && narrow.contains("P99"), "{narrow}");
    }

    #[test]
    fn a_weight_has_its_column_when_someone_has_one() {
        assert!(!text(&standing(&["ready"], |replica| replica.weight = Some(1)), None).contains("WEIGHT"));
        assert!(text(&standing(&["ready"], |replica| replica.weight = Some(2)), None).contains("WEIGHT"));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_long_names_are_cut() {
        let long = "a-name-as-long-as-names-of-replicas-may-ever-be-but-not-longer";
        let standing = standing(&["crash-looping"], |replica| {
            replica.name = long.into();
            replica.address = Some("127.0.0.1:4000".into());
        });
        let cut = text(&standing, Some(80));
        assert!(!cut.contains("ADDRESS") && cut.contains("a-name-as-l") && cut.contains('…'), "{cut}");
        let lines = || cut.lines().skip(3).take(2);
        assert!(lines().all(|line| line.chars().count() <= 80), "{cut}");
        assert!(text(&standing, None).contains(long), "not cut where no width is given");
    }

    #[test]
    fn programs_get_what_the_balancer_says_and_what_follows() {
        let options = Options { output: Some(Format::Json), ..Options::default() };
        let text = status(&standing(&["ready"], |_| ()), SystemTime::now(), None, &options);
        assert!(text.starts_with(r#"{"pool":"default","epoch":1,"ring":{"#), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["replicas"][0]["share"], 1.0);
        assert_eq!(value["replicas"][0]["requests_per_second"], Value::Null);
    }
}
