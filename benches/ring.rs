//! How long a ring takes: to find a key's first replica, and to claim it, which every request waits for; and to be built,
//! which every change waits for. `cargo bench --bench ring`, perhaps with a part of a name.

use std::{hint::black_box, net::SocketAddr, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rand::{SeedableRng, rngs::StdRng};
use ringkeeper::{
    name::{InstanceId, Number},
    policy::{Kind, Policy, Request, Settings},
    ring::{Hash, Member, Ring, Spec, Weight},
    table::{PoolId, Published, Replica, Table},
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

/// At the default slots, with ten replicas that have nothing to do, by each policy: the time is that of one claim and of its
/// end.
fn claim(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claim");
    let ring = Arc::new(Ring::build(&members(10), &Spec::default()).expect("a ring"));
    let mut rng = StdRng::seed_from_u64(1);
    for kind in Kind::ALL {
        let policy = Policy::new(&Settings { kind: *kind, ..Settings::default() });
        let seats = ring.members().iter().map(replica).collect();
        let table = Table::new(ring.clone(), seats).shared(policy, usize::MAX);
        let (published, pool) = (Published::new(1), PoolId(0));
        published.publish(pool, table);
        let mut id = 0u64;
        group.bench_function(kind.to_string(), |bencher| {
            bencher.iter(|| {
                id = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let request = Request { id: black_box(id >> 1), now: Duration::ZERO, rng: &mut rng };
                drop(published.claim(pool, request, None, &[]));
            });
        });
    }
}

fn replica(member: &Member) -> Option<Arc<Replica>> {
    let (number, name) = (member.number, format!("Server-{}", member.number));
    let address = SocketAddr::from(([127, 0, 0, 1], number.get()));
    let instance = InstanceId::from_bits(number.get().into());
    Some(Arc::new(Replica::new(name.parse().expect("a name"), number, instance, address)))
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

criterion_group!(benches, lookup, claim, build);
criterion_main!(benches);
