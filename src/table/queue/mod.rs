//! The line in front of a pool whose replicas have as many requests as they may have. Pure.
//!
//! # Why nobody barges in, and nobody is forgotten
//! Somebody gets in line, which is counted, and only then looks for a free place; a claim that ends frees its place and only
//! then looks whether somebody is counted. Both are sequentially consistent, so either the one sees the place or the other
//! sees who waits (Dekker's argument, as in [`table`](super)). A claim that ends while somebody is counted does not even
//! free its place: it becomes the claim of the first in line, and is in flight all along. And who comes while somebody is
//! counted claims nothing, but gets in line.
//!
//! So there is a free place while somebody waits only at a replica that is not for them: one that fails, while there is one
//! that does not and that they have not had yet, or one that has failed that very request.

mod drain;
mod line;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use crossbeam_utils::CachePadded;

pub use self::line::Priority;
use self::{
    drain::Drain,
    line::{Line, Ticket},
};
use super::{
    Unclaimed,
    replica::{InFlight, Replica},
};
use crate::name::InstanceId;

/// How a pool's line is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many may wait. As many again may wait whose request was given to a replica in vain.
    pub most: usize,
    /// How long somebody waits at most.
    pub timeout: Duration,
}

/// Whose request waits.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The client; those of one network of IPv6 (/64) are one.
    pub client: IpAddr,
    /// How urgent it is.
    pub priority: Priority,
}

/// What there is to tell of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many wait.
    pub length: usize,
    /// How many may.
    pub most: usize,
    /// How long those who had their turn of late had waited, on average.
    pub waited: Duration,
    /// How many waited in vain for as long as they may.
    pub timeouts: u64,
    /// How many found the line full, or had to make room in it.
    pub refused: u64,
}

/// The line in front of a pool: one for as long as there is the pool.
///
/// Behind one lock, as places and those who wait have to be matched one to one. It is taken only where a claim was refused or
/// somebody waits, never for longer than a look at the pool's replicas, and nothing is dropped or woken under it.
#[derive(Debug)]
pub struct Queue {
    /// How many wait and were given nothing yet. Read by every claim and every end of one, and written only under the lock.
    waiting: CachePadded<AtomicUsize>,
    /// Whether anybody may get in line.
    is_open: AtomicBool,
    /// What a replica may have in flight.
    most_in_flight: AtomicUsize,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    settings: Settings,
    line: Line<Entry>,
    /// Who serves. The replicas have the queue, not the other way round.
    serving: Vec<Weak<Replica>>,
    /// What became of those who have left the line and do not know it yet.
    fates: HashMap<u64, Fate>,
    drain: Drain,
    timeouts: u64,
    refused: u64,
}

/// One who waits.
#[derive(Debug)]
struct Entry {
    /// Who had the request already.
    tried: Box<[InstanceId]>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Fate {
    /// A place was handed over.
    Place(InFlight),
    /// Somebody else took its place in the line.
    PushedOut,
    /// The line was closed.
    TurnedAway,
}

/// A request's place in the line. When this is dropped, the request has left it; what was handed to it goes to the next.
#[derive(Debug)]
pub struct Wait {
    queue: Arc<Queue>,
    /// Until it is over.
    ticket: Option<Ticket>,
    since: Duration,
    until: Duration,
}

impl Queue {
    /// With nobody in it.
    pub(super) fn new(settings: Settings, most_in_flight: usize) -> Arc<Self> {
        let (line, serving) = (Line::new(), Vec::new());
        let (fates, drain) = (HashMap::new(), Drain::default());
        let inside = Inside { settings, line, serving, fates, drain, timeouts: 0, refused: 0 };
        Arc::new(Queue {
            waiting: CachePadded::default(),
            is_open: AtomicBool::new(true),
            most_in_flight: AtomicUsize::new(most_in_flight),
            inside: Mutex::new(inside),
        })
    }

    /// Whether somebody waits.
    pub(super) fn is_waited_in(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// What there is to tell of it now.
    pub fn stats(&self) -> Stats {
        let Inside { settings, line, drain, timeouts, refused, .. } = &*self.inside();
        let (length, most, waited) = (line.len(), settings.most, drain.waited());
        Stats { length, most, waited, timeouts: *timeouts, refused: *refused }
    }

    /// Goes on with these settings; without any, nobody gets in line any more.
    pub(super) fn configure(&self, settings: Option<Settings>) {
        let mut inside = self.inside();
        let nobody = Settings { most: 0, ..inside.settings };
        inside.settings = settings.unwrap_or(nobody);
        self.is_open.store(settings.is_some(), Relaxed);
    }

    /// Tells all in line that nobody serves them any more, and lets nobody get in line after this.
    pub fn close(&self) {
        self.configure(None);
        let (mut inside, mut wakers) = (self.inside(), Vec::new());
        while let Some(first) = inside.line.first(|_| true) {
            inside.fates.insert(first.number(), Fate::TurnedAway);
            wakers.extend(inside.line.remove(&first).and_then(|entry| entry.waker));
        }
        self.leave(inside, wakers);
    }

    /// Whether anybody may get in line.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Relaxed)
    }

