//! What the fleet shows: the table to requests, the view to operators.

use std::{sync::Arc, time::SystemTime};

use super::{
    clock::now,
    desired::Want,
    lives::Life,
    reconcile::Fleet,
    view::{Row, RowState, Traffic, View},
};
use crate::{
    engine::Instance,
    event::Death,
    name::{InstanceId, Number},
    ring::{Member, Ring, Weight},
    table::{Replica, Snapshot},
};

impl Fleet {
    /// Publishes the table if requests would see a difference, and the view.
    pub(super) async fn publish(&mut self) {
        let now = now();
        self.judge(now);
        let members = self.desired.members();
        let ring = self.ring(members).await;
        let seats = ring.members().iter().map(|member| self.seat(member.number)).collect::<Vec<_>>();
        let table = self.table.next(ring, seats);
        self.tell_requests(&table, now);
        if !table.same_as(&self.table) {
            self.table = table.clone();
            let epoch = self.published.publish(Snapshot { default: table });
            self.epochs.send_replace(epoch);
            tracing::debug!(epoch, serving = self.table.serving().count(), "published");
        }
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
        if *members == *self.table.ring().members() {
            return self.table.ring().clone();
        }
        let spec = self.config.ring.clone();
        let built = tokio::task::spawn_blocking(move || Ring::build(&members, &spec));
        let ring = built.await.expect("building does not panic");
        Arc::new(ring.expect("additions that the ring has no room for are refused"))
    }

    /// Who serves for this number, if someone does.
    fn seat(&mut self, number: Number) -> Option<Arc<Replica>> {
        let want = self.desired.wants().iter().find(|want| want.number == number && !want.drained)?;
        if !self.health.get(&want.instance)?.health.is_ready() {
            return None;
        }
        let address = self.observed.iter().find(|seen| seen.id == want.instance)?.address()?;
        let known = self.replicas.get(&want.instance).filter(|replica| replica.address == address);
        if let Some(replica) = known {
            return Some(replica.clone());
        }
        let replica = Arc::new(Replica::new(want.name.clone(), want.number, want.instance.clone(), address));
        self.replicas.insert(want.instance.clone(), replica.clone());
        Some(replica)
    }

    fn view_now(&self) -> View {
        let desired = self.desired.wants().iter().map(|want| self.row(want));
        let leaving = self.observed.iter().filter_map(|instance| self.leaving_row(instance));
        View {
            pool: self.config.pool.clone(),
            epoch: self.published.epoch(),
            ring: self.config.ring.clone(),
            policy: self.table.policy().kind(),
            problem: self.outage.clone().or_else(|| self.unsaved.clone()),
            rows: desired.chain(leaving).collect(),
        }
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
