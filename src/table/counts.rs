//! What was counted of requests, read at one moment. Pure.

use std::ops::AddAssign;

use crate::policy::Flow;

/// The requests of a replica, or of many, in one reading. What was dispatched is what has completed and what is pending
/// together, in every reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    completed: u64,
    pending: u64,
    /// The most that were pending at a time; of many replicas no less than that.
    pub peak: u64,
    /// Responses by the first digit of their status, from 1 to 5; before them those with none of these.
    pub answers: [u64; 6],
    /// Requests that failed: by an error of the replica's own (5xx), by breaking off, or by not being answered in time.
    pub errors: u64,
    /// Those of them that got no response.
    pub unanswered: u64,
    /// Those of them whose response broke off when its head had gone to the client.
    pub truncated: u64,
    /// Requests of which nothing could be sent: no connection was there or could be opened.
    pub unreached: u64,
    /// Requests that moved on to another replica.
    pub retries: u64,
    /// How often others came to be preferred for what it failed.
    pub ejections: u64,
}

impl Counts {
    /// Nothing but these requests.
    pub(super) fn of(flow: Flow) -> Self {
        Counts { completed: flow.completed(), pending: flow.pending(), ..Counts::default() }
    }

    /// Requests that chose the replica. One for which a change of the table comes in between is taken back.
    pub fn dispatched(&self) -> u64 {
        self.completed + self.pending
    }

    /// Those for which nothing is done any more: the last byte of the response has gone to the client, or the request
    /// moved on, or nobody waits for it.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// The others: what is in flight.
    pub fn pending(&self) -> u64 {
        self.pending
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        let Counts {
            completed,
            pending,
            peak,
            answers,
            errors,
            unanswered,
            truncated,
            unreached,
            retries,
            ejections,
        } = other;
        self.answers.iter_mut().zip(answers).for_each(|(count, more)| *count += more);
        for (count, more) in [
            (&mut self.completed, completed),
            (&mut self.pending, pending),
            (&mut self.peak, peak),
            (&mut self.errors, errors),
            (&mut self.unanswered, unanswered),
            (&mut self.truncated, truncated),
            (&mut self.unreached, unreached),
            (&mut self.retries, retries),
            (&mut self.ejections, ejections),
        ] {
            *count += more;
        }
    }
}
