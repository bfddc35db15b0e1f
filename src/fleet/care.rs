//! What an operator does about one replica.

use std::time::SystemTime;

use futures_util::StreamExt;

use super::{
    CallError, ChangeError, Logs, Reply,
    calls::answer,
    clock::now,
    desired::Desired,
    pause::Pause,
    reconcile::{Done, Fleet},
};
use crate::{engine::Kind, event::What, name::Name, ring::Weight};

impl Fleet {
    pub(super) async fn weigh(&mut self, name: &str, weight: Weight) -> Result<(), CallError> {
        let mut desired = self.desired.clone();
        desired.weigh(name, weight, self.config.weight_room())?;
        self.go_over(desired).await?;
        let instance = self.desired.known(name)?.instance.clone();
        self.report(&instance, What::Reweighted(weight.get()));
        Ok(())
    }

    /// Takes it out of the table or lets it in again, with a clean slate. It stays watched, and whoever replaces it is as
    /// drained as it was; so is one that goes by itself, when it comes back.
    pub(super) async fn drain(&mut self, name: &str, drained: bool) -> Result<(), CallError> {
        let mut desired = self.desired.clone();
        if !desired.drain(name, drained)? {
            return Ok(());
        }
        self.go_over(desired).await?;
        let Ok(want) = self.desired.known(name) else { return Ok(()) }; // it is away
        let instance = want.instance.clone();
        self.pardon(&instance, now());
        self.report(&instance, if drained { What::Drained } else { What::Restored });
        Ok(())
    }

    /// Puts a fresh instance in the place of the present one, which leaves as if removed. That is no death: nothing is
    /// waited for, and what made the replica wait so far is forgiven.
    pub(super) async fn restart(&mut self, name: &str) -> Result<Name, CallError> {
        let old = self.desired.known(name)?.clone();
        if !self.engine.kind().owns_instances() {
            return Err(ChangeError::Elsewhere(old.name).into());
        }
        let mut desired = self.desired.clone();
        desired.replace(&old.instance, &mut self.rng);
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.report(&old.instance, What::Restarted);
        self.desired = desired;
        let record = self.records.entry(old.number).or_default();
        record.restarts += 1;
        (record.since, record.pause, record.refused) = (SystemTime::now(), Pause::default(), None);
        self.send_off(old.name.clone(), old.instance);
        Ok(old.name)
    }

    async fn go_over(&mut self, desired: Desired) -> Result<(), CallError> {
        self.store(desired.clone()).await.map_err(|error| CallError::Store(error.to_string()))?;
        self.desired = desired;
        Ok(())
    }

    /// Answers with what a replica wrote, as soon as the engine has it.
    pub(super) fn fetch_logs(&mut self, name: &str, tail: usize, follow: bool, reply: Reply<Logs>) {
        let instance = match self.desired.known(name) {
            Ok(want) if self.engine.kind() == Kind::Fixed => {
                return answer(reply, Err(ChangeError::Unheard(want.name.clone()).into()));
            }
            Ok(want) => want.instance.clone(),
            Err(error) => return answer(reply, Err(error.into())),
        };
        let engine = self.engine.clone();
        self.tasks.spawn(async move {
            let logs = engine.logs(&instance, tail, follow).await;
            let logs = logs.map(|pieces| pieces.map(|piece| piece.map_err(std::io::Error::other)).boxed());
            answer(reply, logs.map_err(|error| CallError::Refused(error.to_string())));
            Done::Told
        });
    }
}