    /// Says who serves from now on, and what each may have in flight.
    pub(super) fn follow<'a>(&self, serving: impl Iterator<Item = &'a Arc<Replica>>, most_in_flight: usize) {
        self.most_in_flight.store(most_in_flight, Relaxed);
        let serving = serving.map(Arc::downgrade).collect();
        let _before = std::mem::replace(&mut self.inside().serving, serving);
    }

    /// Gets in line; `tried` are those who had the request already. Says whether free places are to be looked for after
    /// this: nobody else does.
    pub(super) fn enter(
        self: &Arc<Self>,
        asker: &Asker,
        tried: &[InstanceId],
        now: Duration,
    ) -> Result<(Wait, bool), Unclaimed> {
        let mut inside = self.inside();
        let is_first = inside.line.len() == 0;
        inside.drain.note(now, !is_first);
        let pushed_out = match inside.make_room(asker, tried) {
            Ok(pushed_out) => pushed_out,
            Err(after) => {
                inside.refused += 1;
                return Err(Unclaimed::Crowded(after));
            }
        };
        let entry = Entry { tried: tried.into(), waker: None };
        let ticket = match tried.is_empty() {
            true => inside.line.enter(asker.client, asker.priority, entry),
            false => inside.line.enter_again(asker.client, entry),
        };
        let looks = is_first || inside.line.len_again() > 0;
        let until = now.saturating_add(inside.settings.timeout);
        self.leave(inside, pushed_out);
        Ok((Wait { queue: self.clone(), ticket: Some(ticket), since: now, until }, looks))
    }

    /// Ends a claim: its place is the first's in line, if somebody waits, and else free. One that is not good is taken back.
    pub(super) fn end(&self, replica: &Arc<Replica>, is_measured: bool, is_good: bool) {
        if is_good && self.is_waited_in() && self.hand(replica, is_measured, true) {
            return;
        }
        match is_good {
            true => replica.load().end(),
            false => replica.load().withdraw(),
        }
        if self.is_waited_in() {
            self.hand(replica, is_measured, false);
        }
    }

    /// Hands a place at this replica to the first in line: one that is counted already, or one that is free. Whether there
    /// was somebody, and a place for them.
    fn hand(&self, replica: &Arc<Replica>, is_measured: bool, is_counted: bool) -> bool {
        let was_sound = replica.is_sound();
        let better = if was_sound { Vec::new() } else { self.sound() };
        let mut inside = self.inside();
        let Some(first) = inside.line.first(|entry| entry.takes(replica, &better)) else { return false };
        let most = self.most_in_flight.load(Relaxed);
        let is_fit = |replica: &Replica| replica.is_there() && (!was_sound || replica.is_sound());
        let claim = match is_counted {
            true => (replica.in_flight() <= most && is_fit(replica))
                .then(|| InFlight::in_place(replica, is_measured)),
            false => InFlight::after_wait(replica, most, is_measured, is_fit),
        };
        let Some(claim) = claim else { return false };
        let waker = inside.hand(&first, claim);
        self.leave(inside, waker);
        true
    }

