//! A fleet whose replicas somebody else starts: it follows who the engine finds, and calls say where to look.

use std::{collections::BTreeSet, time::Instant};

use super::{
    CallError, Given, Reply, Sheet,
    calls::{Waiting, answer},
    clock::now,
    desired::{Desired, Want},
    members::Room,
    reconcile::Fleet,
};
use crate::{
    engine::{Found, Instance, Known, Trouble},
    event::What,
    name::Name,
};

/// What the engine was told to look for, and what it said of that.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The sources that it was told; `None` before the first time.
    sources: Option<Vec<Name>>,
    /// Whether the list that is under way was begun before it was told.
    pub(super) is_stale: bool,
    troubles: Vec<Trouble>,
    turned_away: usize,
}

impl Search {
    /// What keeps it from finding everyone, if something does.
    pub(super) fn problem(&self, most: usize) -> Option<String> {
        let troubles = self.troubles.iter().map(|Trouble { source, why, .. }| format!("'{source}': {why}"));
        let crowd = (self.turned_away > 0).then(|| {
            format!("{} more were found than there is room for (--max-replicas {most})", self.turned_away)
        });
        let all: Vec<String> = troubles.chain(crowd).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// The routes that one asks for by its lists of hosts and paths.
fn routes(pool: &str, found: &Found) -> Vec<Sheet> {
    let listed = |list: &Option<Box<str>>| -> Vec<Option<String>> {
        let items = list.iter().flat_map(|list| list.split(',')).map(str::trim);
        let items: Vec<_> = items.filter(|item| !item.is_empty()).map(|item| Some(item.to_owned())).collect();
        if items.is_empty() { vec![None] } else { items }
    };
    let (hosts, paths) = (listed(&found.host), listed(&found.path));
    let pairs = hosts.iter().flat_map(|host| paths.iter().map(move |path| (host, path)));
    let asks = pairs.filter(|(host, path)| host.is_some() || path.is_some());
    let route = |(host, path): (&Option<String>, &Option<String>)| {
        let conditions = [("host", host), ("path", path)];
        let given =
            |(name, text): (&str, &Option<String>)| Some((name.to_owned(), Given::One(text.clone()?)));
        let pool = ("pool".to_owned(), Given::One(pool.to_owned()));
        conditions.into_iter().filter_map(given).chain([pool]).collect()
    };
    asks.map(route).collect()
}

impl Fleet {
    /// Has the engine look where replicas are to be found, if that has changed.
    pub(super) fn seek(&mut self) {
        let sources = self.desired.sources();
        if self.engine.kind().owns_instances() || self.search.sources.as_deref() == Some(sources) {
            return;
        }
        let known = |want: &Want| Known {
            name: want.name.clone(),
            instance: want.instance.clone(),
            source: want.source.clone(),
            weight: want.told.get(),
        };
        let before: Vec<Known> = match self.search.sources {
            None => self.desired.wants().iter().map(known).collect(),
            Some(_) => Vec::new(), // it knows itself who was found where
        };
        self.engine.seek(sources, &before);
        self.search.sources = Some(sources.to_vec());
        self.search.is_stale |= self.lists.under_way;
        self.lists.wanted = true;
    }

    /// Follows who is there; not where the list was begun before the engine was told where to look. Returns whether it
    /// did.
    pub(super) fn meet(&mut self, listed: &[Instance]) -> bool {
        if std::mem::take(&mut self.search.is_stale) {
            self.lists.wanted = true;
            return false;
        }
        self.search.troubles = self.engine.troubles();
        if self.is_going_down() {
            return true;
        }
        let before = self.desired.clone();
        let room = Room { replicas: self.config.room(), weight: self.config.weight_room() };
        let ours: Vec<Instance> =
            listed.iter().filter(|instance| *instance.pool == *self.config.pool).cloned().collect();
        let met = self.desired.meet(&ours, room);
        if met.turned_away > self.search.turned_away {
            tracing::warn!(count = met.turned_away, "there is no room for more that were found");
        }
        self.search.turned_away = met.turned_away;
        for want in met.went {
            self.report_of(&before, &want.instance, What::Removed);
            self.mending.remove(&want.instance);
            self.records.remove(&want.number); // a number that is free has no past
            self.send_off(want.name, want.instance);
        }
        for instance in &met.came {
            self.leaving.remove(instance);
            self.report(instance, What::Added);
        }
        for instance in &met.reweighted {
            let want = self.desired.wants().iter().find(|want| want.instance == *instance);
            let weight = want.map_or(1, |want| want.weight.get());
            self.report(instance, What::Reweighted(weight));
        }
        true
    }

    /// Tells which routes those that are there ask for, if that has changed: one for each of their hosts and paths.
    pub(super) fn tell_routes(&self) {
        let asked = self.observed.iter().filter(|seen| self.desired.has_instance(&seen.id));
        let found = asked.filter_map(|seen| seen.found.as_ref());
        let routes: BTreeSet<Sheet> = found.flat_map(|found| routes(&self.config.pool, found)).collect();
        let is_news = self.routes.send_if_modified(|told| {
            let is_news = !told.iter().eq(&routes);
            *told = routes.into_iter().collect();
            is_news
        });
        if is_news {
            self.rerouted.notify_one();
        }
    }

    /// The instances under the names and numbers that they have here; and of those that leave what they were, until they
    /// have finished what they have.
    pub(super) fn as_known(&self, mut listed: Vec<Instance>) -> Vec<Instance> {
        if self.engine.kind().owns_instances() {
            return listed;
        }
        for instance in &mut listed {
            let want = self.desired.wants().iter().find(|want| want.instance == instance.id);
            if let Some(want) = want {
                (instance.name, instance.number) = (want.name.clone(), want.number);
                instance.owner = self.desired.owner.clone();
            }
        }
        let is_gone = |seen: &&Instance| {
            self.leaving.contains_key(&seen.id) && !listed.iter().any(|listed| listed.id == seen.id)
        };
        let gone: Vec<Instance> = self.observed.iter().filter(is_gone).cloned().collect();
        [listed, gone].concat()
    }

    /// Forgets those that left and have nothing in flight any more.
    pub(super) fn part_with(&mut self, now: Instant) {
        let acknowledged = self.published.acknowledged();
        let (leaving, replicas) = (&self.leaving, &self.replicas);
        self.observed.retain(|seen| {
            leaving.get(&seen.id).is_none_or(|left| {
                let idle = replicas.get(&seen.id).is_none_or(|replica| replica.in_flight() == 0);
                let drained = idle && left.left_at.is_some_and(|epoch| epoch <= acknowledged);
                !drained && left.deadline > now
            })
        });
    }

    pub(super) async fn add_sources(
        &mut self,
        count: usize,
        names: &[String],
    ) -> Result<Vec<Name>, CallError> {
        let mut desired = self.desired.clone();
        let room = self.config.room_beside(&desired);
        let sources = desired.add_sources(count, names, room)?;
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.welcome(desired);
        Ok(sources)
    }

    pub(super) async fn remove_sources(&mut self, count: usize, names: &[String]) -> Result<(), CallError> {
        let mut desired = self.desired.clone();
        let order = self.order_of_leaving();
        let sources = desired.remove_sources(count, names, &order)?;
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.forsake(&sources);
        Ok(())
    }

    /// Looks there no more, and lets those leave that were found there.
    fn forsake(&mut self, sources: &[Name]) {
        let names: Vec<Name> = self.found_at(sources).cloned().collect();
        self.desired.sources.retain(|source| !sources.contains(source));
        self.take_out(|name| names.contains(name));
    }

    /// The members that were found at these sources.
    fn found_at<'a>(&'a self, sources: &'a [Name]) -> impl Iterator<Item = &'a Name> {
        let is_there =
            move |want: &&Want| self.desired.source_of(want).is_some_and(|at| sources.contains(at));
        self.desired.wants().iter().filter(is_there).map(|want| &want.name)
    }

    /// Answers an addition of sources when who is found there is ready, or undoes it where they cannot be looked up.
    pub(super) async fn settle_search(&mut self, sources: Vec<Name>, deadline: Instant, reply: Reply) {
        let sources: Vec<Name> =
            sources.into_iter().filter(|source| self.desired.sources().contains(source)).collect();
        let is_told = self.search.sources.as_deref() == Some(self.desired.sources());
        let is_fresh = is_told && !self.search.is_stale && !self.lists.under_way && !self.lists.wanted;
        let hopeless = |trouble: &&Trouble| sources.contains(&trouble.source) && !trouble.known;
        if let Some(Trouble { source, why, .. }) =
            self.search.troubles.iter().find(hopeless).filter(|_| is_fresh)
        {
            let why = format!("cannot add '{source}': it cannot be looked up: {why}; none was added");
            self.forsake(&sources);
            let _told_and_tried_again = self.store(self.desired.clone()).await;
            self.publish().await;
            return answer(reply, Err(CallError::Refused(why)));
        }
        let pending = if is_fresh { self.not_up(&sources) } else { sources.clone() };
        if pending.is_empty() {
            answer(reply, Ok(self.view.borrow().clone()));
        } else if deadline <= now() {
            answer(reply, Err(CallError::Slow { names: pending, after: self.config.add_timeout }));
        } else {
            self.waiting.push(Waiting::Sought { sources, deadline, reply });
        }
    }

    /// Those found at these sources that do not answer their heartbeats yet.
    fn not_up(&self, sources: &[Name]) -> Vec<Name> {
        let view = self.view.borrow();
        let up = |name: &Name| view.desired().any(|row| row.name == *name && row.state.is_up());
        self.found_at(sources).filter(|name| !up(name)).cloned().collect()
    }

    /// Tells what happened to one of a set that was.
    fn report_of(&self, set: &Desired, instance: &crate::name::InstanceId, what: What) {
        if let Some(want) = set.wants().iter().find(|want| want.instance == *instance) {
            self.tell(crate::event::Event { name: want.name.clone(), instance: instance.clone(), what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_are_asked_for_in_every_combination() {
        let found = |host: Option<&str>, path: Option<&str>| Found {
            source: "web-1".parse().unwrap(),
            weight: 1,
            heals: false,
            host: host.map(Into::into),
            path: path.map(Into::into),
        };
        let asked = |host, path| -> Vec<String> {
            let text = |sheet: &Sheet| {
                let one = |(name, given): (&String, &Given)| match given {
                    Given::One(text) => format!("{name}={text}"),
                    Given::List(_) => unreachable!("there is none"),
                };
                sheet.iter().map(one).collect::<Vec<_>>().join(" ")
            };
            routes("web", &found(host, path)).iter().map(text).collect()
        };
        assert_eq!(asked(None, None), Vec::<String>::new());
        assert_eq!(asked(Some("a.b"), None), ["host=a.b pool=web"]);
        assert_eq!(asked(Some("a, c"), Some("/x")), ["host=a path=/x pool=web", "host=c path=/x pool=web"]);
    }
}
