//! `ringtest ring`: what a ring does with many servers and many keys, without running anything.

mod figures;

use std::str::FromStr;

use anyhow::ensure;
use indicatif::ProgressStyle;
use ringkeeper::ring::{Hash, Probing, Spec, Virtual};
use ringkeeper_tools::{
    assertion::{Assertion, Measure},
    chart::scale::number,
    csv,
    survey::{Kind, Misfit, Row, Survey},
    table,
};

use super::{demand, output::Output};

/// Ask the ring alone: shares, balance and moved keys for many servers and many keys
#[derive(clap::Args, Clone, Debug)]
pub struct RingArgs {
    /// How many servers; several numbers make lines
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "3,10,30,100,300,1000", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    servers: Vec<u16>,
    /// How many keys, such as 10000, 500k or 100M
    #[arg(long, value_name = "KEYS", default_value = "10M")]
    keys: Count,
    /// Which ids the keys have: any (below 2^63), or the assignment's six digits
    #[arg(long, value_name = "any|six-digits", default_value = "any", value_parser = kind)]
    ids: Kind,
    /// The hashes: quadratic, prime, sha256, xxh3 or polynomial:… (one, since it has commas)
    #[arg(long = "hash", value_name = "HASH,…", default_value = "quadratic,prime,sha256,xxh3", value_parser = hashes)]
    hashes: Hashes,
    /// The numbers of slots [default: 262147; where nothing is said of slots, virtual servers and probing, also the
    /// assignment's 512 with 9 virtual servers each]
    #[arg(long, value_name = "M,…", value_delimiter = ',')]
    slots: Vec<u32>,
    /// The numbers of virtual servers, or full [default: 9,160,full]
    #[arg(long = "virtual", value_name = "K|full,…", value_delimiter = ',')]
    placements: Vec<Virtual>,
    /// With virtual servers: linear, quadratic or both [default: linear]
    #[arg(long, value_name = "PROBING,…", value_delimiter = ',')]
    probing: Vec<Probing>,
    /// What the keys are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// For how many servers the map of the slots is drawn [default: the first of --servers]
    #[arg(long, value_name = "N")]
    map: Option<u16>,
    /// How many threads work [default: one for each core]
    #[arg(long, value_name = "T")]
    threads: Option<usize>,
    /// Fail unless this holds of every row, such as 'max_over_mean<1.05'; may be given again
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    #[command(flatten)]
    output: Output,
}

/// Several hashes.
#[derive(Clone, Debug)]
struct Hashes(Vec<Hash>);

/// A number of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count(u64);

/// Whether what was asserted holds.
pub fn run(args: RingArgs) -> anyhow::Result<bool> {
    demand::known(&args.assertions, &names())?;
    let survey = args.survey()?;
    let bar = progress(survey.steps());
    let answers = survey.run(|| bar.inc(1));
    bar.finish_and_clear();
    let (rows, misfits) = (&answers.rows, &answers.misfits);
    ensure!(!rows.is_empty(), "{}", misfits.first().map_or("no ring was asked for".to_owned(), misfit));
    let map = args.map.or(args.servers.first().copied()).unwrap_or(3);
    args.output.show(
        || serde_json::to_string(rows),
        || text(&survey, rows, misfits),
        |folder| figures::keep(folder, &survey, &answers, map),
    )?;
    let hold = |row: &Row| {
        let present = measures(row);
        let about: Vec<Assertion> =
            args.assertions.iter().filter(|assertion| assertion.fits(&present).is_ok()).cloned().collect();
        demand::hold(&about, &present, &format!(" (N = {}, {})", row.servers, words(row)))
    };
    let held: Result<Vec<bool>, _> = rows.iter().map(hold).collect();
    Ok(held?.into_iter().all(|held| held))
}

