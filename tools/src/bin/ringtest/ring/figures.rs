//! The charts of `ringtest ring`.

use ringkeeper::ring::{Hash, Spec, Virtual};
use ringkeeper_tools::{
    chart::{
        Caption, Ink,
        heat::{Grid, Heat},
        lines::{Lines, Panel, Series, Stroke},
        scale::{Scale, number},
    },
    csv,
    folder::Folder,
    survey::{Answers, Move, Row, Survey, owners, shares},
};

use super::{numbers, placement};

/// How many slots a map shows, and how many in a row.
const MAPPED: usize = 512;
const ACROSS: usize = 32;

/// Writes them, with all numbers beside each.
pub fn keep(folder: &mut Folder, survey: &Survey, answers: &Answers, map: u16) -> anyhow::Result<()> {
    let rows = &answers.rows;
    let numbers = numbers(rows);
    folder.json("ring.json", &rows)?;
    let over = |change: Option<Move>| change.map(|change| change.ratio());
    let balance = Question {
        title: "How much more than its share the busiest server gets",
        what: "The busiest server's keys over the mean, by hash; 1 is a perfect balance",
        axis: "busiest/mean",
        value: |row: &Row| Some(row.max_over_mean),
    };
    let join = Question {
        title: "What moves when a server joins",
        what: "Keys moved over the least possible (what the newcomer gets), by hash; 1 is nothing in vain",
        axis: "moved/least",
        value: |row: &Row| over(row.join),
    };
    let leave = Question {
        title: "What moves when a server leaves",
        what: "Keys moved over the least possible (what the leaving one had), by hash; 1 is nothing in vain",
        axis: "moved/least",
        value: |row: &Row| over(row.leave),
    };
    if survey.servers.len() > 1 {
        folder.chart("ring-balance", &balance.draw(survey, rows), &numbers)?;
        folder.chart("ring-join", &join.draw(survey, rows), &numbers)?;
        folder.chart("ring-leave", &leave.draw(survey, rows), &numbers)?;
    } else {
        folder.file("ring.csv", &numbers)?;
    }
    let (heat, cells) = map_of(survey, answers, map)?;
    folder.chart("ring-slots", &heat.draw(), &cells)
}

/// A number of a row, as lines over the number of servers.
struct Question<F> {
    title: &'static str,
    what: &'static str,
    axis: &'static str,
    value: F,
}

impl<F: Fn(&Row) -> Option<f64>> Question<F> {
    fn draw(&self, survey: &Survey, rows: &[Row]) -> ringkeeper_tools::chart::Canvas {
        let values = || rows.iter().filter_map(&self.value).filter(|value| value.is_finite());
        let y = Scale::logarithmic(1.0, values().fold(2.0, f64::max));
        let mut hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
        hashes.dedup();
        hashes.sort_by_key(|hash| survey.specs.iter().position(|spec| spec.hash.to_string() == **hash));
        hashes.dedup();
        let mut rings: Vec<String> = Vec::new();
        for row in rows {
            let ring = placement(row);
            if !rings.contains(&ring) {
                rings.push(ring);
            }
        }
        let mut servers: Vec<f64> = survey.servers.iter().map(|servers| f64::from(*servers)).collect();
        servers.sort_by(f64::total_cmp);
        let panel = |hash: &&str| Panel {
            title: (*hash).to_owned(),
            note: String::new(),
            y: y.clone(),
            y_title: self.axis.into(),
            series: rings
                .iter()
                .enumerate()
                .map(|(index, ring)| self.series(rows, hash, ring, index))
                .collect(),
        };
        Lines {
            caption: Caption {
                title: self.title.into(),
                subtitle: format!("{}. {} keys.", self.what, number(survey.keys as f64)),
                source: format!(
                    "ringtest ring, seed {}; a line ends where the servers no longer fit on its slots",
                    survey.seed
                ),
            },
            x: Scale::logarithmic_at(&servers),
            x_title: "servers".into(),
            panels: hashes.iter().map(panel).collect(),
        }
        .draw()
    }

