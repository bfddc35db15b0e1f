//! What was found: a table, CSV and JSON. Pure.

use std::time::Duration;

use ringkeeper_tools::{csv, table};
use serde::Serialize;

use super::{
    fault::Fault,
    row::{Front, Row},
};

const HEADER: [&str; 13] = [
    "FAULT",
    "IN FRONT",
    "REQUESTS",
    "FAILED",
    "TRUNCATED",
    "P99 DURING",
    "LAST FAILURE",
    "READY AGAIN",
    "BOUND",
    "POSTS",
    "POSTS FAILED",
    "TWICE",
    "",
];

const CSV: [&str; 12] = [
    "fault",
    "in_front",
    "requests",
    "failed",
    "truncated",
    "p99_during_ms",
    "last_failure_s",
    "ready_again_s",
    "bound_s",
    "posts",
    "posts_failed",
    "posts_executed_twice",
];

/// What one fault came to with one in front.
#[derive(Debug)]
pub enum Entry {
    /// This.
    Row(Row),
    /// It makes no sense.
    Senseless(Fault, Front),
    /// It was not measured; why.
    Unmeasured(Fault, Front, String),
}

/// Everything that was found.
#[derive(Serialize)]
pub struct Chaos<'a> {
    engine: &'static str,
    /// The median of some bare `docker run -d`.
    bare_docker_run_s: Option<f64>,
    rows: Vec<&'a Row>,
    /// What was promised and not the case, or not measured.
    misses: Vec<String>,
}

impl<'a> Chaos<'a> {
    /// Of these entries.
    pub fn new(engine: &'static str, bare: Option<Duration>, entries: &'a [Entry]) -> Self {
        let rows = entries.iter().filter_map(|entry| match entry {
            Entry::Row(row) => Some(row),
            _ => None,
        });
        Chaos {
            engine,
            bare_docker_run_s: bare.map(|bare| bare.as_secs_f64()),
            rows: rows.collect(),
            misses: entries.iter().flat_map(Entry::misses).collect(),
        }
    }

    /// What was promised and not the case.
    pub fn misses(&self) -> &[String] {
        &self.misses
    }

    /// The rows for a spreadsheet.
    pub fn csv(&self) -> String {
        let number = |value: f64| format!("{value:.3}");
        let maybe = |value: Option<f64>| value.map_or(String::new(), number);
        csv::text(&CSV, self.rows.iter().map(|row| columns(row, number, maybe)))
    }
}

/// The table, and what is worth knowing about it.
pub fn text(chaos: &Chaos, entries: &[Entry], others: Option<&str>) -> String {
    let mut lines = table::lines(&HEADER, &HEADER[2..12], entries.iter().map(Entry::cells).collect());
    lines.push(String::new());
    if let Some(bare) = chaos.bare_docker_run_s {
        lines.push(format!("a bare `docker run -d` took {bare:.2} s in this run (median of 5)"));
    }
    if let Some(others) = others {
        lines.push(format!(
            "haproxy is version {others}, with the addresses that the replicas had at the start; behind it too the balancer \
             replaces what dies, as a rule at the same address"
        ));
    }
    lines.extend(chaos.misses.iter().map(|miss| format!("MISSED  {miss}")));
    lines.join("\n")
}

impl Entry {
    /// In a line, as it is found.
    pub fn sentence(&self) -> String {
        match self {
            Entry::Row(row) => format!(
                "{} ({}): {} of {} requests failed{}",
                row.fault,
                row.in_front.word(),
                row.failed,
                row.requests,
                if row.misses.is_empty() { "" } else { "; MISSED" }
            ),
            Entry::Senseless(fault, front) => format!("{} ({}): nothing", fault.name(), front.word()),
            Entry::Unmeasured(fault, front, why) => {
                format!("{} ({}): not measured: {why}", fault.name(), front.word())
            }
        }
    }

