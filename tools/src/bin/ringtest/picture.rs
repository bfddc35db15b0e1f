//! What `ringtest run` leaves behind: two charts, with their numbers, and the summary as JSON.

use ringkeeper_tools::{
    chart::{
        Canvas, Caption, Ink,
        bars::{Bar, Bars, Panel},
        lines::{self, Lines, Series, Stroke},
        scale::{Scale, number},
    },
    csv,
    folder::Folder,
    load::Report,
};

use super::summary::Summary;

/// The parts of requests that have a tick of their own in the chart of latencies.
const TICKS: [f64; 8] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];

/// Writes everything.
pub fn keep(folder: &mut Folder, summary: &Summary, report: &Report) -> anyhow::Result<()> {
    let row = |server: &super::summary::Server| {
        let name = server.name.clone().unwrap_or_default();
        [
            server.server.clone(),
            name,
            server.requests.to_string(),
            server.expected.to_string(),
            format!("{:.6}", server.share),
        ]
    };
    let header = ["server", "name", "requests", "expected", "share"];
    folder.chart("run", &counts(summary), &csv::text(&header, summary.servers.iter().map(row)))?;
    let latencies = latencies(report);
    let rows = latencies.iter().map(|(percent, millis)| [format!("{percent:.5}"), format!("{millis:.4}")]);
    folder.chart(
        "run-latency",
        &latency(summary, &latencies),
        &csv::text(&["percent", "latency_ms"], rows),
    )?;
    folder.json("run.json", summary)
}

/// The requests of each server beside what was expected.
fn counts(summary: &Summary) -> Canvas {
    let of = summary.servers.len();
    let bar = |(index, server): (usize, &super::summary::Server)| Bar {
        label: server.name.clone().unwrap_or_else(|| server.server.clone()),
        short: server.server.clone(),
        value: server.requests as f64,
        expected: Some(server.expected as f64),
        ink: Ink::replica(server.server.parse().unwrap_or(index as u16 + 1), of),
    };
    let all_are = if summary.exact { "every count is exact" } else { "the counts are not those expected" };
    let (most, deviation) = (summary.max_over_mean, number(summary.standard_deviation));
    let subtitle = format!(
        "Policy {}. Busiest/mean {most:.3}, standard deviation {deviation}; {all_are}.",
        summary.policy_words()
    );
    let expectation = if summary.by_ring { "expected from the ring" } else { "expected by weight" };
    let panel = Panel {
        title: String::new(),
        note: String::new(),
        bars: summary.servers.iter().enumerate().map(bar).collect(),
    };
    Bars {
        caption: Caption {
            title: format!("{} requests on {of} servers", number(summary.requests as f64)),
            subtitle,
            source: source(summary),
        },
        axis: "requests".into(),
        labels: "server".into(),
        expectation: expectation.into(),
        panels: vec![panel],
    }
    .draw()
}

/// The latency that so many per cent stay within.
fn latency(summary: &Summary, latencies: &[(f64, f64)]) -> Canvas {
    let place = |percent: f64| -(1.0 - percent / 100.0).log10();
    let last = latencies.last().map_or(1.0, |(percent, _)| place(*percent));
    let ticks = TICKS.into_iter().filter(|percent| place(*percent) <= last + 1e-9);
    let mut ticks: Vec<(f64, String)> =
        ticks.map(|percent| (place(percent), format!("{percent} %"))).collect();
    if ticks.last().is_none_or(|tick| tick.0 < last) {
        ticks.push((last, String::new())); // where the axis ends
    }
    let values = || latencies.iter().map(|(_, millis)| millis.max(0.001));
    let y = Scale::logarithmic(values().fold(f64::INFINITY, f64::min), values().fold(0.001, f64::max));
    let series = Series {
        label: String::new(),
        ink: Ink::Series(0),
        stroke: Stroke::Plain,
        points: latencies.iter().map(|(percent, millis)| (place(*percent), millis.max(0.001))).collect(),
    };
    let how = match summary.rate {
        Some(rate) => format!("{} requests/s wanted; latency counts from when each was due.", number(rate)),
        None => "Each connection sends when it was answered.".to_owned(),
    };
    let failed = match summary.failed {
        0 => "none failed".to_owned(),
        failed => format!("{} failed", number(failed as f64)),
    };
    Lines {
        caption: Caption {
            title: "How long answers took".into(),
            subtitle: format!(
                "{how} {} requests/s over {} connections, {failed}.",
                number(summary.requests_per_second.round()),
                summary.connections
            ),
            source: source(summary),
        },
        x: Scale::at(ticks),
        x_title: "this part of the requests took at most".into(),
        panels: vec![lines::Panel {
            title: String::new(),
            note: String::new(),
            y,
            y_title: "milliseconds".into(),
            series: vec![series],
        }],
    }
    .draw()
}

/// Per cent and milliseconds, closer together towards the end.
fn latencies(report: &Report) -> Vec<(f64, f64)> {
    let all = report.latency.len().max(2) as f64;
    let steps = 120;
    let percent = |step: i32| 100.0 * (1.0 - 10_f64.powf(-all.log10() * f64::from(step) / f64::from(steps)));
    let at = |percent: f64| (percent, report.percentile(percent).as_secs_f64() * 1e3);
    (0..=steps).map(percent).map(at).collect()
}

fn source(summary: &Summary) -> String {
    format!("ringtest run, seed {}, {}", summary.seed, summary.url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// It told of the ring, whatever the requests were shared out by.
    #[test]
    fn the_policy_is_named_and_the_ring_only_where_it_decides() {
        let drawn = |policy: &str, by_ring: bool| {
            let summary = json!({
                "url": "http://h:80", "seed": 1, "requests": 2, "connections": 8, "rate": null,
                "ring": {"slots": 512, "virtual": "9", "probing": "linear", "hash": "prime", "slack": 0.0},
                "policy": policy, "by_ring": by_ring,
                "servers": [{"server": "1", "name": "S1", "requests": 2, "expected": 2, "share": 1.0}],
                "exact": true, "pool_changed": false, "standard_deviation": 0.0, "max_over_mean": 1.0,
                "chi_square": 0.0, "chi_square_even": 0.0, "elapsed_s": 1.0, "requests_per_second": 2.0,
                "failed": 0, "failures": {}, "unnamed": 0, "reconnects": 0,
                "latency_ms": {"p50": 1.0, "p90": 1.0, "p99": 1.0, "p99.9": 1.0, "max": 1.0},
            });
            let summary: Summary = serde_json::from_value(summary).expect("a summary");
            counts(&summary).svg(false)
        };
        let even = drawn("round-robin", false);
        assert!(
            even.contains("Policy round-robin. Busiest/mean") && even.contains("expected by weight"),
            "{even}"
        );
        for (policy, named) in [("bounded-ring", "bounded-ring"), ("", "ring")] {
            let of_ring = drawn(policy, true);
            assert!(of_ring.contains(&format!(">Policy {named}, 512 slots, ")), "{of_ring}");
            assert!(of_ring.contains("expected from the ring"), "{of_ring}");
        }
    }
}
