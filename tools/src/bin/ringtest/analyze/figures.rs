//! The charts of the analysis.

use ringkeeper_tools::{
    chart::{
        Canvas, Caption, Ink,
        bars::{Bar, Bars, Panel},
        lines::{self, Lines, Series, Stroke},
        scale::{Scale, number},
        timeline::{Event, Line, Strip, Timeline},
    },
    csv,
    folder::Folder,
};

use super::{
    Analysis,
    recovery::{Recovery, STEP, Step},
    series::{Count, HASHES},
};

/// Writes all of them.
pub fn keep(folder: &mut Folder, analysis: &Analysis) -> anyhow::Result<()> {
    let original = &HASHES[..3];
    let title = |analysis: &Analysis| format!("{} requests on 3 servers", number(analysis.requests as f64));
    folder.chart(
        "a1",
        &at_three(analysis, original, &title(analysis)),
        &counts(analysis, |c| c.servers == 3 && c.hash != "xxh3"),
    )?;
    folder.chart("a2", &spread(analysis), &counts(analysis, |count| count.hash != "xxh3"))?;
    for recovery in &analysis.recoveries {
        folder.chart(&format!("a3-{}", recovery.blow), &timeline(recovery), &steps(recovery))?;
    }
    let title = "The three hashes of the assignment, and Ringkeeper's own";
    folder.chart("a4", &at_three(analysis, &HASHES, title), &counts(analysis, |count| count.servers == 3))?;
    folder.chart("a4-balance", &balance(analysis), &counts(analysis, |_| true))
}

/// The counts of three servers, a group of bars for each hash.
fn at_three(analysis: &Analysis, hashes: &[&str], title: &str) -> Canvas {
    let bar = |(index, (count, expected)): (u16, (&u64, &u64))| Bar {
        label: format!("Server-{}", index + 1),
        short: (index + 1).to_string(),
        value: *count as f64,
        expected: Some(*expected as f64),
        ink: Ink::replica(index + 1, 3),
    };
    let panel = |hash: &&str| {
        let count = analysis.of(hash).find(|count| count.servers == 3);
        Panel {
            title: (*hash).to_owned(),
            note: count.map_or(String::new(), |count| format!("busiest/mean {:.3}", count.max_over_mean)),
            bars: count.map_or(Vec::new(), |count| {
                (0..).zip(count.counts.iter().zip(&count.expected)).map(bar).collect()
            }),
        }
    };
    Bars {
        caption: Caption {
            title: title.to_owned(),
            subtitle: format!(
                "How many of {} requests each of three servers answered, by hash.",
                number(analysis.requests as f64)
            ),
            source: source(analysis),
        },
        axis: "requests".into(),
        labels: "server".into(),
        expectation: "expected from the ring".into(),
        panels: hashes.iter().map(panel).collect(),
    }
    .draw()
}

/// Mean and standard deviation over the number of servers, a panel for each of the assignment's hashes.
fn spread(analysis: &Analysis) -> Canvas {
    let most = analysis.counts.iter().filter(|count| count.hash != "xxh3");
    let most = most.map(|count| count.mean.max(count.standard_deviation)).fold(0.0, f64::max);
    let y = Scale::from_zero(most * 1.02, 5);
    let panel = |hash: &&str| lines::Panel {
        title: (*hash).to_owned(),
        note: String::new(),
        y: y.clone(),
        y_title: "requests".into(),
        series: vec![
            line(analysis, hash, "mean", Ink::Muted, 1, |count| count.mean),
            line(analysis, hash, "standard deviation", Ink::Series(3), 0, |count| count.standard_deviation),
        ],
    };
    Lines {
        caption: Caption {
            title: format!("Mean and standard deviation for {}", range(analysis)),
            subtitle: format!("Requests of each server, of {}. The closer the standard deviation is to 0, the more even the spread.", number(analysis.requests as f64)),
            source: source(analysis),
        },
        x: servers(analysis),
        x_title: "servers".into(),
        panels: HASHES[..3].iter().map(panel).collect(),
    }
    .draw()
}

/// Standard deviation and busiest-to-mean of all four hashes.
fn balance(analysis: &Analysis) -> Canvas {
    let all = || analysis.counts.iter();
    let deviation = Scale::from_zero(all().map(|count| count.standard_deviation).fold(0.0, f64::max), 5);
    let busiest = Scale::from_zero(all().map(|count| count.max_over_mean).fold(0.0, f64::max), 5);
    let series = |value: fn(&Count) -> f64| {
        let of = |(form, hash): (usize, &&str)| line(analysis, hash, hash, Ink::hash(hash), form, value);
        HASHES.iter().enumerate().map(of).collect()
    };
    let panel = |title: &str, y: Scale, y_title: &str, series: Vec<Series>| lines::Panel {
        title: title.to_owned(),
        note: String::new(),
        y,
        y_title: y_title.to_owned(),
        series,
    };
    Lines {
        caption: Caption {
            title: format!("Four hashes on {}", range(analysis)),
            subtitle: format!("{} requests for each point. A perfect spread has a deviation of 0 and a busiest server of 1.", number(analysis.requests as f64)),
            source: source(analysis),
        },
        x: servers(analysis),
        x_title: "servers".into(),
        panels: vec![
            panel("Standard deviation", deviation, "requests", series(|count| count.standard_deviation)),
            panel("Busiest server over the mean", busiest, "busiest/mean", series(|count| count.max_over_mean)),
        ],
    }
    .draw()
}

fn line(
    analysis: &Analysis,
    hash: &str,
    label: &str,
    ink: Ink,
    form: usize,
    value: fn(&Count) -> f64,
) -> Series {
    let points = analysis.of(hash).map(|count| (f64::from(count.servers), value(count))).collect();
    Series { label: label.to_owned(), ink, stroke: Stroke::Points(form), points }
}