    fn misses(&self) -> Vec<String> {
        match self {
            Entry::Row(row) => row.misses.iter().map(|miss| format!("{}: {miss}", row.fault)).collect(),
            Entry::Senseless(..) => Vec::new(),
            Entry::Unmeasured(fault, front, why) => {
                vec![format!("{} ({}): not measured: {why}", fault.name(), front.word())]
            }
        }
    }

    fn cells(&self) -> Vec<String> {
        let (fault, front) = match self {
            Entry::Row(row) => return cells(row),
            Entry::Senseless(fault, front) | Entry::Unmeasured(fault, front, _) => (fault.name(), front),
        };
        let dashes = std::iter::repeat_n("-".to_owned(), 10);
        let last = if matches!(self, Entry::Unmeasured(..)) { "MISSED" } else { "" };
        [fault, front.word().to_owned()].into_iter().chain(dashes).chain([last.to_owned()]).collect()
    }
}

fn cells(row: &Row) -> Vec<String> {
    let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2} s"));
    let verdict = match (row.in_front, row.misses.is_empty()) {
        (Front::Ringkeeper, true) => "kept",
        (Front::Ringkeeper, false) => "MISSED",
        _ => "",
    };
    let mut cells = columns(row, |millis| format!("{millis:.1} ms"), seconds);
    cells.push(verdict.to_owned());
    cells
}

/// What table and CSV have of a row, with milliseconds and seconds as each of them writes those.
fn columns(
    row: &Row,
    millis: impl Fn(f64) -> String,
    seconds: impl Fn(Option<f64>) -> String,
) -> Vec<String> {
    vec![
        row.fault.clone(),
        row.in_front.word().to_owned(),
        row.requests.to_string(),
        row.failed.to_string(),
        row.truncated.to_string(),
        millis(row.p99_during_ms),
        seconds(row.last_failure_s),
        seconds(row.ready_again_s),
        seconds(row.bound_s),
        row.posts.to_string(),
        row.posts_failed.to_string(),
        row.posts_executed_twice.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::fault::Promise;

    fn entries() -> [Entry; 3] {
        let row = Row::new(Fault::Kill, Front::Ringkeeper, &[], &[], 1, Promise::Nothing);
        [
            Entry::Row(row),
            Entry::Senseless(Fault::Churn, Front::Haproxy),
            Entry::Unmeasured(Fault::Deaf, Front::Ringkeeper, "it broke".into()),
        ]
    }

    #[test]
    fn every_entry_is_a_line_and_every_miss_is_named() {
        let entries = entries();
        let chaos = Chaos::new("docker", Some(Duration::from_millis(420)), &entries);
        let text = text(&chaos, &entries, Some("2.6.12"));
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        assert_eq!(lines[1], "kill ringkeeper 0 0 0 0.0 ms - - - 0 0 1 MISSED");
        assert_eq!(lines[2], "churn haproxy - - - - - - - - - -");
        assert_eq!(lines[3], "deaf ringkeeper - - - - - - - - - - MISSED");
        assert_eq!(lines[5], "a bare `docker run -d` took 0.42 s in this run (median of 5)");
        assert!(lines.contains(&"MISSED kill: 1 POSTs were executed twice, bound 0".to_owned()), "{text}");
        assert!(text.ends_with("deaf (ringkeeper): not measured: it broke"), "{text}");
    }

    #[test]
    fn a_script_finds_what_was_measured_under_names_that_stay() {
        let entries = entries();
        let chaos = Chaos::new("docker", None, &entries);
        let json = serde_json::to_value(&chaos).expect("JSON");
        assert_eq!((&json["engine"], &json["bare_docker_run_s"]), (&"docker".into(), &().into()));
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(1));
        for name in CSV {
            assert!(json["rows"][0].get(name).is_some(), "{name}");
        }
        assert_eq!(json["rows"][0]["in_front"], "ringkeeper");
        assert_eq!(chaos.csv().lines().nth(1), Some("kill,ringkeeper,0,0,0,0.000,,,,0,0,1"));
    }
}
