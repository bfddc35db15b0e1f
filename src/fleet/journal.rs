//! What happened to a pool's replicas lately, in order. Pure.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use crate::{
    event::{Event, What},
    name::InstanceId,
};

/// How many entries are kept.
const KEPT: usize = 1000;

/// One event and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of this balancer's life, from 1.
    pub seq: u64,
    /// When it was noticed.
    pub at: SystemTime,
    /// What happened.
    pub event: Event,
    /// Of a death: the last lines that the instance wrote, as soon as they are known.
    pub log: Arc<[String]>,
}

/// The last thousand events.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    entries: VecDeque<Entry>,
    last: u64,
}

impl Journal {
    /// Notes an event.
    pub(super) fn note(&mut self, event: Event, at: SystemTime) {
        self.last += 1;
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { seq: self.last, at, event, log: Arc::default() });
    }

    /// Puts the last lines of a dead instance beside its death.
    pub(super) fn put_log(&mut self, instance: &InstanceId, log: &Arc<[String]>) {
        let is_death = |entry: &&mut Entry| {
            entry.event.instance == *instance && matches!(entry.event.what, What::Died(_))
        };
        if let Some(death) = self.entries.iter_mut().rev().find(is_death) {
            death.log = log.clone();
        }
    }

    /// The place of the newest entry; 0 before there is one.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// What came after this place. All that is kept, where the place is of another life of the balancer.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = &Entry> {
        let from = if seq > self.last { 0 } else { seq };
        self.entries.iter().filter(move |entry| entry.seq > from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Death;

    fn event(id: u64, what: What) -> Event {
        Event { name: "S1".parse().unwrap(), instance: InstanceId::from_bits(id), what }
    }

    fn seqs(journal: &Journal, after: u64) -> Vec<u64> {
        journal.after(after).map(|entry| entry.seq).collect()
    }

    #[test]
    fn the_last_thousand_are_kept_and_read_from_any_place() {
        let mut journal = Journal::default();
        assert_eq!(seqs(&journal, 0), [0; 0]);
        (0..1500).for_each(|id| journal.note(event(id, What::Ready), SystemTime::UNIX_EPOCH));
        assert_eq!(journal.last(), 1500);
        assert_eq!(seqs(&journal, 0).len(), 1000);
        assert_eq!(seqs(&journal, 1498), [1499, 1500]);
        assert_eq!(seqs(&journal, 1500), [0; 0]);
        assert_eq!(seqs(&journal, 9999).len(), 1000, "a place of a life before");
    }

    #[test]
    fn last_words_come_to_the_death_they_belong_to() {
        let mut journal = Journal::default();
        for what in [What::Ready, What::Died(Death::Vanished), What::Added] {
            journal.note(event(1, what), SystemTime::UNIX_EPOCH);
        }
        let log: Arc<[String]> = ["out of cheese".to_owned()].into();
        journal.put_log(&InstanceId::from_bits(1), &log);
        journal.put_log(&InstanceId::from_bits(2), &log);
        let logs: Vec<usize> = journal.after(0).map(|entry| entry.log.len()).collect();
        assert_eq!(logs, [0, 1, 0]);
    }
}
