//! How pools end.

use futures_util::future::join_all;

use super::{Care, Ended, Keeper, Kept, Removed, Reply, begin::of_call, change::followed, memory::Memory};
use crate::fleet::{
    CallError, Configured, DEFAULT, FleetError, Handle, PoolError, Sheet, StoreError, Stored, View,
};

impl Keeper {
    /// Has a pool get no more requests, and ends it in the background.
    pub(super) async fn remove(&mut self, name: &str, reply: Option<Reply>) {
        let leaving = match self.cannot_leave(name) {
            Some(error) => Err(error),
            None => self.leave(name).await,
        };
        let fleet = match leaving {
            Ok(fleet) => fleet,
            Err(error) => return tell_caller(reply, Err(error)),
        };
        let (published, name) = (self.published.clone(), Box::from(name));
        let epoch = self.reroute();
        self.removals.spawn(async move {
            followed(&published, epoch).await;
            let result = match fleet {
                Some(fleet) => fleet.down().await.map(drop).map_err(PoolError::from),
                None => Ok(()),
            };
            Removed { name, result, reply }
        });
    }

    fn cannot_leave(&self, name: &str) -> Option<PoolError> {
        match self.kept.get(name) {
            None if self.memory.leaving.contains_key(name) => None, // it was to end, and could not
            None => Some(PoolError::Unknown(name.to_owned())),
            Some(_) if name == DEFAULT => Some(PoolError::Conflict("the default pool stays".to_owned())),
            Some(kept) if kept.is_leaving => {
                Some(PoolError::Conflict(format!("the pool '{name}' is being removed already")))
            }
            Some(_) if self.routes.iter().any(|route| *route.pool == *name) => Some(PoolError::Conflict(
                format!("routes lead to the pool '{name}': take them out first (PUT /v1/routes)"),
            )),
            Some(_) => None,
        }
    }

    /// Has a pool be one that leaves. Returns the door to the fleet that is to take it down, where one has to.
    async fn leave(&mut self, name: &str) -> Result<Option<Handle>, PoolError> {
        let before = self.remember(|memory| memory.remove(name))?;
        if !self.kept.get(name).is_some_and(|kept| matches!(kept.care, Care::Fleet { .. } | Care::NoNeed))
            && let Err(error) = self.begin_to_end(name).await
        {
            self.restore(before);
            return Err(error);
        }
        let Some(kept) = self.kept.get_mut(name) else { return Ok(None) };
        kept.is_leaving = true;
        Ok(kept.has_fleet().then(|| kept.handle.clone()))
    }

    /// Begins a pool that has no fleet, for it to be taken down, where anything is stored of it. Where its settings cannot
    /// be used, others do.
    async fn begin_to_end(&mut self, name: &str) -> Result<(), PoolError> {
        let failed =
            |why: String| PoolError::Failed(format!("the pool '{name}' cannot be taken down: {why}"));
        let stored = self.stored(name).map_err(|error| failed(error.to_string()))?;
        let Some(Stored { engine, desired }) = stored else { return Ok(()) };
        let mut first = None;
        for settings in [self.memory.settings(name).cloned().unwrap_or_default(), Sheet::new()] {
            let begun = match of_call(name, &settings).pool(&self.common) {
                Ok(mut config) => {
                    config.engine = Some(engine);
                    config.upstreams.clear();
                    if let Configured::Count(count) = desired.configured {
                        config.fleet.replicas = count; // it begins as it was
                    }
                    self.begin(&config, false).await.map_err(|error| format!("{error:#}"))
                }
                Err(problems) => Err(problems.join("; ")),
            };
            let Err(why) = begun else { return Ok(()) };
            first.get_or_insert(why);
        }
        Err(failed(first.unwrap_or_default()))
    }

    fn stored(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        self.store.of_pool(name)?.load()
    }

    /// Takes note that a pool is gone, or could not be removed: then the next start tries that again.
    pub(super) async fn removed(&mut self, removed: Removed) -> anyhow::Result<()> {
        let Removed { name, result, reply } = removed;
        let result = match result {
            Err(error) => self.settled(&name, error).await?,
            Ok(()) => Ok(()),
        };
        if self.kept.get(&name).is_none_or(|kept| kept.is_leaving) {
            if let Some(kept) = self.kept.remove(&name) {
                self.published.remove(kept.pool.id);
            }
            if result.is_ok() {
                self.forget(&name);
            }
        }
        tell_caller(reply, result);
        Ok(())
    }

