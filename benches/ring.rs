//! How long a ring takes: to find a key's first replica, which every request waits for, and to be built, which every change
//! waits for. `cargo bench --bench ring`, perhaps with a part of a name.

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringkeeper::{
    name::Number,
    ring::{Hash, Member, Ring, Spec, Weight},
};

/// How many ids are looked up in a turn: more than the processor could learn by heart.
const IDS: u64 = 4096;

fn members(count: u16) -> Vec<Member> {
    let numbers = (1..=count).map(|number| Number::new(number).expect("not 0"));
    numbers.map(|number| Member { number, weight: Weight::ONE }).collect()
}

/// At the default slots, with each hash: the time is that of one lookup of an id that nobody knew before.
fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    let mixed = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
    let ids: Vec<u64> = (1..=IDS).map(mixed).collect();
    for hash in [Hash::QUADRATIC, Hash::PRIME, Hash::Sha256, Hash::Xxh3] {
        let spec = Spec { hash, ..Spec::default() };
        let ring = Ring::build(&members(3), &spec).expect("a ring");
        let mut next = ids.iter().cycle();
        group.bench_function(hash.to_string(), |bencher| {
            let id = || *next.next().expect("they have no end");
            bencher.iter_batched(id, |id| ring.route(black_box(id)).next(), BatchSize::SmallInput);
        });
    }
}

/// At the default slots, every slot with an owner of its own.
fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for count in [3, 100, 1_000] {
        let members = members(count);
        group.bench_function(count.to_string(), |bencher| {
            bencher.iter(|| Ring::build(black_box(&members), &Spec::default()).expect("a ring"));
        });
    }
}

criterion_group!(benches, lookup, build);
criterion_main!(benches);
