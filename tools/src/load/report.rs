//! What came of requests: of each one, and of all.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;

/// The latencies that are told apart: below, all are one microsecond; above, all are one hour.
const SHORTEST_NS: u64 = 1_000;
const LONGEST_NS: u64 = 3_600_000_000_000;

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its id.
    pub id: u64,
    /// When it was sent, or was due in an open loop, after the start of the run.
    pub begun: Duration,
    /// From `begun` to the last byte of the answer, or until it failed.
    pub latency: Duration,
    /// The answer.
    pub result: Result<Answered, Failure>,
}

/// A whole answer, of whatever status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// The server that says it answered: N of the sample replica's `Hello from Server: N`.
    pub server: Option<Box<str>>,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// There was no connection.
    Connect,
    /// The connection broke before the head of an answer was there, or what came is no answer.
    Broken,
    /// The head of an answer was there, and its body broke off.
    Truncated,
    /// The answer was not whole in time.
    Late,
    /// The answer is not a success (2xx).
    Status(u16),
}

/// What came of all requests.
#[derive(Clone, Debug)]
pub struct Report {
    /// Successes for each server that named itself.
    pub servers: BTreeMap<Box<str>, u64>,
    /// Successes that name no server.
    pub unnamed: u64,
    /// Failures by kind.
    pub failures: BTreeMap<Failure, u64>,
    /// In nanoseconds, three digits: of every answer, and of those that were given up.
    pub latency: Histogram<u64>,
    /// Connections that had to be replaced.
    pub reconnects: u64,
    /// From the first request to the end of the last.
    pub elapsed: Duration,
}

impl Outcome {
    /// How it failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        match &self.result {
            Ok(answered) if (200..300).contains(&answered.status) => None,
            Ok(answered) => Some(Failure::Status(answered.status)),
            Err(failure) => Some(*failure),
        }
    }
}

impl Answered {
    /// Reads the server from an answer's body, or from its beginning.
    pub(super) fn new(status: u16, body: &[u8]) -> Self {
        Answered { status, server: server(body).map(Into::into) }
    }
}

impl Report {
    /// Of nothing yet.
    pub(super) fn new() -> Self {
        Report {
            servers: BTreeMap::new(),
            unnamed: 0,
            failures: BTreeMap::new(),
            latency: Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, 3).expect("sound bounds"),
            reconnects: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// How many requests succeeded.
    pub fn succeeded(&self) -> u64 {
        self.servers.values().sum::<u64>() + self.unnamed
    }

    /// How many requests failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Answers and failures per second.
    pub fn per_second(&self) -> f64 {
        let requests = (self.succeeded() + self.failed()) as f64;
        if requests == 0.0 { 0.0 } else { requests / self.elapsed.as_secs_f64() }
    }

    /// The latency that so many per cent stay within.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_percentile(percent))
    }

    /// Counts one more.
    pub(super) fn enter(&mut self, outcome: &Outcome) {
        if !matches!(outcome.result, Err(Failure::Connect | Failure::Broken | Failure::Truncated)) {
            let nanoseconds = u64::try_from(outcome.latency.as_nanos()).unwrap_or(u64::MAX);
            self.latency.saturating_record(nanoseconds);
        }
        if let Some(failure) = outcome.failure() {
            *self.failures.entry(failure).or_default() += 1;
            return;
        }
        match outcome.result.as_ref().ok().and_then(|answered| answered.server.as_ref()) {
            None => self.unnamed += 1,
            Some(server) => match self.servers.get_mut(server) {
                Some(count) => *count += 1,
                None => {
                    self.servers.insert(server.clone(), 1);
                }
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect => f.write_str("connect"),
            Failure::Broken => f.write_str("broken"),
            Failure::Truncated => f.write_str("truncated"),
            Failure::Late => f.write_str("late"),
            Failure::Status(status) => write!(f, "status {status}"),
        }
    }
}

fn server(body: &[u8]) -> Option<&str> {
    const BEFORE: &[u8] = b"Hello from Server: ";
    let at = body.windows(BEFORE.len()).position(|window| window == BEFORE)?;
    let rest = &body[at + BEFORE.len()..];
    let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok().map(str::trim).filter(|server| !server.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(result: Result<Answered, Failure>) -> Outcome {
        Outcome { id: 1, begun: Duration::ZERO, latency: Duration::from_millis(2), result }
    }

    #[test]
    fn the_server_is_read_from_the_sample_replicas_answer() {
        for (body, expected) in [
            (r#"{"message":"Hello from Server: 2","status":"successful"}"#, Some("2")),
            ("Hello from Server: blue\n", Some("blue")),
            (r#"{"message":"Hello from Server: ","status":"successful"}"#, None),
            ("Hello", None),
            ("", None),
        ] {
            assert_eq!(Answered::new(200, body.as_bytes()).server.as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn successes_are_counted_by_server_and_failures_by_kind() {
        let mut report = Report::new();
        let named = |status| Answered::new(status, b"Hello from Server: 7");
        for result in [Ok(named(200)), Ok(named(200)), Ok(named(503)), Ok(Answered::new(204, b""))] {
            report.enter(&outcome(result));
        }
        for failure in [Failure::Late, Failure::Connect, Failure::Connect] {
            report.enter(&outcome(Err(failure)));
        }
        assert_eq!(report.servers, BTreeMap::from([("7".into(), 2)]));
        assert_eq!((report.unnamed, report.succeeded(), report.failed()), (1, 3, 4));
        let kinds: Vec<String> =
            report.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        assert_eq!(kinds, ["2 connect", "1 late", "1 status 503"]);
    }

    #[test]
    fn what_was_never_sent_has_no_latency() {
        let mut report = Report::new();
        report.enter(&outcome(Err(Failure::Connect)));
        assert_eq!(report.latency.len(), 0);
        report.enter(&outcome(Err(Failure::Late)));
        assert_eq!(report.latency.len(), 1);
        assert!((report.percentile(50.0).as_secs_f64() - 0.002).abs() < 2e-5);
    }
}