    fn series(&self, rows: &[Row], hash: &str, ring: &str, index: usize) -> Series {
        const INKS: [u8; 6] = [3, 4, 1, 2, 0, 7];
        let of = rows.iter().filter(|row| row.hash == hash && placement(row) == ring);
        let mut points: Vec<(f64, f64)> =
            of.filter_map(|row| Some((f64::from(row.servers), (self.value)(row)?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series {
            label: ring.to_owned(),
            ink: Ink::Series(INKS[index % INKS.len()]),
            stroke: Stroke::Points(index),
            points,
        }
    }
}

/// A map of the slots: what falls on them, and who owns them.
fn map_of(survey: &Survey, answers: &Answers, servers: u16) -> anyhow::Result<(Heat, String)> {
    let (mut keys, mut whose, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for spec in mapped(survey, servers) {
        let owners = owners(1..=servers, &spec)?;
        let tally = answers.tally(survey, &spec);
        let counts = shares(servers, &owners, &tally);
        let mean = tally.iter().sum::<u64>() as f64 / f64::from(servers);
        let load = |owner: u16| counts[usize::from(owner) - 1] as f64 / mean;
        let title = format!("{}, {}", spec.hash, ring_words(&spec));
        let per_slot = tally.iter().sum::<u64>() as f64 / tally.len() as f64;
        let reached = tally.iter().filter(|count| **count > 0).count();
        let shown = || tally.iter().zip(&owners).take(MAPPED);
        keys.push(Grid {
            title: title.clone(),
            note: match tally.len() {
                MAPPED => format!("keys fall on {reached} of {MAPPED} slots"),
                slots => format!("first {MAPPED} of {} slots", number(slots as f64)),
            },
            cells: shown().map(|(count, _)| heat(*count as f64 / per_slot)).collect(),
        });
        let few = servers <= 8;
        let ink = |owner: u16| if few { Ink::replica(owner, servers.into()) } else { heat(load(owner)) };
        let busiest = (1..=servers).map(load).fold(0.0, f64::max);
        whose.push(Grid {
            title,
            note: format!("busiest/mean {busiest:.3}"),
            cells: shown().map(|(_, owner)| ink(*owner)).collect(),
        });
        cells.extend((0..).zip(shown()).map(|(slot, (count, owner)): (u32, _)| {
            [
                spec.hash.to_string(),
                spec.slots.to_string(),
                spec.placement.to_string(),
                slot.to_string(),
                count.to_string(),
                owner.to_string(),
            ]
        }));
    }
    let few = servers <= 8;
    let owners_title = if few { "Who owns each slot" } else { "How busy the owner of each slot is" };
    let legend = |number: u16| (format!("server {number}"), Ink::replica(number, servers.into()));
    let heat = Heat {
        caption: Caption {
            title: format!("The slots of {servers} servers"),
            subtitle: format!(
                "{} keys. Each square is a slot, row after row. A server gets the keys of the slots that it owns.",
                number(survey.keys as f64)
            ),
            source: format!("ringtest ring, seed {}", survey.seed),
        },
        legend: if few { (1..=servers).map(legend).collect() } else { Vec::new() },
        ramp: (
            "1/16 of the mean or less".into(),
            "16 times the mean or more (no colour: none at all)".into(),
        ),
        across: ACROSS,
        rows: vec![("How many keys fall on each slot".into(), keys), (owners_title.into(), whose)],
    };
    Ok((heat, csv::text(&["hash", "slots", "virtual", "slot", "keys", "owner"], cells)))
}

/// The rings of the map: each hash as the assignment has it where that many servers fit, and the default last.
fn mapped(survey: &Survey, servers: u16) -> Vec<Spec> {
    let assignment = Spec::assignment();
    let base = if usize::from(servers) <= assignment.capacity() {
        assignment
    } else {
        Spec { placement: Virtual::Count(9), ..Spec::default() }
    };
    let mut hashes: Vec<Hash> = Vec::new();
    for spec in &survey.specs {
        if !hashes.contains(&spec.hash) {
            hashes.push(spec.hash);
        }
    }
    hashes.truncate(3);
    let mut specs: Vec<Spec> = hashes.into_iter().map(|hash| Spec { hash, ..base.clone() }).collect();
    specs.push(Spec::default());
    specs
}

fn ring_words(spec: &Spec) -> String {
    match spec.placement {
        Virtual::Full => "full".into(),
        Virtual::Count(count) => format!("K = {count}"),
    }
}

/// The colour of a ratio to the mean: a level for each doubling.
fn heat(ratio: f64) -> Ink {
    if ratio <= 0.0 { Ink::Empty } else { Ink::Heat((4.0 + ratio.log2()).round().clamp(0.0, 8.0) as u8) }
}
