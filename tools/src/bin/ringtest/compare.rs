//! `ringtest compare`: two results of `ringtest run` side by side.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ringkeeper_tools::{
    assertion::{Assertion, Measure, Unit},
    chart::scale::number,
    table,
};
use serde::Serialize;

use super::{demand, output::print, summary::Summary};

/// Put two JSON results of `run` side by side
#[derive(clap::Args, Clone, Debug)]
pub struct CompareArgs {
    /// The first, for example plots/run.json
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The second
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Fail unless this holds: NAME is of B, NAME.ratio is B over A, such as 'p99.ratio<1.1'; may be given again
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    /// Print JSON in place of tables
    #[arg(long)]
    json: bool,
}

/// One number of both.
#[derive(Serialize)]
struct Line {
    name: String,
    a: f64,
    b: f64,
    difference: f64,
    /// B over A; none where A is 0 and B is not.
    ratio: Option<f64>,
    #[serde(skip)]
    unit: Unit,
}

/// Whether what was asserted holds.
pub fn run(args: CompareArgs) -> anyhow::Result<bool> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let lines: Vec<Line> = a.measures().into_iter().zip(b.measures()).map(|(a, b)| line(a, b)).collect();
    let measures = measures(&lines);
    demand::known(&args.assertions, &measures)?;
    if args.json {
        print(&serde_json::to_string(&lines)?)?;
    } else {
        print(&text(&a, &b, &lines))?;
    }
    Ok(demand::hold(&args.assertions, &measures, "")?)
}

fn read(path: &Path) -> anyhow::Result<Summary> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no result of `ringtest run`", path.display()))
}

fn line(a: Measure, b: Measure) -> Line {
    let ratio = if a.value == b.value {
        Some(1.0)
    } else {
        Some(b.value / a.value).filter(|ratio| ratio.is_finite())
    };
    Line { name: a.name, a: a.value, b: b.value, difference: b.value - a.value, ratio, unit: a.unit }
}

/// Those of B, and the ratios.
fn measures(lines: &[Line]) -> Vec<Measure> {
    let of_b = lines.iter().map(|line| Measure { name: line.name.clone(), value: line.b, unit: line.unit });
    let ratios = lines
        .iter()
        .map(|line| Measure::number(format!("{}.ratio", line.name), line.ratio.unwrap_or(f64::INFINITY)));
    of_b.chain(ratios).collect()
}

fn text(a: &Summary, b: &Summary, lines: &[Line]) -> String {
    let shown = |value: f64, unit: Unit| match unit {
        Unit::Number => number(value),
        Unit::Time => format!("{} ms", number(value)),
    };
    let row = |line: &Line| {
        let ratio = line.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let sign = if line.difference > 0.0 { "+" } else { "" };
        let difference = format!("{sign}{}", shown(line.difference, line.unit));
        vec![line.name.clone(), shown(line.a, line.unit), shown(line.b, line.unit), difference, ratio]
    };
    let header = ["", "A", "B", "B − A", "B / A"];
    let mut text = vec![format!("A: {}", words(a)), format!("B: {}", words(b)), String::new()];
    text.extend(table::lines(&header, &header[1..], lines.iter().map(row).collect()));
    text.push(String::new());
    text.extend(servers(a, b));
    text.join("\n")
}

fn words(summary: &Summary) -> String {
    let (requests, servers) = (number(summary.requests as f64), summary.servers.len());
    let (policy, seed) = (summary.policy_words(), summary.seed);
    format!("{requests} requests on {servers} servers, policy {policy}, seed {seed}")
}

/// The counts of each server that is in either.
fn servers(a: &Summary, b: &Summary) -> Vec<String> {
    let count = |summary: &Summary, name: &str| {
        let found = summary.servers.iter().find(|server| server.server == name);
        found.map_or("-".to_owned(), |server| number(server.requests as f64))
    };
    let mut names: Vec<&str> = a.servers.iter().map(|server| server.server.as_str()).collect();
    names.extend(b.servers.iter().map(|server| server.server.as_str()).filter(|name| count(a, name) == "-"));
    let row = |name: &&str| vec![(*name).to_owned(), count(a, name), count(b, name)];
    let header = ["SERVER", "A", "B"];
    table::lines(&header, &header, names.iter().map(row).collect())
}
