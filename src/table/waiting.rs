//! Getting in line in front of a pool.

use std::time::Duration;

use super::{
    PoolId, Published, Table, Unclaimed,
    queue::{Asker, Wait},
};
use crate::name::InstanceId;

impl Published {
    /// Gets in line where [`claim`](Self::claim) has found that all are full: then as before if nobody may wait, and
    /// otherwise [`Crowded`](Unclaimed::Crowded) if nobody more may. Who was given to a replica in vain, which `tried` says,
    /// goes before the others.
    pub fn wait(
        &self,
        pool: PoolId,
        asker: &Asker,
        tried: &[InstanceId],
        now: Duration,
    ) -> Result<Wait, Unclaimed> {
        let (wait, looks) = match self.load().table(pool).and_then(Table::queue) {
            Some(queue) => queue.enter(asker, tried, now)?,
            None => return Err(Unclaimed::Full),
        };
        if looks {
            // orders what follows behind having got in line: whoever publishes later sees that somebody waits
            self.epoch();
            self.serve_waiting(pool);
        }
        Ok(wait)
    }
}
