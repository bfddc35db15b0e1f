//! What the fleet shows: the table to requests, the view to operators.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use tokio::sync::watch;

use super::{
    clock::now,
    desired::Want,
    lives::Life,
    reconcile::Fleet,
    view::{Line, Others, Row, RowState, Traffic, View},
};
use crate::{
    engine::Instance,
    event::Death,
    name::{InstanceId, Number},
    ring::{Member, Ring, Weight},
    table::Replica,
};

/// Has the cores take note of an epoch that has begun, unless a later one has.
pub fn tell(epochs: &watch::Sender<u64>, epoch: u64) {
    epochs.send_if_modified(|last| {
        let is_later = epoch > *last;
        *last = epoch.max(*last);
        is_later
    });
}

impl Fleet {
    /// Publishes the table if requests would see a difference, and the view.
    pub(super) async fn publish(&mut self) {
        let now = now();
        self.judge(now);
        let members = self.desired.members();
        let ring = self.ring(members).await;
        let seats = ring.members().iter().map(|member| self.seat(member.number)).collect::<Vec<_>>();
        let table = self.table.next(ring, seats).bare(self.desired.is_empty());
        self.tell_requests(&table, now);
        if !table.same_as(&self.table) {
            self.table = table.clone();
            let epoch = self.published.publish(self.pool, table);
            tell(&self.epochs, epoch);
            tracing::debug!(epoch, serving = self.table.serving().count(), "published");
        }
        self.published.serve_waiting(self.pool); // who was suspected or ejected may not be any more
        let epoch = self.published.epoch();
        self.leaving.values_mut().for_each(|left| _ = left.left_at.get_or_insert(epoch));
        self.show();
    }

    /// Publishes the view if it differs.
    pub(super) fn show(&self) {
        let view = Arc::new(self.view_now());
        self.view.send_if_modified(|seen| {
            let differs = **seen != *view;
            if differs {
                *seen = view;
            }
            differs
        });
    }

    /// The ring of these members: the one there is, if it is theirs.
    async fn ring(&self, mut members: Vec<Member>) -> Arc<Ring> {
        members.sort_by_key(|member| member.number);
        let ring = self.table.ring();
        if *members == *ring.members() && *ring.spec() == self.config.ring {
            return ring.clone();
        }
        let ring = self.maker.make(members, self.config.ring.clone()).await;
        Arc::new(ring.expect("additions that the ring has no room for are refused"))
    }

    /// Who serves for this number, if someone does.
    fn seat(&mut self, number: Number) -> Option<Arc<Replica>> {
        let want = self.desired.wants().iter().find(|want| want.number == number && !want.drained)?;
        if !self.health.get(&want.instance)?.health.is_ready() {
            return None;
        }
        let address = self.observed.iter().find(|seen| seen.id == want.instance)?.address()?;
        let known = self.replicas.get(&want.instance).filter(|replica| {
            replica.address == address && replica.number == want.number && replica.name == want.name
        });
        if let Some(replica) = known {
            return Some(replica.clone());
        }
        let replica = Arc::new(Replica::new(want.name.clone(), want.number, want.instance.clone(), address));
        let moved = self.replicas.insert(want.instance.clone(), replica.clone());
        self.let_go(moved.into_iter().collect());
        Some(replica)
    }

    fn view_now(&self) -> View {
        let desired = self.desired.wants().iter().map(|want| self.row(want));
        let leaving = self.observed.iter().filter_map(|instance| self.leaving_row(instance));
        let rows: Vec<Row> = desired.chain(leaving).collect();
        let shown: BTreeSet<&InstanceId> = rows.iter().map(|row| &row.instance).collect();
        let hidden = self.replicas.iter().filter(|(instance, _)| !shown.contains(instance));
        let hidden = hidden.map(|(_, replica)| Traffic::of(replica)).collect();
        View {
            pool: self.config.pool.clone(),
            epoch: self.published.epoch(),
            ring: self.config.ring.clone(),
            policy: self.table.policy().kind(),
            queue: self.table.queue().filter(|queue| queue.is_open()).map(Line::of),
            problem: self.problem(),
            others: Others::new(self.departed.clone(), hidden),
            rows,
        }
    }

    /// What keeps the fleet from its work, the worst first.
    fn problem(&self) -> Option<String> {
        let unsaved = || self.unsaved.clone();
        self.outage.clone().or_else(unsaved).or_else(|| self.search.problem(self.config.max_replicas))
    }

    fn row(&self, want: &Want) -> Row {
        let record = self.records.get(&want.number).cloned().unwrap_or_default();
        let life = self.health.get(&want.instance);
        let state = match life {
            Some(life) if life.health.is_ready() => self.up(want, life),
            Some(life) => match life.health.is_dead(&self.config.heartbeat) {
                Some(_) => RowState::Down(self.silence()),
                None => RowState::Starting,
            },
            None => self.away(want),
        };
        Row {
            name: want.name.clone(),
            number: want.number,
            state,
            since: life.map_or(record.since, |life| life.since),
            instance: want.instance.clone(),
            address: self.address(&want.instance),
            restarts: record.restarts,
            weight: want.weight,
            on_ring: want.joined,
            drained: want.drained,
            traffic: self.replicas.get(&want.instance).map(Traffic::of),
            last_exit: record.last_exit,
        }
    }

    /// What to say of one that answers its heartbeats.
    fn up(&self, want: &Want, life: &Life) -> RowState {
        let suspected = self.replicas.get(&want.instance).is_some_and(|replica| replica.is_suspected());
        match &life.ejected {
            _ if want.drained => RowState::Drained,
            Some(why) => RowState::Ejected(why.clone()),
            None if suspected => RowState::Suspected,
            None => RowState::Ready,
        }
    }

    /// What to say of one that runs and is silent.
    fn silence(&self) -> String {
        let failed = Death::Heartbeats(self.config.heartbeat.max_fail_count);
        match self.engine.kind().owns_instances() {
            true => format!("{failed}; the silent are replaced {} at a time", self.config.heal_at_once),
            false => failed.to_string(),
        }
    }

    /// What to say of one that does not run.
    fn away(&self, want: &Want) -> RowState {
        let record = self.records.get(&want.number);
        let now = now();
        let pause = record.and_then(|record| record.pause.until(now));
        let again = pause.map(|until| humantime::format_rfc3339_seconds(SystemTime::now() + (until - now)));
        let refused = record.and_then(|record| record.refused.as_ref());
        let died = record.and_then(|record| record.last_exit.as_ref()).map(|exit| &exit.reason);
        match (again, refused, died, &self.outage) {
            (Some(again), Some(why), ..) => RowState::Down(format!("{why}; next start at {again}")),
            (Some(again), None, Some(why), _) => {
                RowState::CrashLooping(format!("{why}; next start at {again}"))
            }
            (.., Some(outage)) => RowState::Down(outage.clone()),
            _ => RowState::Starting,
        }
    }

    fn leaving_row(&self, instance: &Instance) -> Option<Row> {
        let departure = self.leaving.get(&instance.id)?;
        Some(Row {
            name: instance.name.clone(),
            number: instance.number,
            state: RowState::Leaving,
            since: departure.since,
            instance: instance.id.clone(),
            address: instance.address(),
            restarts: 0,
            weight: Weight::ONE,
            on_ring: false,
            drained: false,
            traffic: self.replicas.get(&instance.id).map(Traffic::of),
            last_exit: None,
        })
    }

    fn address(&self, instance: &InstanceId) -> Option<std::net::SocketAddr> {
        self.observed.iter().find(|seen| seen.id == *instance)?.address()
    }
}
