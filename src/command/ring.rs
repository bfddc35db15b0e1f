//! `ringkeeper ring`: what a ring looks like and where ids go on it, without running anything.

use std::{collections::BTreeMap, io::Write};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::{
    config::SpecArgs,
    name::Number,
    ring::{Member, Ring, Spec, Virtual, Weight},
};

/// The ids whose shares are counted: all of six digits.
const ALL_IDS: std::ops::RangeInclusive<u64> = 100_000..=999_999;

/// Show the ring: who owns how much of it, and where ids go.
#[derive(clap::Args, Clone, Debug)]
pub struct RingArgs {
    /// How many servers, numbered from 1
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub servers: u16,
    /// Their weights in the order of the numbers, for example 2,1; those beyond the list have 1
    #[arg(long, value_name = "WEIGHTS", value_delimiter = ',', value_parser = weight)]
    pub weights: Vec<Weight>,
    /// What the ring is made by.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Show where these request ids go, for example 132574,999999
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub route: Vec<u64>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// Builds the ring of servers 1 to N and writes what it looks like to `out`.
pub fn run(args: RingArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let spec = args.spec.spec()?;
    let numbers = (1..=args.servers).filter_map(Number::new);
    let given = args.weights.iter().copied().chain(std::iter::repeat(Weight::ONE));
    let members: Vec<Member> = numbers.zip(given).map(|(number, weight)| Member { number, weight }).collect();
    ensure!(
        args.weights.len() <= members.len(),
        "--weights: {} weights for {} servers",
        args.weights.len(),
        members.len()
    );
    let ring = Ring::build(&members, &spec).with_context(|| {
        format!("{} servers, but at most {} of weight 1 fit", args.servers, spec.capacity())
    })?;
    let picture = Picture::of(&ring, &args.route);
    if args.json {
        serde_json::to_writer(&mut *out, &picture)?;
        writeln!(out)?;
    } else {
        picture.write(&ring, out)?;
    }
    Ok(())
}

fn weight(text: &str) -> Result<Weight, String> {
    let weight = text.parse().ok().and_then(Weight::new);
    weight.ok_or_else(|| "a weight is a whole number from 1 to 100".to_owned())
}

/// What is shown; its fields are those of the JSON. Servers are numbers, parts are of 1.
#[derive(Serialize)]
struct Picture {
    /// For each slot who sits exactly there.
    slots: Vec<Option<u16>>,
    /// The part of the slots that leads to each server.
    arcs: BTreeMap<u16, f64>,
    /// The part of all six-digit ids that goes to each server.
    share: BTreeMap<u16, f64>,
    routes: Vec<Routed>,
}

/// Where one id goes; no server on an empty ring.
#[derive(Serialize)]
struct Routed {
    id: u64,
    slot: u32,
    server: Option<u16>,
    order: Vec<u16>,
}

impl Picture {
    fn of(ring: &Ring, ids: &[u64]) -> Self {
        let number = |position: usize| ring.members()[position].number.get();
        let slots = 0..ring.spec().slots;
        let routed = |&id: &u64| {
            let order: Vec<u16> = ring.route(id).map(number).collect();
            Routed { id, slot: ring.slot(id), server: order.first().copied(), order }
        };
        Picture {
            slots: slots.clone().map(|slot| ring.placed(slot).map(number)).collect(),
            arcs: parts(ring, slots.filter_map(|slot| ring.owner(slot))),
            share: parts(ring, ALL_IDS.filter_map(|id| ring.route(id).next())),
            routes: ids.iter().map(routed).collect(),
        }
    }

    fn write(&self, ring: &Ring, out: &mut impl Write) -> std::io::Result<()> {
        let Spec { slots, placement, probing, hash, slack } = ring.spec();
        match placement {
            Virtual::Full => writeln!(out, "{slots} slots, virtual full, slack {slack}, hash {hash}")?,
            Virtual::Count(count) => {
                writeln!(out, "{slots} slots, virtual {count}, {probing} probing, hash {hash}")?
            }
        }
        writeln!(
            out,
            "\n{:>6}  {:>8}  {:>8}  {:>8}  {:>10}",
            "server", "slots", "arc", "share", "share/mean"
        )?;
        let mean = 1.0 / self.share.len() as f64;
        for (server, share) in &self.share {
            let seats = self.slots.iter().filter(|seat| **seat == Some(*server)).count();
            let (arc, share, load) = (self.arcs[server] * 100.0, share * 100.0, share / mean);
            writeln!(out, "{server:>6}  {seats:>8}  {arc:>7.3}%  {share:>7.3}%  {load:>10.3}")?;
        }
        if let Some(most) = self.share.values().copied().reduce(f64::max) {
            writeln!(out, "\nbusiest/mean {:.3} (of the ids 100000 to 999999)", most / mean)?;
        }
        self.write_routes(out)
    }

