//! What was found, as a table for a terminal, as a page, as a chart and as CSV.

use std::fmt::Write;

use ringkeeper_tools::{
    chart::{
        Canvas, Caption,
        groups::{Group, Groups, Panel},
        scale::number,
    },
    csv,
    folder::Folder,
    table,
};
use serde::Serialize;

use super::{
    super::bench::{circumstances::Circumstances, subject::Subject},
    ledger::{SLOWER, WORK},
    origins::ORIGINS,
    result::{Numbers, Results, Row, SUBJECTS},
    rules,
    turn::CLIENTS,
    zipf::KEYS,
};

/// Everything, as JSON.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    circumstances: &'a Circumstances,
    rows: Vec<Row>,
    #[serde(flatten)]
    results: &'a Results,
}

/// In one line.
pub fn json(circumstances: &Circumstances, results: &Results) -> serde_json::Result<String> {
    serde_json::to_string(&Whole { circumstances, rows: results.rows(), results })
}

/// Writes the table as a page, the chart, its numbers, and all numbers.
pub fn keep(folder: &mut Folder, circumstances: &Circumstances, results: &Results) -> anyhow::Result<()> {
    folder.chart("policies", &chart(circumstances, results), &numbers(&results.rows()))?;
    folder.json("policies.json", &Whole { circumstances, rows: results.rows(), results })?;
    folder.file("policies.md", page(circumstances, results))
}

const HEADER: [&str; 8] =
    ["POLICY", "SUBJECT", "BUSIEST/MEAN", "p99", "AVERAGE", "p50 ms", "p99 ms", "REQ/S"];

/// The table for a terminal.
pub fn text(results: &Results) -> String {
    let rows = results.rows();
    let mut lines = table::lines(&HEADER, &HEADER[2..], rows.iter().map(cells).collect());
    let failed = rows.iter().filter(|row| row.numbers.failed > 0.0);
    lines.extend(failed.map(|row| {
        let (name, failed) = (row.subject.title(), number(row.numbers.failed));
        format!("{name} with {}: {failed} requests failed", row.policy)
    }));
    lines.join("\n")
}

fn cells(row: &Row) -> Vec<String> {
    let Numbers { worst, p99, average, p50_ms, p99_ms, requests_per_second, .. } = row.numbers;
    let mut cells = vec![row.policy.to_owned(), row.subject.title().to_owned()];
    cells.extend([worst, p99, average].map(|ratio| format!("{ratio:.2}")));
    cells.extend([p50_ms, p99_ms, requests_per_second].map(|value| number(value.round())));
    cells
}

fn page(circumstances: &Circumstances, results: &Results) -> String {
    let mut page = String::from("# The policies, side by side\n\n");
    let mut line = |text: &str| writeln!(page, "{text}").expect("a text");
    let Circumstances { machine, versions, seconds, .. } = circumstances;
    line(&format!(
        "Written by `ringtest policies`: {}, {seconds} s each after a warm-up as long; medians. {}\n\nOne thread each on one \
         core, the load and the origins on another; {machine}. {}.\n",
        circumstances.rounds(),
        load(),
        versions.join("; ")
    ));
    line("![How uneven the policies are, and how long requests take](policies.svg)\n");
    line(&format!("| {} | ITS WORDS |", HEADER.join(" | ")));
    line(&format!("| --- | --- |{} --- |", " ---: |".repeat(HEADER.len() - 2)));
    results.rows().iter().for_each(|row| line(&format!("| {} | {} |", cells(row).join(" | "), row.rule)));
    line(
        "\n`BUSIEST/MEAN` is the most in flight at one origin over the mean of all, looked at whenever an origin has \
         received a request: the worst of all dispatches, what 99 of 100 stay within, and the average. In flight at an origin \
         is what it has received and not begun to answer. All numbers of every round are in [policies.json](policies.json).",
    );
    page
}

/// What everybody is asked.
fn load() -> String {
    format!(
        "{} origins work on any number of requests at a time; one takes {} ms on average (exponentially distributed), \
         {SLOWER} times that at one of the origins. {} clients send their next request \
         when the last one was answered, so that {} are in flight for each origin; of {} keys the first is wanted n times \
         as often as the n-th.",
        number(ORIGINS as f64),
        WORK.as_millis(),
        number(CLIENTS as f64),
        CLIENTS / ORIGINS,
        number(KEYS as f64)
    )
}

/// The chart: how uneven, and how slow.
fn chart(circumstances: &Circumstances, results: &Results) -> Canvas {
    let rows = results.rows();
    let there: Vec<Subject> =
        SUBJECTS.into_iter().filter(|subject| rows.iter().any(|row| row.subject == *subject)).collect();
    let panel = |axis: &str, level: f64, part: fn(&Numbers) -> f64| {
        let group = |rule: &rules::Rule| {
            let value = |subject: &Subject| results.row(rule, *subject).map(|row| part(&row.numbers));
            let values: Vec<Option<f64>> = there.iter().map(value).collect();
            values.iter().any(Option::is_some).then(|| Group { label: rule.title.into(), values })
        };
        let groups = rules::ALL.iter().filter_map(group).collect();
        Panel { axis: axis.into(), level: Some(level).filter(|level| *level > 0.0), groups }
    };
    Groups {
        caption: Caption {
            title: "Some keys are wanted far more than others, and one of ten origins is slow".into(),
            subtitle: format!(
                "Above the most in flight at one origin over the mean, at the worst dispatch (the line: a bound of 1.25, as \
                 whole requests 1.30); below the time that 99 of 100 requests stay within. {} in flight for each.",
                CLIENTS / ORIGINS
            ),
            source: format!("ringtest policies, {}, {}", circumstances.rounds(), circumstances.machine),
        },
        series: there.iter().map(|subject| (subject.title().to_owned(), subject.ink())).collect(),
        panels: vec![
            panel("busiest/mean", 1.3, |numbers| numbers.worst),
            panel("p99 in seconds", 0.0, |numbers| numbers.p99_ms / 1e3),
        ],
    }
    .draw()
}

fn numbers(rows: &[Row]) -> String {
    let header = [
        "policy",
        "subject",
        "busiest_to_mean_worst",
        "busiest_to_mean_p99",
        "busiest_to_mean_average",
        "in_flight",
        "p50_ms",
        "p99_ms",
        "requests_per_second",
        "failed",
    ];
    let line = |row: &Row| {
        let Numbers { worst, p99, average, in_flight, p50_ms, p99_ms, requests_per_second, failed } =
            row.numbers;
        let mut line = vec![row.policy.to_owned(), row.subject.word().to_owned()];
        line.extend([worst, p99, average].map(|ratio| format!("{ratio:.4}")));
        line.extend([in_flight, p50_ms, p99_ms, requests_per_second].map(|value| format!("{value:.2}")));
        line.push(format!("{failed:.0}"));
        line
    };
    csv::text(&header, rows.iter().map(line))
}
