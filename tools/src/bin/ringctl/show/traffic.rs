//! What a pool did with its requests, and who of them wait.

use ringkeeper_tools::client::{Latency, Pool, Queue};

use super::{BAD, CHANGING, styled};

/// What shares a pool's requests out, how many there were, and how long they took; nothing of a balancer that does not tell.
pub fn totals(pool: &Pool) -> Option<String> {
    if pool.policy.is_empty() {
        return None;
    }
    let totals = &pool.totals;
    let mut parts = vec![format!("policy {}", pool.policy), some(totals.dispatched, "request")];
    parts.push(worrying(totals.errors, &some(totals.errors, "error")));
    parts.extend((totals.retries > 0).then(|| format!("{} sent again", totals.retries)));
    parts.extend(
        totals
            .latency
            .map(|Latency { p50_ms, p99_ms, .. }| format!("p50 {}, p99 {}", time(p50_ms), time(p99_ms))),
    );
    Some(parts.join(", "))
}

/// Those who wait for a replica, and those who did so in vain.
pub fn queue(queue: &Queue) -> String {
    let Queue { length, most, waited_ms, timeouts, refused } = queue;
    let style = if length == most { BAD } else { CHANGING };
    let waiting = format!("{length} of at most {most} waiting");
    let waiting = if *length > 0 { styled(style, &waiting) } else { waiting };
    let vain = worrying(*timeouts, &format!("{timeouts} in vain"));
    format!(
        "queue: {waiting}, {waited_ms} ms on average, {vain}, {}",
        worrying(*refused, &format!("{refused} refused"))
    )
}

/// Milliseconds in about three digits.
pub fn time(ms: f64) -> String {
    match ms {
        _ if ms < 10.0 => format!("{ms:.2} ms"),
        _ if ms < 100.0 => format!("{ms:.1} ms"),
        _ if ms < 10_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

fn some(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn worrying(count: u64, text: &str) -> String {
    if count > 0 { styled(CHANGING, text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layout::tests::pool, show::tests::plain};

    #[test]
    fn totals_say_how_many_and_how_long_and_retries_where_there_were_some() {
        let mut pool = pool("xxh3", &["ready"]);
        assert_eq!(plain(&totals(&pool).expect("totals")), "policy ring, 0 requests, 0 errors");
        pool.policy = "ewma".into();
        (pool.totals.dispatched, pool.totals.errors, pool.totals.retries) = (1234, 1, 7);
        pool.totals.latency = Some(Latency { p50_ms: 0.64, p90_ms: 3.0, p99_ms: 12.34, max_ms: 99.0 });
        assert_eq!(
            plain(&totals(&pool).expect("totals")),
            "policy ewma, 1234 requests, 1 error, 7 sent again, p50 0.64 ms, p99 12.3 ms"
        );
        pool.policy.clear();
        assert_eq!(totals(&pool), None, "an older balancer");
    }

    #[test]
    fn a_queue_says_who_waits_and_who_did_so_in_vain() {
        let line = Queue { length: 3, most: 100, waited_ms: 12, timeouts: 1, refused: 0 };
        assert_eq!(
            plain(&queue(&line)),
            "queue: 3 of at most 100 waiting, 12 ms on average, 1 in vain, 0 refused"
        );
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!([0.64, 12.34, 1234.5, 60_000.0].map(time), ["0.64 ms", "12.3 ms", "1234 ms", "60.0 s"]);
    }
}