    /// Hands the free places of these to those in line: to each of one who is sound, where one is that it has not had yet.
    pub(super) fn serve<'a>(
        &self,
        serving: impl Iterator<Item = &'a Arc<Replica>> + Clone,
        most: usize,
        is_measured: bool,
    ) {
        let mut inside = self.inside();
        let mut wakers = Vec::new();
        loop {
            let line = &inside.line;
            let sound: Vec<_> = serving.clone().filter(|replica| replica.is_sound()).collect();
            let free = serving.clone().filter(|replica| replica.is_there() && replica.in_flight() < most);
            let wanted = free.filter_map(|replica| {
                let is_sound = replica.is_sound();
                let better: &[&Arc<Replica>] = if is_sound { &[] } else { &sound };
                Some((replica, is_sound, line.first(|entry| entry.takes(replica, better))?))
            });
            let least = wanted.min_by_key(|(replica, ..)| replica.in_flight());
            let Some((replica, was_sound, first)) = least else { break };
            // who has become full meanwhile, or has left, is not looked at again
            let is_fit = |replica: &Replica| replica.is_there() && (!was_sound || replica.is_sound());
            if let Some(claim) = InFlight::after_wait(replica, most, is_measured, is_fit) {
                wakers.extend(inside.hand(&first, claim));
            }
        }
        self.leave(inside, wakers);
    }

    /// Who serves and is sound.
    fn sound(&self) -> Vec<Arc<Replica>> {
        let mut serving: Vec<_> = self.inside().serving.iter().filter_map(Weak::upgrade).collect();
        serving.retain(|replica| replica.is_sound());
        serving
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nobody panics while holding it")
    }

    /// Lets go of the lock, and wakes these.
    fn leave(&self, inside: MutexGuard<'_, Inside>, wakers: impl IntoIterator<Item = Waker>) {
        self.waiting.store(inside.line.len(), SeqCst);
        drop(inside);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Inside {
    /// Hands a place over to one in line. Returns who is to be woken.
    fn hand(&mut self, ticket: &Ticket, claim: InFlight) -> Option<Waker> {
        let entry = self.line.take(ticket).expect("who is in line is found there");
        self.fates.insert(ticket.number(), Fate::Place(claim));
        self.drain.count();
        entry.waker
    }

    /// Sees that there is room for one more. Returns who is to be woken as there is none for them any more; or, where there
    /// is none, after how many seconds to come again.
    fn make_room(&mut self, asker: &Asker, tried: &[InstanceId]) -> Result<Option<Waker>, u64> {
        if self.settings.most == 0 {
            return Err(self.seconds());
        }
        let again = self.line.len_again();
        let there = if tried.is_empty() { self.line.len() - again } else { again };
        if there < self.settings.most {
            return Ok(None);
        }
        let last = self.line.last(asker.client, asker.priority).filter(|_| tried.is_empty());
        match last.and_then(|last| Some((last.number(), self.line.remove(&last)?))) {
            Some((number, entry)) => {
                self.fates.insert(number, Fate::PushedOut);
                self.refused += 1;
                Ok(entry.waker)
            }
            None => Err(self.seconds()),
        }
    }

    /// After how many seconds to come again.
    fn seconds(&self) -> u64 {
        self.drain.seconds(self.line.len(), self.settings.timeout)
    }
}

impl Entry {
    /// Whether it may have a place at this one, to which those are preferred.
    fn takes(&self, replica: &Replica, better: &[impl AsRef<Replica>]) -> bool {
        let was_tried = |replica: &Replica| self.tried.contains(&replica.instance);
        !was_tried(replica) && better.iter().all(|better| was_tried(better.as_ref()))
    }
}

impl Wait {
    /// The claim that was handed to it; else why there is none, when it is over. While it waits, the task is woken when
    /// something becomes of it, but for its end by time: that is for the caller to look after.
    pub fn poll(&mut self, cx: &Context<'_>, now: Duration) -> Poll<Result<InFlight, Unclaimed>> {
        let Some(ticket) = self.ticket else { return Poll::Pending };
        let mut inside = self.queue.inside();
        let fate = inside.fates.remove(&ticket.number());
        if fate.is_none() && now < self.until {
            let entry = inside.line.get_mut(&ticket).expect("who was told nothing is in line");
            let last = entry.waker.replace(cx.waker().clone());
            drop(inside);
            drop(last);
            return Poll::Pending;
        }
        self.ticket = None;
        let entry = inside.line.remove(&ticket);
        inside.drain.note(now, true);
        let result = match fate {
            Some(Fate::Place(claim)) => {
                inside.drain.note_wait(now.saturating_sub(self.since));
                Ok(claim)
            }
            Some(Fate::PushedOut) => Err(Unclaimed::Crowded(inside.seconds())),
            Some(Fate::TurnedAway) => Err(Unclaimed::Nobody),
            None => {
                inside.timeouts += 1;
                Err(Unclaimed::Late(inside.seconds()))
            }
        };
        self.queue.leave(inside, None);
        drop(entry);
        Poll::Ready(result)
    }

    /// How long it may still wait.
    pub fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut inside = self.queue.inside();
        let (entry, fate) = (inside.line.remove(&ticket), inside.fates.remove(&ticket.number()));
        self.queue.leave(inside, None);
        drop((entry, fate)); // a claim goes on to the next, for which it needs the lock
    }
}

#[cfg(test)]
mod tests;
