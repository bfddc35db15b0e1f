//! The calls of a storm, and the books that are kept of them and of their answers.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use rand::RngExt;

use super::schedule::{Storm, names};
use crate::{
    fleet::{CallError, Handle, View},
    ring::Weight,
};

/// How many replicas there have to be by the calls and their answers.
#[derive(Default)]
pub(super) struct Books {
    pub(super) count: usize,
    pub(super) pending: usize,
    pub(super) removals: usize,
    pub(super) weighs: usize,
    /// A call was cut off: nobody knows whether it was done.
    pub(super) unknown: bool,
    pub(super) broken: Vec<String>,
    /// The orders so far that let replicas have requests again, and who gets none since the last answer that said so.
    pub(super) restored: usize,
    pub(super) drained: BTreeSet<String>,
}

impl Books {
    /// Whoever comes is not drained, also where one of its name was, which an addition took with it as it was refused.
    fn begin_addition(&mut self, names: &[String]) -> usize {
        self.restored += 1;
        self.drained.retain(|name| !names.contains(name));
        self.removals
    }

    /// Whoever leaves may come back under its name, and is not drained then.
    fn begin_removal(&mut self) {
        self.removals += 1;
        self.restored += 1;
        self.drained.clear();
    }
}

impl Storm {
    pub(super) fn add(&mut self) {
        let names: Vec<String> =
            (0..self.rng.random_range(0..3)).map(|_| format!("S{}", self.rng.random_range(1..12))).collect();
        let count = self.rng.random_range(0..3).max(names.len());
        let (handle, books) = self.begin_call();
        let removals = books.lock().unwrap().begin_addition(&names);
        tokio::spawn(async move {
            let answer = handle.add(count, names.clone()).await;
            let mut books = books.lock().unwrap();
            books.pending -= 1;
            match answer {
                Ok(view) => {
                    books.count = books.count.wrapping_add(count);
                    let late = view.desired().filter(|row| !row.state.is_up());
                    let late = late.filter(|row| names.iter().any(|name| name == row.name.as_str())).count();
                    if late > 0 && books.removals == removals {
                        books.broken.push(format!("an addition of {names:?} was answered too early"));
                    }
                }
                Err(CallError::Slow { .. }) => books.count = books.count.wrapping_add(count),
                Err(CallError::Stopping) => books.unknown = true,
                // what was removed meanwhile was counted as removed, and was not added
                Err(CallError::Refused(_)) => books.unknown |= books.removals != removals,
                Err(_) => {}
            }
        });
    }

    pub(super) fn remove(&mut self) {
        let known: Vec<String> = names(&self.balancer().handle.view());
        let named = self.rng.random_range(0..3).min(known.len());
        let names: Vec<String> =
            (0..named).map(|_| known[self.rng.random_range(0..known.len())].clone()).collect();
        let count = self.rng.random_range(0..3).max(names.len());
        let (handle, books) = self.begin_call();
        books.lock().unwrap().begin_removal();
        tokio::spawn(async move {
            let answer = handle.remove(count, names.clone()).await;
            let mut books = books.lock().unwrap();
            books.pending -= 1;
            match answer {
                Ok(view) => {
                    books.count = books.count.wrapping_sub(count);
                    if view.names().any(|name| names.iter().any(|gone| gone == name.as_str())) {
                        books.broken.push(format!("a removal of {names:?} was answered before they left"));
                    }
                }
                Err(CallError::Stopping) => books.unknown = true,
                Err(_) => {}
            }
        });
    }

    pub(super) fn weigh(&mut self) {
        let Some(name) = self.someone() else { return };
        let weight = Weight::new(self.rng.random_range(1..5)).unwrap();
        let (handle, books) = self.begin_call();
        let (weighs, removals) = {
            let mut books = books.lock().unwrap();
            books.weighs += 1;
            (books.weighs, books.removals)
        };
        tokio::spawn(async move {
            let answer = handle.weigh(name.clone(), weight).await;
            let mut books = books.lock().unwrap();
            books.pending -= 1;
            match answer {
                Ok(view) if books.weighs == weighs && books.removals == removals => {
                    let taken = view.desired().any(|row| row.name.as_str() == name && row.weight == weight);
                    let broken = format!("{name} did not get the weight {weight}");
                    books.broken.extend((!taken).then_some(broken));
                }
                Err(CallError::Stopping) => books.unknown = true,
                _ => {}
            }
        });
    }

    /// Where calls overlap, nobody knows how many there are to be afterwards.
    pub(super) fn scale(&mut self) {
        let count = self.rng.random_range(0..8);
        let (handle, books) = self.begin_call();
        books.lock().unwrap().unknown = true;
        books.lock().unwrap().begin_removal();
        tokio::spawn(async move {
            let _whatever_comes = handle.scale(count).await;
            books.lock().unwrap().pending -= 1;
        });
    }

    /// Takes one out of the table, or lets it in again.
    pub(super) fn drain(&mut self, drained: bool) {
        let Some(name) = self.someone() else { return };
        let (handle, books) = self.begin_call();
        let restored = {
            let mut books = books.lock().unwrap();
            if !drained {
                books.restored += 1;
                books.drained.remove(&name);
            }
            books.restored
        };
        tokio::spawn(async move {
            let answer =
                if drained { handle.drain(name.clone()).await } else { handle.restore(name.clone()).await };
            let mut books = books.lock().unwrap();
            books.pending -= 1;
            match answer {
                Ok(view) if books.restored == restored => {
                    let told = view.desired().any(|row| row.name.as_str() == name && row.drained == drained);
                    let broken = format!("{name} is not shown as drained: {drained}");
                    books.broken.extend((!told).then_some(broken));
                    if drained {
                        books.drained.insert(name);
                    }
                }
                Err(CallError::Stopping) => books.unknown = true,
                _ => {}
            }
        });
    }

    pub(super) fn restart_one(&mut self) {
        let Some(name) = self.someone() else { return };
        let (handle, books) = self.begin_call();
        self.witness.may_restart(&name);
        let (before, removals) = (handle.view(), books.lock().unwrap().removals);
        tokio::spawn(async move {
            let answer = handle.restart(name.clone()).await;
            let mut books = books.lock().unwrap();
            books.pending -= 1;
            let row = |view: &View| view.desired().find(|row| row.name.as_str() == name).cloned();
            match answer {
                Ok(view) if books.removals == removals => {
                    let fresh = row(&view)
                        .zip(row(&before))
                        .is_some_and(|(now, was)| now.instance != was.instance && now.state.is_up());
                    let broken = format!("a restart of {name} was answered too early");
                    books.broken.extend((!fresh).then_some(broken));
                }
                Err(CallError::Stopping) => books.unknown = true,
                _ => {}
            }
        });
    }

    /// The name of one that there is, if there is one.
    fn someone(&mut self) -> Option<String> {
        let known: Vec<String> = names(&self.balancer().handle.view());
        known.get(self.rng.random_range(0..known.len().max(1))).cloned()
    }

    fn begin_call(&mut self) -> (Handle, Arc<Mutex<Books>>) {
        self.books.lock().unwrap().pending += 1;
        (self.balancer().handle.clone(), self.books.clone())
    }
}
