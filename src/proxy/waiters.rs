//! Who waits for a replica: woken when it is declared dead, so that nobody waits for the dead.

use std::{
    cell::RefCell,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use slab::Slab;

use crate::table::Replica;

/// All that wait on one core.
#[derive(Debug, Default)]
pub(super) struct Waiters(RefCell<Slab<(Arc<Replica>, Waker)>>);

/// One that waits, or will.
#[derive(Debug)]
pub(super) struct Waiter {
    all: Rc<Waiters>,
    replica: Arc<Replica>,
    place: Option<usize>,
}

impl Waiters {
    /// Wakes those whose replica was given up.
    pub(super) fn wake(&self) {
        let waiting = self.0.borrow();
        waiting.iter().filter(|(_, (replica, _))| replica.is_given_up()).for_each(|(_, (_, waker))| {
            waker.wake_by_ref();
        });
    }

    /// What this comes to, or `None` as soon as the replica is given up.
    pub(super) async fn unless_given_up<T>(
        self: &Rc<Self>,
        replica: &Arc<Replica>,
        done: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waiter = Waiter::new(self, replica);
        let mut done = pin!(done);
        std::future::poll_fn(|cx| match done.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if waiter.is_given_up(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Waiter {
    pub(super) fn new(all: &Rc<Waiters>, replica: &Arc<Replica>) -> Self {
        Waiter { all: all.clone(), replica: replica.clone(), place: None }
    }

    /// Whether the replica was given up. If not, the task is woken when it is.
    pub(super) fn is_given_up(&mut self, cx: &Context<'_>) -> bool {
        let mut waiting = self.all.0.borrow_mut();
        match self.place {
            Some(place) => waiting[place].1.clone_from(cx.waker()),
            None => self.place = Some(waiting.insert((self.replica.clone(), cx.waker().clone()))),
        }
        self.replica.is_given_up()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.all.0.borrow_mut().remove(place);
        }
    }
}
