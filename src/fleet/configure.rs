//! Going on with other settings.

use super::{CallError, Change, ChangeError, clock::milliseconds, publish::tell, reconcile::Fleet};

impl Fleet {
    /// Takes the settings over, and has the set follow those that say what it is to be.
    pub(super) async fn configure(&mut self, change: Change) -> Result<(), CallError> {
        let Change { config, engine, probe, policy, max_in_flight, queue, addresses } = change;
        let (mut desired, there) = (self.desired.clone(), self.desired.wants().len());
        if engine.kind().owns_instances() {
            desired.reconfigure(config.replicas, milliseconds(), &mut self.rng);
        } else if !addresses.is_empty() {
            desired.follow(&addresses);
        }
        let most = config.room().min(config.weight_room());
        if desired.wants().len() > config.room() || desired.weight() > config.weight_room() {
            let asked = desired.wants().len().saturating_sub(there);
            return Err(ChangeError::NoRoom { asked, room: most.saturating_sub(there) }.into());
        }
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.take_out(|name| desired.get(name).is_none());
        self.welcome(desired);
        (self.config, self.engine, self.probe) = (config, engine, probe);
        self.lists.wanted = true;
        self.table = self.table.clone().shared(policy, max_in_flight).queued(queue);
        tell(&self.epochs, self.published.publish(self.pool, self.table.clone()));
        Ok(())
    }
}
