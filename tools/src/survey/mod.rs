//! The ring alone, without servers: how evenly it shares many keys among many servers, and how many move when one comes
//! or goes. Pure but for its threads.
//!
//! A key is nothing to a ring but the slot that it falls on, so the keys are drawn once for each hash and number of slots
//! (`keys`), and every question after that is about slots that weigh as much as their keys.

mod keys;
mod parallel;

use std::collections::BTreeMap;

use ringkeeper::{
    name::Number,
    ring::{Member, Ring, RingError, Spec, Virtual, Weight},
};
use serde::Serialize;

pub use self::keys::Kind;
use crate::stats;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Survey {
    /// How many servers there are, each number a question of its own.
    pub servers: Vec<u16>,
    /// The rings.
    pub specs: Vec<Spec>,
    /// How many keys are drawn.
    pub keys: u64,
    /// Which.
    pub kind: Kind,
    /// What they are drawn from.
    pub seed: u64,
    /// How many threads work.
    pub threads: usize,
}

/// What one ring does with so many servers. Ratios are of 1.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// How many servers.
    pub servers: u16,
    /// Slots.
    pub slots: u32,
    /// Virtual servers, or `full`.
    #[serde(rename = "virtual")]
    pub placement: String,
    /// `linear` or `quadratic`; empty with `full`.
    pub probing: String,
    /// With `full`, how much more than its share a server may own; else 0.
    pub slack: f64,
    /// The hash.
    pub hash: String,
    /// The keys of each server, by number.
    #[serde(skip)]
    pub counts: Vec<u64>,
    /// The busiest server's keys over the mean.
    pub max_over_mean: f64,
    /// The idlest server's keys over the mean.
    pub min_over_mean: f64,
    /// The standard deviation over the mean.
    pub deviation_over_mean: f64,
    /// The busiest server's slots over the mean.
    pub slots_max_over_mean: f64,
    /// When a server joins: the keys that move, over those that it gets.
    pub join: Option<Move>,
    /// When the server in the middle leaves: the keys that move, over those that it had.
    pub leave: Option<Move>,
}

/// What a change of the servers moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Move {
    /// The part of all keys that moves.
    pub moved: f64,
    /// The least possible: what the newcomer gets, or what the leaving one had.
    pub least: f64,
}

impl Move {
    /// Moved over least; 1 where nothing had to move and nothing did.
    pub fn ratio(&self) -> f64 {
        if self.moved == self.least { 1.0 } else { self.moved / self.least }
    }
}

/// A ring and a number of servers that do not go together, and why.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// How many servers.
    pub servers: u16,
    /// The ring.
    pub spec: Spec,
    /// What is wrong.
    pub why: RingError,
}

/// What a survey found.
#[derive(Clone, Debug)]
pub struct Answers {
    /// In the order of servers and specs.
    pub rows: Vec<Row>,
    /// What has no row.
    pub misfits: Vec<Misfit>,
    /// By hash and number of slots.
    tallies: BTreeMap<(String, u32), Vec<u64>>,
}

impl Answers {
    /// How many keys fall on each slot of this spec, of the keys of the survey that this is the answer to.
    pub fn tally(&self, survey: &Survey, spec: &Spec) -> Vec<u64> {
        let drawn =
            || sum(&parallel::each(&survey.chunks(spec), survey.threads, |draw| survey.draw(draw), || ()));
        self.tallies.get(&key(spec)).cloned().unwrap_or_else(drawn)
    }
}

