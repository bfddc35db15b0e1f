//! How fast requests come and answers go: looked at once a second.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{clock::now, reconcile::Fleet};
use crate::{
    name::Name,
    table::{Replica, Spread},
};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long a window of times is; what is known is of one to two of them.
const WINDOW: Duration = Duration::from_secs(60);
/// Answers that have to be known before it is known which of them are slow.
const ENOUGH: u64 = 100;

/// When it was looked at last, and what comes next.
#[derive(Debug)]
pub(super) struct Pace {
    looked: Instant,
    turned: Instant,
}

impl Pace {
    /// Not looked at yet.
    pub(super) fn new() -> Self {
        Pace { looked: now(), turned: now() }
    }

    /// When the next look is due.
    pub(super) fn due(&self) -> Instant {
        self.looked + LOOK
    }
}

impl Fleet {
    /// Takes note of how fast each replica is, forgets what is long ago, and tells requests after which time an answer
    /// counts as slow.
    pub(super) fn keep_pace(&mut self, now: Instant) {
        if now < self.pace.due() {
            return;
        }
        let since = now.saturating_duration_since(self.pace.looked);
        self.pace.looked = now;
        let turns = now.saturating_duration_since(self.pace.turned) >= WINDOW;
        if turns {
            self.pace.turned = now;
        }
        let mut all = Spread::default();
        for replica in self.replicas.values() {
            let times = replica.times();
            times.pace(replica.load().flow().dispatched(), since);
            if turns {
                times.turn();
            }
            all += &times.read();
        }
        self.table.set_slow(all.quantile(0.95).filter(|_| all.total() >= ENOUGH));
        if self.departed.has_final() {
            self.add_departed([]);
        }
    }

    /// Lets go of replicas that no request gets any more; what they did stays counted.
    pub(super) fn let_go(&mut self, gone: Vec<Arc<Replica>>) {
        if !gone.is_empty() {
            self.add_departed(gone);
        }
    }

    fn add_departed(&mut self, gone: impl IntoIterator<Item = Arc<Replica>>) {
        let desired: HashSet<&Name> = self.desired.wants().iter().map(|want| &want.name).collect();
        self.departed = Arc::new(self.departed.and(gone, |name| desired.contains(name)));
    }
}