impl RingArgs {
    fn survey(&self) -> anyhow::Result<Survey> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let specs = self.specs();
        specs.iter().try_for_each(Spec::validate)?;
        Ok(Survey {
            servers: self.servers.clone(),
            specs,
            keys: self.keys.0,
            kind: self.ids,
            seed: self.seed,
            threads: self.threads.unwrap_or(threads),
        })
    }

    /// Every hash with every placement.
    fn specs(&self) -> Vec<Spec> {
        let said = !(self.slots.is_empty() && self.placements.is_empty() && self.probing.is_empty());
        let or = |given: &[Virtual]| match given {
            [] => vec![Virtual::Count(9), Virtual::Count(160), Virtual::Full],
            given => given.to_vec(),
        };
        let slots = if self.slots.is_empty() { vec![Spec::default().slots] } else { self.slots.clone() };
        let probing = if self.probing.is_empty() { vec![Probing::Linear] } else { self.probing.clone() };
        let mut shapes = Vec::new();
        if !said {
            shapes.push(Spec::assignment());
            shapes.push(Spec { probing: Probing::Quadratic, ..Spec::assignment() });
        }
        for slots in slots {
            for placement in or(&self.placements) {
                let ways = if placement == Virtual::Full { &[Probing::Linear][..] } else { &probing };
                shapes.extend(ways.iter().map(|probing| Spec {
                    slots,
                    placement,
                    probing: *probing,
                    ..Spec::default()
                }));
            }
        }
        let with = |hash: &Hash| {
            shapes.iter().map(|shape| Spec { hash: *hash, ..shape.clone() }).collect::<Vec<_>>()
        };
        self.hashes.0.iter().flat_map(with).collect()
    }
}

fn measures(row: &Row) -> Vec<Measure> {
    let mut measures = vec![
        Measure::number("servers", row.servers.into()),
        Measure::number("max_over_mean", row.max_over_mean),
        Measure::number("min_over_mean", row.min_over_mean),
        Measure::number("deviation_over_mean", row.deviation_over_mean),
        Measure::number("slots_max_over_mean", row.slots_max_over_mean),
    ];
    measures.extend(row.join.map(|join| Measure::number("join_ratio", join.ratio())));
    measures.extend(row.leave.map(|leave| Measure::number("leave_ratio", leave.ratio())));
    measures
}

/// The names of the measures, before there are any.
fn names() -> Vec<Measure> {
    let names = [
        "servers",
        "max_over_mean",
        "min_over_mean",
        "deviation_over_mean",
        "slots_max_over_mean",
        "join_ratio",
        "leave_ratio",
    ];
    names.map(|name| Measure::number(name, 0.0)).into()
}

fn text(survey: &Survey, rows: &[Row], misfits: &[Misfit]) -> String {
    let ratio = |part: Option<ringkeeper_tools::survey::Move>| {
        part.map_or("-".to_owned(), |part| format!("{:.3}", part.ratio()))
    };
    let row = |row: &Row| {
        vec![
            row.servers.to_string(),
            row.hash.clone(),
            placement(row),
            format!("{:.4}", row.max_over_mean),
            format!("{:.4}", row.min_over_mean),
            format!("{:.4}", row.slots_max_over_mean),
            ratio(row.join),
            ratio(row.leave),
        ]
    };
    let header = ["N", "HASH", "RING", "BUSIEST/MEAN", "IDLEST/MEAN", "SLOTS BUSIEST/MEAN", "JOIN", "LEAVE"];
    let numbers = ["N", "BUSIEST/MEAN", "IDLEST/MEAN", "SLOTS BUSIEST/MEAN", "JOIN", "LEAVE"];
    let mut text = vec![format!(
        "{} keys, seed {}; JOIN and LEAVE: keys moved over the least possible\n",
        number(survey.keys as f64),
        survey.seed
    )];
    text.extend(table::lines(&header, &numbers, rows.iter().map(row).collect()));
    let mut missing: Vec<String> = misfits.iter().map(misfit).collect();
    missing.dedup();
    text.extend(missing);
    text.join("\n")
}