impl Survey {
    /// All answers. `step` hears of each piece of work that is done, of which there are [`Survey::steps`].
    pub fn run(&self, step: impl Fn() + Sync) -> Answers {
        let tallies = self.tallies(&step);
        let answer = |(servers, group): &(u16, Vec<usize>)| self.answers(*servers, group, &tallies);
        let answers = parallel::each(&self.jobs(), self.threads, answer, &step);
        let (mut rows, mut misfits) = (Vec::new(), Vec::new());
        for (servers, index, answer) in answers.into_iter().flatten() {
            match answer {
                Ok(row) => rows.push((servers, index, row)),
                Err(why) => misfits.push(Misfit { servers, spec: self.specs[index].clone(), why }),
            }
        }
        rows.sort_by_key(|(servers, index, _)| (*servers, *index));
        misfits.sort_by_key(|misfit| misfit.servers);
        Answers { rows: rows.into_iter().map(|(_, _, row)| row).collect(), misfits, tallies }
    }

    /// How many pieces of work there are.
    pub fn steps(&self) -> u64 {
        (self.draws().len() + self.jobs().len()) as u64
    }

    fn tallies(&self, step: &(impl Fn() + Sync)) -> BTreeMap<(String, u32), Vec<u64>> {
        let draws = self.draws();
        let drawn = parallel::each(&draws, self.threads, |draw| self.draw(draw), step);
        let mut parts = BTreeMap::<(String, u32), Vec<Vec<u32>>>::new();
        for (draw, counts) in draws.iter().zip(drawn) {
            parts.entry(key(&draw.spec)).or_default().push(counts);
        }
        parts.into_iter().map(|(key, parts)| (key, sum(&parts))).collect()
    }

    /// The keys in chunks, for each hash and number of slots.
    fn draws(&self) -> Vec<Draw> {
        let different: BTreeMap<(String, u32), &Spec> =
            self.specs.iter().map(|spec| (key(spec), spec)).collect();
        different.into_values().flat_map(|spec| self.chunks(spec)).collect()
    }

    fn chunks(&self, spec: &Spec) -> Vec<Draw> {
        let count = |chunk| keys::CHUNK.min(self.keys - chunk * keys::CHUNK);
        let draw = |chunk| Draw { spec: spec.clone(), chunk, count: count(chunk) };
        (0..self.keys.div_ceil(keys::CHUNK)).map(draw).collect()
    }

    fn draw(&self, draw: &Draw) -> Vec<u32> {
        let Draw { spec, chunk, count } = draw;
        keys::tally(spec.hash, spec.slots, self.kind, self.seed, *chunk, *count).unwrap_or_default()
    }

    /// Numbers of servers, the largest first, each with specs whose servers own the same slots.
    fn jobs(&self) -> Vec<(u16, Vec<usize>)> {
        let mut groups = BTreeMap::<String, Vec<usize>>::new();
        for (index, spec) in self.specs.iter().enumerate() {
            let Spec { slots, placement, probing, hash, slack } = spec;
            let owners = match placement {
                Virtual::Full => format!("{slots} {slack}"),
                Virtual::Count(count) => format!("{slots} {count} {probing} {hash}"),
            };
            groups.entry(owners).or_default().push(index);
        }
        let mut servers = self.servers.clone();
        servers.sort_unstable_by(|a, b| b.cmp(a));
        servers.iter().flat_map(|n| groups.values().map(|group| (*n, group.clone()))).collect()
    }

    fn answers(
        &self,
        servers: u16,
        group: &[usize],
        tallies: &BTreeMap<(String, u32), Vec<u64>>,
    ) -> Vec<(u16, usize, Result<Row, RingError>)> {
        let Some(first) = group.first().map(|index| &self.specs[*index]) else { return Vec::new() };
        match Owners::of(servers, first) {
            Err(why) => group.iter().map(|index| (servers, *index, Err(why))).collect(),
            Ok(owners) => {
                let row = |index: &usize| {
                    let spec = &self.specs[*index];
                    (servers, *index, Ok(owners.row(servers, spec, &tallies[&key(spec)])))
                };
                group.iter().map(row).collect()
            }
        }
    }
}

/// A chunk of keys to draw.
struct Draw {
    spec: Spec,
    chunk: u64,
    count: u64,
}

/// What decides on which slot a key falls.
fn key(spec: &Spec) -> (String, u32) {
    (spec.hash.to_string(), spec.slots)
}

