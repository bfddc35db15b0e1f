//! Deadlines of a thread, coarse and cheap: setting one stores a number; one timer for all looks for those that are over.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use slab::Slab;

/// Between two looks; a deadline is noticed up to this much late, never early.
pub(in crate::proxy) const TICK: Duration = Duration::from_millis(100);

/// A moment, counted in [`TICK`]s.
pub(in crate::proxy) type Moment = u64;

/// What never comes.
pub(in crate::proxy) const NEVER: Moment = Moment::MAX;

/// All deadlines of a thread.
#[derive(Debug)]
pub(in crate::proxy) struct Deadlines {
    begun: Instant,
    /// The time of the last look, and the ticks since the beginning.
    time: Cell<Instant>,
    now: Cell<Moment>,
    entries: RefCell<Slab<Entry>>,
}

#[derive(Debug)]
struct Entry {
    at: Moment,
    waker: Option<Waker>,
    /// Whether a replica is waited for.
    is_busy: bool,
}

/// What one task waits for at most. Made once for a connection, set for whatever it does next.
#[derive(Debug)]
pub(in crate::proxy) struct Deadline {
    all: Rc<Deadlines>,
    place: usize,
}

impl Deadlines {
    /// None yet.
    pub(in crate::proxy) fn new(now: Instant) -> Rc<Self> {
        let (time, now, entries) = (Cell::new(now), Cell::new(0), RefCell::default());
        Rc::new(Deadlines { begun: time.get(), time, now, entries })
    }

    /// Moves the time on, and wakes those whose deadline is over. To be called every [`TICK`].
    pub(in crate::proxy) fn tick(&self, time: Instant) {
        let ticks = time.saturating_duration_since(self.begun).as_millis() / TICK.as_millis();
        let now = u64::try_from(ticks).unwrap_or(NEVER).max(self.now.get());
        self.now.set(now);
        self.time.set(time);
        self.wake(|entry| entry.at <= now);
    }

    /// The time of the last tick.
    pub(in crate::proxy) fn time(&self) -> Instant {
        self.time.get()
    }

    /// The moment that is this far away, never less.
    pub(in crate::proxy) fn after(&self, after: Duration) -> Moment {
        // the present tick has partly gone, so one more is waited for
        let ticks = after.as_millis().div_ceil(TICK.as_millis()) + 1;
        self.now.get().saturating_add(u64::try_from(ticks).unwrap_or(NEVER))
    }

    /// Has those look around who wait for a replica.
    pub(in crate::proxy) fn wake_busy(&self) {
        self.wake(|entry| entry.is_busy);
    }

    /// Has all look around.
    pub(in crate::proxy) fn wake_all(&self) {
        self.wake(|_| true);
    }

    fn wake(&self, which: impl Fn(&Entry) -> bool) {
        let mut entries = self.entries.borrow_mut();
        let chosen = entries.iter_mut().map(|(_, entry)| entry).filter(|entry| which(entry));
        chosen.filter_map(|entry| entry.waker.take()).for_each(Waker::wake);
    }

    /// A deadline that is not set.
    pub(in crate::proxy) fn deadline(self: &Rc<Self>) -> Deadline {
        let place = self.entries.borrow_mut().insert(Entry { at: NEVER, waker: None, is_busy: false });
        Deadline { all: self.clone(), place }
    }
}

impl Deadline {
    /// Sets it to so long from now, in place of what it was.
    pub(in crate::proxy) fn set(&self, after: Duration) {
        self.all.entries.borrow_mut()[self.place].at = self.all.after(after);
    }

    /// Says whether a replica is waited for.
    pub(in crate::proxy) fn set_busy(&self, is_busy: bool) {
        self.all.entries.borrow_mut()[self.place].is_busy = is_busy;
    }

    /// Whether it is over. If not, the task is woken when it is.
    pub(in crate::proxy) fn is_over(&self, cx: &Context<'_>) -> bool {
        let at = self.all.entries.borrow()[self.place].at;
        self.is_over_at(at, cx)
    }

    /// The same, and sets it to this moment before.
    pub(in crate::proxy) fn is_over_at(&self, at: Moment, cx: &Context<'_>) -> bool {
        let entry = &mut self.all.entries.borrow_mut()[self.place];
        entry.at = at;
        if at <= self.all.now.get() {
            return true;
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => entry.waker = Some(cx.waker().clone()),
        }
        false
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.all.entries.borrow_mut().remove(self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_deadline_is_over_never_early_and_at_most_two_ticks_late() {
        let begun = Instant::now();
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let cx = Context::from_waker(&waker);
        let all = Deadlines::new(begun);
        let deadline = all.deadline();
        assert!(!deadline.is_over(&cx));
        all.tick(begun + Duration::from_millis(1099));
        deadline.set(Duration::from_millis(250));
        all.tick(begun + Duration::from_millis(1099 + 250));
        assert!(!deadline.is_over(&cx));
        assert_eq!(woken.0.load(Relaxed), 0);
        all.tick(begun + Duration::from_millis(1099 + 250 + 200));
        assert_eq!(woken.0.load(Relaxed), 1);
        assert!(deadline.is_over(&cx));
        assert!(!deadline.is_over_at(NEVER, &cx));
    }

    #[test]
    fn a_deadline_that_is_gone_is_forgotten() {
        let all = Deadlines::new(Instant::now());
        drop(all.deadline());
        assert!(all.entries.borrow().is_empty());
    }
}