fn servers(analysis: &Analysis) -> Scale {
    let numbers = || analysis.counts.iter().map(|count| count.servers);
    let ticks =
        (numbers().min().unwrap_or(2)..=numbers().max().unwrap_or(6)).map(|n| (f64::from(n), n.to_string()));
    Scale::at(ticks.collect())
}

/// The numbers of servers in words.
fn range(analysis: &Analysis) -> String {
    let numbers = || analysis.counts.iter().map(|count| count.servers);
    format!("{} to {} servers", numbers().min().unwrap_or_default(), numbers().max().unwrap_or_default())
}

/// What became of requests while a replica was away.
fn timeline(recovery: &Recovery) -> Canvas {
    let steps = |value: &dyn Fn(&Step) -> f64| {
        recovery.steps.iter().map(|step| (step.at, value(step))).collect::<Vec<_>>()
    };
    let answers = steps(&|step| step.answers as f64 / STEP);
    let errors = steps(&|step| step.errors as f64 / STEP);
    let most = |points: &[(f64, f64)]| points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let latency = |value: fn(&Step) -> Option<f64>| {
        steps(&|step| value(step).map_or(f64::NAN, |millis| millis.max(0.01)))
    };
    let (median, slowest) = (latency(|step| step.median_ms), latency(|step| step.slowest_ms));
    let values = || median.iter().chain(&slowest).map(|(_, value)| *value).filter(|value| value.is_finite());
    let y = Scale::logarithmic(values().fold(1.0, f64::min), values().fold(10.0, f64::max));
    let strip =
        |title: &str, y: Scale, series: Vec<Line>, bars| Strip { title: title.into(), y, series, bars };
    Timeline {
        caption: Caption {
            title: title(recovery),
            subtitle: format!("{} requests/s, three replicas; {} of {} requests failed.", number(recovery.requests_per_second), number(recovery.failed as f64), number(recovery.requests as f64)),
            source: format!("Steps of {} ms. Answers and errors stand where they came, latencies where the request was due.", STEP * 1e3),
        },
        seconds: recovery.seconds,
        events: events(recovery),
        strips: vec![
            strip("Answers per second", Scale::from_zero(most(&answers), 3), vec![("answers".into(), Ink::Series(0), answers)], false),
            strip("Errors per second", Scale::from_zero(most(&errors).max(100.0), 3), vec![("errors".into(), Ink::Bad, errors)], true),
            strip(
                "Latency in milliseconds",
                y,
                vec![("median".into(), Ink::Series(0), median), ("slowest".into(), Ink::Series(1), slowest)],
                false,
            ),
        ],
    }
    .draw()
}

fn title(recovery: &Recovery) -> String {
    let verb = if recovery.blow == "kill" { "killed" } else { "frozen" };
    match recovery.back_at {
        Some(back) => format!("One replica is {verb}: back after {}", seconds(back - recovery.hit_at)),
        None => format!("One replica is {verb}: not back in the time watched"),
    }
}

fn events(recovery: &Recovery) -> Vec<Event> {
    let verb = if recovery.blow == "kill" { "killed" } else { "frozen" };
    let hit = Event { at: recovery.hit_at, label: format!("replica {verb}"), ink: Ink::Bad };
    let after = |at: Option<f64>, what: &str, ink: Ink| {
        at.map(|at| Event { at, label: format!("{what} {} later", seconds(at - recovery.hit_at)), ink })
    };
    let noticed = after(recovery.noticed_at, "noticed", Ink::Text);
    let back = after(recovery.back_at, "ready again", Ink::Series(2));
    [Some(hit), noticed, back].into_iter().flatten().collect()
}

/// A time as people write it.
pub fn seconds(seconds: f64) -> String {
    if seconds.abs() < 0.9995 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

fn source(analysis: &Analysis) -> String {
    let Analysis { engine, requests, connections, seed, .. } = analysis;
    let requests = number(*requests as f64);
    let engine = if *engine == "docker" { "in Docker" } else { "as processes" };
    format!(
        "ringtest analyze, replicas {engine}, {requests} requests over {connections} connections, seed {seed}. The assignment's hashes on its ring: 512 slots, 9 virtual servers each, linear probing."
    )
}

/// The chosen counts, a line for each server.
fn counts(analysis: &Analysis, chosen: impl Fn(&Count) -> bool) -> String {
    let header =
        ["hash", "servers", "server", "requests", "expected", "mean", "standard_deviation", "max_over_mean"];
    let rows = analysis.counts.iter().filter(|count| chosen(count)).flat_map(|count| {
        (1..).zip(count.counts.iter().zip(&count.expected)).map(|(server, (requests, expected)): (u16, _)| {
            vec![
                count.hash.clone(),
                count.servers.to_string(),
                server.to_string(),
                requests.to_string(),
                expected.to_string(),
                format!("{:.2}", count.mean),
                format!("{:.2}", count.standard_deviation),
                format!("{:.4}", count.max_over_mean),
            ]
        })
    });
    csv::text(&header, rows)
}

fn steps(recovery: &Recovery) -> String {
    let header = ["seconds", "answers_per_second", "errors_per_second", "median_ms", "slowest_ms"];
    let millis = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.3}"));
    let row = |step: &Step| {
        vec![
            format!("{:.3}", step.at),
            format!("{:.0}", step.answers as f64 / STEP),
            format!("{:.0}", step.errors as f64 / STEP),
            millis(step.median_ms),
            millis(step.slowest_ms),
        ]
    };
    csv::text(&header, recovery.steps.iter().map(row))
}