fn sum(parts: &[Vec<u32>]) -> Vec<u64> {
    let mut total = vec![0; parts.first().map_or(0, Vec::len)];
    for part in parts {
        for (total, count) in total.iter_mut().zip(part) {
            *total += u64::from(*count);
        }
    }
    total
}

/// The number of each slot's owner: now, with one more server, and without the one in the middle.
struct Owners {
    now: Vec<u16>,
    joined: Option<Vec<u16>>,
    left: Option<Vec<u16>>,
}

impl Owners {
    fn of(servers: u16, spec: &Spec) -> Result<Self, RingError> {
        let (newcomer, middle) = (servers.saturating_add(1), middle(servers));
        Ok(Owners {
            now: owners(1..=servers, spec)?,
            joined: owners(1..=newcomer, spec).ok().filter(|_| newcomer > servers),
            left: if servers > 1 { owners((1..=servers).filter(|n| *n != middle), spec).ok() } else { None },
        })
    }

    /// The row of slots that weigh as much as their keys.
    fn row(&self, servers: u16, spec: &Spec, keys: &[u64]) -> Row {
        let counts = shares(servers, &self.now, keys);
        let slots = shares(servers, &self.now, &vec![1; keys.len()]);
        let (mean, all) = (stats::mean(&counts), keys.iter().sum::<u64>().max(1) as f64);
        let part = |count: u64| count as f64 / all;
        let moved = |after: &[u16]| {
            let differ = self.now.iter().zip(after).zip(keys).filter(|((now, then), _)| now != then);
            part(differ.map(|(_, keys)| keys).sum())
        };
        let full = spec.placement == Virtual::Full;
        let gets = |owners: &[u16], number: u16| {
            part(owners.iter().zip(keys).filter(|(owner, _)| **owner == number).map(|(_, keys)| keys).sum())
        };
        Row {
            servers,
            slots: spec.slots,
            placement: spec.placement.to_string(),
            probing: if full { String::new() } else { spec.probing.to_string() },
            slack: if full { f64::from(spec.slack.millionths()) / 1e6 } else { 0.0 },
            hash: spec.hash.to_string(),
            max_over_mean: stats::busiest_to_mean(&counts),
            min_over_mean: counts.iter().min().copied().unwrap_or_default() as f64
                / mean.max(f64::MIN_POSITIVE),
            deviation_over_mean: stats::standard_deviation(&counts) / mean.max(f64::MIN_POSITIVE),
            slots_max_over_mean: stats::busiest_to_mean(&slots),
            join: self
                .joined
                .as_ref()
                .map(|after| Move { moved: moved(after), least: gets(after, servers + 1) }),
            leave: self
                .left
                .as_ref()
                .map(|after| Move { moved: moved(after), least: gets(&self.now, middle(servers)) }),
            counts,
        }
    }
}

/// The server that leaves.
fn middle(servers: u16) -> u16 {
    servers.div_ceil(2)
}

/// For each slot the number of its owner.
pub fn owners(numbers: impl Iterator<Item = u16>, spec: &Spec) -> Result<Vec<u16>, RingError> {
    let member = |number| Member { number, weight: Weight::ONE };
    let members: Vec<Member> = numbers.filter_map(Number::new).map(member).collect();
    let ring = Ring::build(&members, spec)?;
    let owner = |slot| ring.owner(slot).map_or(0, |position| ring.members()[position].number.get());
    Ok((0..spec.slots).map(owner).collect())
}

/// The keys of servers 1 to `servers`.
pub fn shares(servers: u16, owners: &[u16], keys: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; usize::from(servers) + 1];
    for (owner, keys) in owners.iter().zip(keys) {
        counts[usize::from(*owner)] += keys;
    }
    counts.split_off(1)
}

#[cfg(test)]
mod tests {
    use ringkeeper::ring::{Hash, Slack};

