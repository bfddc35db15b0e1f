//! The same load on all policies, in simulated time: what they make of keys of which some are wanted far more than others,
//! and of a replica that is slow. `--nocapture` shows the table.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Kind, Policy, Request, Settings};
use crate::{
    name::{InstanceId, Number},
    ring::{Member, Ring, Spec, Weight},
    table::{InFlight, PoolId, Published, Replica, Table},
};

const REPLICAS: u16 = 10;
/// Each has one request in flight all the time: 25 for each replica.
const CLIENTS: usize = 250;
/// Requests that a replica works on at a time; the others wait there.
const WORKERS: usize = 16;
/// How long one takes on average, in microseconds; at the slow replica five times that.
const WORK: f64 = 10_000.0;
const KEYS: usize = 10_000;
const REQUESTS: usize = 40_000;
/// Those before, which are not looked at: until the policies know what there is to know.
const WARM_UP: usize = 5_000;

/// What came of a policy.
#[derive(Debug)]
struct Outcome {
    /// The most in flight at one replica at a dispatch, as a multiple of the mean: the worst of all dispatches, and on average.
    worst: f64,
    average: f64,
    /// In milliseconds.
    p50: f64,
    p99: f64,
    /// Requests a second.
    rate: f64,
}

/// Who works on what, and what was seen.
struct World {
    published: Published,
    replicas: Vec<Arc<Replica>>,
    rng: StdRng,
    /// The sums of the keys' parts: the first is wanted n times as often as the n-th (Zipf).
    zipf: Vec<f64>,
    /// When each worker of each replica is free, in microseconds.
    workers: Vec<BinaryHeap<Reverse<u64>>>,
    /// When what is in flight ends, and since when it is.
    ends: BinaryHeap<Reverse<(u64, usize, u64)>>,
    claims: BTreeMap<usize, InFlight>,
    ratios: Vec<f64>,
    latencies: Vec<u64>,
}

const POOL: PoolId = PoolId(0);

impl World {
    fn new(kind: Kind) -> Self {
        let number = |number| Number::new(number).unwrap();
        let members: Vec<Member> =
            (1..=REPLICAS).map(|n| Member { number: number(n), weight: Weight::ONE }).collect();
        let replica = |n: u16| {
            let (name, instance) = (format!("Server-{n}").parse().unwrap(), InstanceId::from_bits(n.into()));
            Arc::new(Replica::new(name, number(n), instance, SocketAddr::from(([127, 0, 0, 1], n))))
        };
        let replicas: Vec<_> = (1..=REPLICAS).map(replica).collect();
        let ring = Arc::new(Ring::build(&members, &Spec::default()).unwrap());
        let policy = Policy::new(&Settings { kind, ..Settings::default() });
        let table = Table::new(ring, replicas.iter().cloned().map(Some).collect()).shared(policy, usize::MAX);
        let parts = (1..=KEYS).scan(0.0, |sum, n| {
            *sum += 1.0 / n as f64;
            Some(*sum)
        });
        let published = Published::new(0);
        published.publish(POOL, table);
        World {
            published,
            replicas,
            rng: StdRng::seed_from_u64(1),
            zipf: parts.collect(),
            workers: vec![(0..WORKERS).map(|_| Reverse(0)).collect(); REPLICAS.into()],
            ends: BinaryHeap::new(),
            claims: BTreeMap::new(),
            ratios: Vec::new(),
            latencies: Vec::new(),
        }
    }

    /// A client sends its next request.
    fn dispatch(&mut self, client: usize, now: u64) {
        let wanted = self.rng.random_range(0.0..self.zipf[KEYS - 1]);
        let id = 100_000 + self.zipf.partition_point(|sum| *sum <= wanted) as u64;
        let request = Request { id, now: Duration::from_micros(now), rng: &mut self.rng };
        let claim = self.published.claim(POOL, request, None, &[]).unwrap();
        let at = usize::from(claim.replica().number.get()) - 1;
        let in_flight: Vec<usize> = self.replicas.iter().map(|replica| replica.in_flight()).collect();
        let (most, all) = (in_flight.iter().max().unwrap(), in_flight.iter().sum::<usize>());
        self.ratios.push(*most as f64 * f64::from(REPLICAS) / all as f64);
        let chance: f64 = self.rng.random();
        let work = -(1.0 - chance).ln() * if at == 0 { 5.0 * WORK } else { WORK };
        let Reverse(free) = self.workers[at].pop().unwrap();
        let end = now.max(free) + work as u64;
        self.workers[at].push(Reverse(end));
        self.ends.push(Reverse((end, client, now)));
        self.claims.insert(client, claim);
    }

    fn run(mut self) -> Outcome {
        (0..CLIENTS).for_each(|client| self.dispatch(client, 0));
        let mut begun = 0;
        for done in 0..WARM_UP + REQUESTS {
            let Reverse((now, client, since)) = self.ends.pop().unwrap();
            let claim = self.claims.remove(&client).unwrap();
            if claim.is_measured() {
                let took = Duration::from_micros(now - since);
                claim.replica().load().latency().note(took, Duration::from_micros(now));
            }
            drop(claim);
            self.latencies.push(now - since);
            if done == WARM_UP {
                (self.ratios, self.latencies, begun) = (Vec::new(), Vec::new(), now);
            }
            self.dispatch(client, now);
        }
        let seconds = (self.ends.peek().unwrap().0.0 - begun) as f64 / 1e6;
        self.latencies.sort_unstable();
        let quantile = |part: f64| self.latencies[(self.latencies.len() as f64 * part) as usize] as f64 / 1e3;
        Outcome {
            worst: self.ratios.iter().copied().fold(0.0, f64::max),
            average: self.ratios.iter().sum::<f64>() / self.ratios.len() as f64,
            p50: quantile(0.5),
            p99: quantile(0.99),
            rate: REQUESTS as f64 / seconds,
        }
    }
}

#[test]
fn bounded_loads_stay_bounded_where_keys_are_uneven_and_a_replica_is_slow() {
    println!("{:21} busiest/mean: worst, average      p50      p99  requests/s", "");
    let run = |kind: &Kind| {
        let outcome = World::new(*kind).run();
        let Outcome { worst, average, p50, p99, rate } = outcome;
        println!("{:21} {worst:19.2} {average:8.2} {p50:6.1}ms {p99:6.1}ms {rate:11.0}", kind.to_string());
        (kind.to_string(), outcome)
    };
    let outcomes: BTreeMap<String, Outcome> = Kind::ALL.iter().map(run).collect();
    let of = |kind: Kind| &outcomes[&kind.to_string()];
    assert!(of(Kind::BoundedRing).worst <= 1.30, "{outcomes:?}");
    assert!(of(Kind::Ring).worst > 2.0, "what is bounded would not be so by itself");
    for by_load in [Kind::LeastRequests, Kind::PowerOfTwo, Kind::Ewma] {
        assert!(of(by_load).p99 < of(Kind::RoundRobin).p99, "{by_load}: {outcomes:?}");
    }
}
