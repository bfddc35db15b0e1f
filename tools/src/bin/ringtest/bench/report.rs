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
    circumstances::Circumstances,
    result::{Results, Row},
    subject::Subject,
    workload::Workload,
};

/// From this part of its core on it is the subject that limits the requests per second, not what is beside it.
const FULL: f64 = 0.97;

/// Everything, as JSON.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    circumstances: &'a Circumstances,
    rows: Vec<Row>,
    measures: serde_json::Map<String, serde_json::Value>,
    #[serde(flatten)]
    results: &'a Results,
}

/// In one line.
pub fn json(circumstances: &Circumstances, results: &Results) -> serde_json::Result<String> {
    serde_json::to_string(&whole(circumstances, results))
}

fn whole<'a>(circumstances: &'a Circumstances, results: &'a Results) -> Whole<'a> {
    let measures = results.measures().into_iter().map(|measure| (measure.name, measure.value.into()));
    Whole { circumstances, rows: results.rows(), measures: measures.collect(), results }
}

/// Writes the table as a page, the chart, its numbers, and all numbers.
pub fn keep(folder: &mut Folder, circumstances: &Circumstances, results: &Results) -> anyhow::Result<()> {
    folder.chart("bench", &chart(circumstances, results), &numbers(&results.rows()))?;
    folder.json("bench.json", &whole(circumstances, results))?;
    folder.file("bench.md", page(circumstances, results))
}

const HEADER: [&str; 11] = [
    "WORKLOAD",
    "SUBJECT",
    "CPU µs",
    "/HAPROXY",
    "FULL: REQ/S",
    "CPU µs FULL",
    "/HAPROXY FULL",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "RSS MiB",
];

/// The table for a terminal, and what it comes to.
pub fn text(results: &Results) -> String {
    let rows = results.rows();
    let mut lines = table::lines(&HEADER, &HEADER[2..], rows.iter().map(cells).collect());
    lines.push(String::new());
    let failed = rows.iter().filter(|row| row.numbers.failed > 0.0);
    lines.extend(failed.map(|row| {
        let (name, failed) = (row.subject.title(), number(row.numbers.failed));
        format!("{name} at {}: {failed} requests failed", row.workload)
    }));
    lines.extend(results.measures().iter().map(|measure| format!("{} {:.3}", measure.name, measure.value)));
    lines.join("\n")
}

fn cells(row: &Row) -> Vec<String> {
    let Row { numbers, .. } = row;
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    let least = if numbers.core_busy_full < FULL { "≥ " } else { "" };
    vec![
        row.workload.to_owned(),
        row.subject.title().to_owned(),
        format!("{:.1}", numbers.cpu_us),
        ratio(row.cpu_over_haproxy),
        format!("{least}{}", number(numbers.requests_per_second.round())),
        format!("{:.1}", numbers.cpu_us_full),
        ratio(row.cpu_full_over_haproxy),
        format!("{:.2}", numbers.p50_ms),
        format!("{:.2}", numbers.p99_ms),
        format!("{:.2}", numbers.p999_ms),
        format!("{:.1}", numbers.rss_mib),
    ]
}

fn page(circumstances: &Circumstances, results: &Results) -> String {
    let mut page = String::from("# Beside its peers\n\n");
    let mut line = |text: &str| writeln!(page, "{text}").expect("a text");
    let Circumstances { machine, versions, seconds, .. } = circumstances;
    let rounds = circumstances.rounds();
    line(&format!(
        "Written by `ringtest bench`: {rounds} in which every subject had its turn at every workload, {seconds} s \
         each; medians. One thread each on one core, the load and the three origins on another; {machine}. {}.\n",
        versions.join("; ")
    ));
    line("![Processor time of each request](bench.svg)\n");
    line(&format!("| {} |", HEADER.join(" | ")));
    line(&format!("| --- | --- |{}", " ---: |".repeat(HEADER.len() - 2)));
    results.rows().iter().for_each(|row| line(&format!("| {} |", cells(row).join(" | "))));
    line("");
    for (workload, rate) in results.rates() {
        let rate = number(rate.per_second().round());
        line(&format!("- `{}`: {}; at {rate} requests/s", workload.name, workload.words()));
    }
    line(
        "\nProcessor time and latencies are of an open loop at a rate that all subjects manage, the same for all. \
         `FULL` is a closed loop, as fast as answers come; `≥` says that not the subject was the limit, but what is beside it. \
         All numbers of every round are in [bench.json](bench.json).",
    );
    page
}

/// The chart: what a request costs, in comparison with HAProxy, or without it with the relay.
fn chart(circumstances: &Circumstances, results: &Results) -> Canvas {
    let rows = results.rows();
    let there = |subject: &Subject| rows.iter().any(|row| row.subject == *subject);
    let base = if there(&Subject::HaProxy) { Subject::HaProxy } else { Subject::Relay };
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(there).collect();
    let group = |(workload, _): &(Workload, _)| {
        let ratio =
            |subject: &Subject| results.ratio(workload.name, (*subject, base), |numbers| numbers.cpu_us);
        Group { label: workload.title.into(), values: subjects.iter().map(ratio).collect() }
    };
    Groups {
        caption: Caption {
            title: "What a request costs the processor".into(),
            subtitle: format!(
                "Processor time for each request over that of {}, one thread on one core, at the same rate for all.",
                base.title()
            ),
            source: format!("ringtest bench, {}, {}", circumstances.rounds(), circumstances.machine),
        },
        series: subjects.iter().map(|subject| (subject.title().to_owned(), subject.ink())).collect(),
        panels: vec![Panel {
            axis: format!("times {}", base.title()),
            level: Some(1.0),
            groups: results.rates().iter().map(group).collect(),
        }],
    }
    .draw()
}

fn numbers(rows: &[Row]) -> String {
    let header = [
        "workload",
        "subject",
        "rate",
        "cpu_us",
        "cpu_over_haproxy",
        "cpu_us_full",
        "cpu_full_over_haproxy",
        "requests_per_second",
        "core_busy_full",
        "p50_ms",
        "p99_ms",
        "p99.9_ms",
        "rss_mib",
        "failed",
    ];
    let line = |row: &Row| {
        let numbers = &row.numbers;
        let mut line = vec![row.workload.to_owned(), row.subject.word().to_owned()];
        line.extend([format!("{:.1}", row.rate), format!("{:.3}", numbers.cpu_us)]);
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.4}"));
        line.extend([ratio(row.cpu_over_haproxy), format!("{:.3}", numbers.cpu_us_full)]);
        line.extend([ratio(row.cpu_full_over_haproxy), format!("{:.1}", numbers.requests_per_second)]);
        line.push(format!("{:.3}", numbers.core_busy_full));
        let rest = [numbers.p50_ms, numbers.p99_ms, numbers.p999_ms, numbers.rss_mib];
        line.extend(rest.map(|value| format!("{value:.3}")));
        line.push(number(numbers.failed).replace(',', ""));
        line
    };
    csv::text(&header, rows.iter().map(line))
}
