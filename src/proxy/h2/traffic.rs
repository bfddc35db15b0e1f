//! What goes on over a connection to a replica.

use std::{cell::Cell, rc::Rc};

/// The requests that a replica takes at a time as long as it has not said how many.
pub(super) const ROOM: usize = 100;

/// What goes on over a connection.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Requests on it.
    requests: Cell<usize>,
    /// The most that the replica takes on it at a time, as far as it has said.
    room: Cell<usize>,
    /// Whether something was heard since that was last asked.
    is_heard: Cell<bool>,
}

/// A request's part in it, as long as that lasts.
#[derive(Debug)]
pub(super) struct Part(Rc<Traffic>);

impl Traffic {
    /// None yet.
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Traffic { requests: Cell::new(0), room: Cell::new(ROOM), is_heard: Cell::new(false) })
    }

    /// Has another request join.
    pub(super) fn join(self: &Rc<Self>) -> Part {
        self.requests.set(self.requests.get() + 1);
        Part(self.clone())
    }

    /// How many requests there are.
    pub(super) fn requests(&self) -> usize {
        self.requests.get()
    }

    /// Whether the replica takes another one now.
    pub(super) fn has_room(&self) -> bool {
        self.requests.get() < self.room.get()
    }

    /// Notes how many it takes at a time.
    pub(super) fn set_room(&self, room: usize) {
        self.room.set(room);
    }

    /// Notes that the replica is there.
    pub(super) fn hear(&self) {
        self.is_heard.set(true);
    }

    /// Whether that was noted since this was last asked.
    pub(super) fn was_heard(&self) -> bool {
        self.is_heard.take()
    }
}

impl Part {
    /// Notes that something of the response came.
    pub(super) fn hear(&self) {
        self.0.hear();
    }

    /// The same request's, for what of it goes on by itself.
    pub(super) fn another(&self) -> Part {
        self.0.join()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
    }
}