fn misfit(misfit: &Misfit) -> String {
    let Misfit { servers, spec, why } = misfit;
    format!("no row for N = {servers} on {} slots: {why}", number(spec.slots.into()))
}

/// A row's ring in words, without its hash.
fn placement(row: &Row) -> String {
    let slots = number(row.slots.into());
    match (row.placement.as_str(), row.probing.as_str()) {
        ("full", _) => format!("{slots} slots, full"),
        (count, "linear") => format!("{slots} slots, K = {count}"),
        (count, probing) => format!("{slots} slots, K = {count}, {probing} probing"),
    }
}

fn words(row: &Row) -> String {
    format!("{}, {}", row.hash, placement(row))
}

/// The numbers of all rows.
fn numbers(rows: &[Row]) -> String {
    let header = [
        "servers",
        "hash",
        "slots",
        "virtual",
        "probing",
        "slack",
        "max_over_mean",
        "min_over_mean",
        "deviation_over_mean",
        "slots_max_over_mean",
        "join_moved",
        "join_least",
        "leave_moved",
        "leave_least",
    ];
    let line = |row: &Row| {
        let part = |part: Option<f64>| part.map_or(String::new(), |part| format!("{part:.8}"));
        let ratio = |ratio: f64| format!("{ratio:.6}");
        vec![
            row.servers.to_string(),
            row.hash.clone(),
            row.slots.to_string(),
            row.placement.clone(),
            row.probing.clone(),
            row.slack.to_string(),
            ratio(row.max_over_mean),
            ratio(row.min_over_mean),
            ratio(row.deviation_over_mean),
            ratio(row.slots_max_over_mean),
            part(row.join.map(|join| join.moved)),
            part(row.join.map(|join| join.least)),
            part(row.leave.map(|leave| leave.moved)),
            part(row.leave.map(|leave| leave.least)),
        ]
    };
    csv::text(&header, rows.iter().map(line))
}

/// A bar on a terminal's stderr.
fn progress(steps: u64) -> indicatif::ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pieces of work, eta {eta}")
        .expect("a sound template");
    indicatif::ProgressBar::new(steps).with_style(style.progress_chars("#>-"))
}

fn hashes(text: &str) -> Result<Hashes, String> {
    let one = |text: &str| text.parse::<Hash>().map_err(|error| error.to_string());
    if text.starts_with("polynomial:") {
        return one(text).map(|hash| Hashes(vec![hash]));
    }
    text.split(',').map(one).collect::<Result<_, _>>().map(Hashes)
}

fn kind(text: &str) -> Result<Kind, String> {
    match text {
        "any" => Ok(Kind::Any),
        "six-digits" => Ok(Kind::SixDigits),
        _ => Err("any or six-digits".into()),
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, times) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (&text[..at], 1_000),
            Some((at, 'M')) => (&text[..at], 1_000_000),
            _ => (text, 1),
        };
        let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(times));
        let count = count.filter(|count| (1..=4_000_000_000).contains(count));
        count.map(Count).ok_or_else(|| "a number from 1 to 4000M, such as 10000, 500k or 100M".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_keys_may_end_in_k_or_m() {
        for (text, count) in [("7", 7), ("500k", 500_000), ("100M", 100_000_000)] {
            assert_eq!(text.parse(), Ok(Count(count)));
        }
        for bad in ["", "0", "M", "-1", "1G", "1e6", "99999999999M"] {
            assert!(bad.parse::<Count>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hashes_come_in_a_list_and_a_polynomial_alone() {
        assert_eq!(hashes("prime,xxh3").expect("two").0, [Hash::PRIME, Hash::Xxh3]);
        assert_eq!(hashes("polynomial:1,2,17/1,1,2,25").expect("one").0, [Hash::QUADRATIC]);
        assert!(hashes("prime,md5").is_err());
    }
}
