//! The real loop on the fake engine, in virtual time: seeded schedules of everything that can go wrong, and what has
//! to hold throughout and in the end.
//!
//! `make test` runs 10,000 of them. `RINGKEEPER_SCHEDULES=10000` does so by hand, `RINGKEEPER_SCHEDULES=17..18` just this one;
//! `RINGKEEPER_LOG=debug` tells what its balancers thought.

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

mod balancer;
mod calls;
mod schedule;
mod state;
mod stories;
mod witness;

/// The seeds that a plain `cargo test` runs.
const SEEDS: Range<u64> = 0..1000;

#[test]
fn whatever_happens_no_rule_is_broken_and_the_desired_set_is_reached() {
    let seeds = asked().unwrap_or(SEEDS);
    if std::env::var_os("RINGKEEPER_LOG").is_some() {
        crate::telemetry::start();
    }
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds.end) {
            if let Err(what) = std::panic::catch_unwind(|| schedule::run(seed)) {
                let said = what.downcast_ref::<String>().cloned();
                failed.lock().unwrap().push((seed, said.unwrap_or_else(|| "see above".into())));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| _ = scope.spawn(work));
    });
    let failed = failed.into_inner().unwrap();
    let shown: Vec<_> = failed.iter().take(5).map(|(seed, said)| format!("seed {seed}: {said}")).collect();
    assert!(failed.is_empty(), "{} of {seeds:?} failed:\n{}", failed.len(), shown.join("\n"));
}

/// The seeds that the environment asks for: a number of them, or `FIRST..END`.
fn asked() -> Option<Range<u64>> {
    let text = std::env::var("RINGKEEPER_SCHEDULES").ok()?;
    let (first, end) = text.split_once("..").unwrap_or(("0", &text));
    Some(first.parse().expect("a first seed")..end.parse().expect("an end of the seeds"))
}