    use super::*;

    fn survey(servers: &[u16], specs: Vec<Spec>, keys: u64) -> Survey {
        Survey { servers: servers.into(), specs, keys, kind: Kind::Any, seed: 1, threads: 3 }
    }

    fn rows(survey: &Survey) -> Vec<Row> {
        let answers = survey.run(|| ());
        assert!(answers.misfits.is_empty(), "{:?}", answers.misfits);
        answers.rows
    }

    #[test]
    fn the_default_rings_slots_are_shared_and_moved_as_measured() {
        let rows = rows(&survey(&[10, 32, 100], vec![Spec::default()], 1));
        let leave = |spec: &Spec, servers| {
            let owners = Owners::of(servers, spec).expect("fits");
            let row = owners.row(servers, spec, &vec![1; spec.slots as usize]);
            row.leave.expect("one may leave").ratio()
        };
        for (row, (busiest, moved)) in rows.iter().zip([(1.010, 1.000), (1.010, 1.010), (1.010, 1.058)]) {
            assert!((row.slots_max_over_mean - busiest).abs() < 0.0015, "{} servers: {row:?}", row.servers);
            let found = leave(&Spec::default(), row.servers);
            assert!((found - moved).abs() < 0.015, "{} servers: {found} for {moved}", row.servers);
        }
        let even = Spec { slots: 65_537, slack: Slack::ZERO, ..Spec::default() };
        let found = leave(&even, 32);
        assert!((found - 1.095).abs() < 0.02, "{found} for 1.095");
    }

    #[test]
    fn the_assignments_rings_are_as_uneven_as_published() {
        let spec = |hash| Spec { hash, ..Spec::assignment() };
        let hashes = [Hash::QUADRATIC, Hash::PRIME, Hash::Sha256];
        let mut survey = survey(&[3], hashes.map(spec).into(), 1_000_000);
        survey.kind = Kind::SixDigits;
        let published = [[8341.0, 468.0, 1191.0], [2522.0, 4354.0, 3124.0], [2646.0, 3235.0, 4119.0]];
        for (row, published) in rows(&survey).iter().zip(published) {
            for (count, published) in row.counts.iter().zip(published) {
                let part = *count as f64 / 1e6;
                let deviation = (10_000.0 * part * (1.0 - part)).sqrt();
                let distance = (part * 1e4 - published).abs();
                assert!(distance < 4.0 * deviation, "{}: {part} for {published}", row.hash);
            }
        }
    }

    #[test]
    fn a_ring_of_virtual_servers_moves_no_more_than_it_must() {
        let spec = Spec { slots: 1 << 20, placement: Virtual::Count(160), ..Spec::default() };
        let rows = rows(&survey(&[10], vec![spec], 100_000));
        for change in [rows[0].join, rows[0].leave] {
            let ratio = change.expect("possible").ratio();
            assert!((1.0..1.01).contains(&ratio), "{ratio}");
        }
        assert!((1.02..1.4).contains(&rows[0].max_over_mean), "{}", rows[0].max_over_mean);
    }

    #[test]
    fn the_answer_does_not_depend_on_the_threads() {
        let one = survey(&[3, 7], vec![Spec::default(), Spec::assignment()], 3_000_000);
        let many = Survey { threads: 5, ..one.clone() };
        let counts = |survey: &Survey| rows(survey).into_iter().map(|row| row.counts).collect::<Vec<_>>();
        assert_eq!(counts(&one), counts(&many));
        assert_eq!(counts(&one)[0].iter().sum::<u64>(), 3_000_000);
    }

    #[test]
    fn servers_that_do_not_fit_are_named() {
        let Answers { rows, misfits, .. } = survey(&[56, 57], vec![Spec::assignment()], 10).run(|| ());
        assert_eq!((rows.len(), misfits.len(), misfits[0].servers), (1, 1, 57));
        assert_eq!(rows[0].join, None, "a 57th does not fit");
    }
}