    fn write_routes(&self, out: &mut impl Write) -> std::io::Result<()> {
        if self.routes.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{:>19}  {:>8}  order of servers", "id", "slot")?;
        for Routed { id, slot, order, .. } in &self.routes {
            let order: Vec<String> = order.iter().map(u16::to_string).collect();
            writeln!(out, "{id:>19}  {slot:>8}  {}", order.join(" "))?;
        }
        Ok(())
    }
}

/// For each server's number the part of `positions` that are its.
fn parts(ring: &Ring, positions: impl Iterator<Item = usize>) -> BTreeMap<u16, f64> {
    let (mut counts, mut all) = (vec![0_u32; ring.members().len()], 0_u32);
    for position in positions {
        counts[position] += 1;
        all += 1;
    }
    let part = |(member, count): (&Member, u32)| (member.number.get(), f64::from(count) / f64::from(all));
    ring.members().iter().zip(counts).map(part).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        ring: RingArgs,
    }

    fn printed(line: &str) -> anyhow::Result<String> {
        let args = Line::try_parse_from(std::iter::once("ring").chain(line.split_whitespace()))?.ring;
        let mut out = Vec::new();
        run(args, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn the_json_has_the_slots_arcs_share_and_routes() {
        let text = printed("--preset assignment --route 132574,999999 --json").expect("a ring");
        let picture: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(picture["slots"].as_array().expect("an array").len(), 512);
        assert_eq!(picture["slots"][29], json!(1), "Φ(1, 1) is 29");
        assert_eq!(picture["slots"][28], Value::Null);
        let route = &picture["routes"][0];
        assert_eq!(route["slot"], json!(81));
        assert_eq!(route["server"], route["order"][0]);
        for part in ["arcs", "share"] {
            let parts = picture[part].as_object().expect("an object").values();
            assert!((parts.filter_map(Value::as_f64).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_set_beside_a_preset_overrides_it() {
        let line = "ring --preset assignment --virtual full --slack 0.5 --hash prime --slots 600 --probing quadratic";
        let spec = Line::parse_from(line.split(' ')).ring.spec.spec().expect("valid");
        let text = format!("{} {} {} {} {}", spec.slots, spec.placement, spec.probing, spec.hash, spec.slack);
        assert_eq!(text, "600 full quadratic prime 0.5");
        assert_eq!(SpecArgs::default().spec(), Ok(Spec::default()));
    }

    #[test]
    fn more_servers_than_fit_are_an_error_that_says_how_many_do() {
        let error = printed("--preset assignment --servers 57").expect_err("56 fit").to_string();
        assert_eq!(error, "57 servers, but at most 56 of weight 1 fit");
    }

    #[test]
    fn a_server_gets_its_weight_s_part() {
        let text = printed("--servers 3 --weights 2 --json").expect("a ring");
        let picture: Value = serde_json::from_str(&text).expect("JSON");
        let share = picture["share"]["1"].as_f64().expect("a part");
        assert!((0.48..0.52).contains(&share), "{share}");
        for wrong in ["--weights 0", "--weights 101", "--weights x", "--servers 1 --weights 1,1"] {
            printed(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn a_ring_without_servers_is_shown_too() {
        assert!(printed("--servers 0 --slots 9 --route 5").expect("a ring").contains("order of servers"));
        let json = printed("--servers 0 --slots 1 --route 5 --json").expect("a ring");
        let expected =
            r#"{"slots":[null],"arcs":{},"share":{},"routes":[{"id":5,"slot":0,"server":null,"order":[]}]}"#;
        assert_eq!(json.trim_end(), expected);
    }
}
