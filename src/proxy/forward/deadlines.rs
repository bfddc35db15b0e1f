//! Deadlines of a thread, coarse and cheap: setting one stores a number; one timer for all looks for those that are over.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use slab::Slab;

/// Between two looks; a deadline is noticed up to this much late, never early.
pub const TICK: Duration = Duration::from_millis(100);

/// All deadlines of a thread.
#[derive(Debug)]
pub struct Deadlines {
    begun: Instant,
    /// Ticks since then.
    now: Cell<u64>,
    entries: RefCell<Slab<Entry>>,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    waker: Option<Waker>,
}

/// What one task waits for at most. Made once for a connection, set for whatever it does next.
#[derive(Debug)]
pub struct Deadline {
    all: Rc<Deadlines>,
    place: usize,
}

impl Deadlines {
    /// None yet.
    pub fn new(now: Instant) -> Rc<Self> {
        Rc::new(Deadlines { begun: now, now: Cell::new(0), entries: RefCell::default() })
    }

    /// Moves the time on, and wakes those whose deadline is over. To be called every [`TICK`].
    pub fn tick(&self, now: Instant) {
        let ticks = now.saturating_duration_since(self.begun).as_millis() / TICK.as_millis();
        let now = u64::try_from(ticks).unwrap_or(u64::MAX).max(self.now.get());
        self.now.set(now);
        let mut entries = self.entries.borrow_mut();
        for waker in entries
            .iter_mut()
            .filter(|(_, entry)| entry.at <= now)
            .filter_map(|(_, entry)| entry.waker.take())
        {
            waker.wake();
        }
    }

    /// A deadline that is not set.
    pub fn deadline(self: &Rc<Self>) -> Deadline {
        let place = self.entries.borrow_mut().insert(Entry { at: u64::MAX, waker: None });
        Deadline { all: self.clone(), place }
    }
}

impl Deadline {
    /// Sets it to so long from now, in place of what it was.
    pub fn set(&self, after: Duration) {
        // the present tick has partly gone, so one more is waited for
        let ticks = after.as_millis().div_ceil(TICK.as_millis()) + 1;
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        self.all.entries.borrow_mut()[self.place].at = self.all.now.get().saturating_add(ticks);
    }

    /// Has it never be over.
    pub fn clear(&self) {
        self.all.entries.borrow_mut()[self.place].at = u64::MAX;
    }

    /// Whether it is over. If not, the task is woken when it is.
    pub fn is_over(&self, cx: &Context<'_>) -> bool {
        let entry = &mut self.all.entries.borrow_mut()[self.place];
        if entry.at <= self.all.now.get() {
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
        deadline.clear();
        assert!(!deadline.is_over(&cx));
    }

    #[test]
    fn a_deadline_that_is_gone_is_forgotten() {
        let all = Deadlines::new(Instant::now());
        drop(all.deadline());
        assert!(all.entries.borrow().is_empty());
    }
}