    fn forget(&mut self, name: &str) {
        self.store.forget_pool(name);
        if let Err(error) = self.remember(|memory| memory.forget(name)) {
            tracing::error!(pool = name, %error, "that it is removed is not stored");
        }
        tracing::info!(pool = name, "removed");
    }

    /// What comes of a pool's end where the call that was to end it failed. A fleet that ended by itself has not heard of
    /// it; where nothing of the pool is there, all is done.
    async fn settled(&mut self, name: &str, error: PoolError) -> anyhow::Result<Result<(), PoolError>> {
        if error != PoolError::Call(CallError::Stopping) {
            return Ok(Err(error));
        }
        while self.kept.get(name).is_some_and(Kept::has_fleet) {
            let Some(ended) = self.fleets.join_next().await else { break };
            self.ended(ended?)?;
        }
        let Some(kept) = self.kept.get(name) else { return Ok(Err(error)) };
        Ok(match kept.care {
            Care::Fleet { .. } => Err(error),
            Care::Nobody => Err(PoolError::Failed(kept.handle.view().problem.clone().unwrap_or_default())),
            Care::NoNeed => Ok(()),
        })
    }

    /// Takes note that a fleet has ended. Where that of a vital pool could not begin, that is the balancer's error; the
    /// requests of another get 503.
    pub(super) fn ended(&mut self, ended: Ended) -> anyhow::Result<()> {
        let Ended { name, pool, result } = ended;
        let Some(kept) = self.kept.get_mut(&name).filter(|kept| kept.pool.id == pool) else { return Ok(()) };
        let Err(error) = result else {
            kept.care = Care::NoNeed;
            return Ok(());
        };
        if kept.is_vital && !kept.is_leaving {
            return Err(error.into());
        }
        tracing::error!(pool = %name, %error, "the pool's fleet has ended, so nobody serves its requests");
        kept.care = if matches!(error, FleetError::Claim(_)) { Care::NoNeed } else { Care::Nobody };
        let problem = Some(error.to_string());
        let view = View { problem, rows: Vec::new(), queue: None, ..View::clone(&kept.handle.view()) };
        kept.handle = Handle::of_nobody(view, self.silence.subscribe());
        self.reroute();
        Ok(())
    }

    /// Removes every replica of every pool, and what the engines made beside them.
    pub async fn down(&mut self) -> Result<(), PoolError> {
        let mut failed = Vec::new();
        for name in self.neglected() {
            failed.extend(self.begin_to_end(&name).await.err());
        }
        let mut downs = Vec::new();
        for (name, kept) in &self.kept {
            let Care::Fleet { engine, .. } = &kept.care else { continue };
            let (name, engine, handle) = (name.clone(), engine.clone(), kept.handle.clone());
            downs.push(async move { (name, engine, handle.down().await) });
        }
        let mut engines = Vec::new();
        for (name, engine, result) in join_all(downs).await {
            match result {
                Ok(_) => engines.push(engine),
                Err(error) => match self.settled(&name, error.into()).await {
                    Ok(settled) => failed.extend(settled.err()),
                    Err(error) => failed.push(PoolError::Failed(format!("{error:#}"))),
                },
            }
        }
        let cleared = join_all(engines.iter().map(|engine| engine.clear())).await;
        let left = |error: String| PoolError::from(CallError::Left(error));
        failed.extend(cleared.into_iter().filter_map(Result::err).map(|error| left(error.to_string())));
        if failed.is_empty() {
            let forgotten = Memory::clear(self.store.directory());
            failed.extend(forgotten.err().map(|error| left(error.to_string())));
            self.store.sweep();
        }
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// The pools of which something may be there that no fleet looks after.
    fn neglected(&self) -> Vec<String> {
        let kept = self.kept.iter().filter(|(_, kept)| matches!(kept.care, Care::Nobody));
        let leaving = self.memory.leaving.keys().filter(|name| !self.kept.contains_key(name.as_str()));
        kept.map(|(name, _)| name.to_string()).chain(leaving.cloned()).collect()
    }
}

fn tell_caller(reply: Option<Reply>, result: Result<(), PoolError>) {
    match (reply, result) {
        (Some(reply), result) => _ = reply.send(result),
        (None, Err(error)) => tracing::error!(%error, "a pool is not removed"),
        (None, Ok(())) => {}
    }
}
