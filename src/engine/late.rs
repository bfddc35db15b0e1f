//! An engine that may be late.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::OnceCell;

use super::{Answer, Engine, EngineError, Instance, Kind, Launch, Logs, Stop, Trouble};
use crate::name::InstanceId;

/// Makes an engine, or says why there is none yet.
pub type Make = Box<dyn Fn() -> Answer<'static, Arc<dyn Engine>> + Send + Sync>;

/// One that is made at the first call at which it can be. Until then calls fail as if it did not answer.
pub struct LateEngine {
    kind: Kind,
    make: Make,
    made: OnceCell<Arc<dyn Engine>>,
}

impl LateEngine {
    /// One of this kind, which `make` makes.
    pub fn new(kind: Kind, make: Make) -> Self {
        LateEngine { kind, make, made: OnceCell::new() }
    }

    async fn made(&self) -> Result<&Arc<dyn Engine>, EngineError> {
        self.made.get_or_try_init(|| (self.make)()).await
    }
}

impl Engine for LateEngine {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        async move { self.made().await?.list().await }.boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> Answer<'a> {
        async move { self.made().await?.start(launch).await }.boxed()
    }

    fn release<'a>(&'a self, instance: &'a InstanceId) -> Answer<'a> {
        async move { self.made().await?.release(instance).await }.boxed()
    }

    fn stop<'a>(&'a self, instance: &'a InstanceId, how: Stop) -> Answer<'a> {
        async move { self.made().await?.stop(instance, how).await }.boxed()
    }

    fn logs<'a>(&'a self, instance: &'a InstanceId, tail: usize, follow: bool) -> Answer<'a, Logs> {
        async move { self.made().await?.logs(instance, tail, follow).await }.boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        match self.made.get() {
            Some(engine) => engine.changed(),
            None => std::future::pending().boxed(),
        }
    }

    fn clear(&self) -> Answer<'_> {
        async move { self.made().await?.clear().await }.boxed()
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.made.get().map(|engine| engine.troubles()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::SeqCst},
        time::Duration,
    };

    use super::*;
    use crate::engine::process::{Config, ProcessEngine};

    #[tokio::test]
    async fn calls_fail_until_the_engine_can_be_made() {
        let is_there = Arc::<AtomicBool>::default();
        let seen = is_there.clone();
        let make: Make = Box::new(move || {
            let made: Result<Arc<dyn Engine>, EngineError> = if seen.load(SeqCst) {
                let config =
                    Config { command: vec!["sh".to_owned()], env: Vec::new(), stop_timeout: Duration::ZERO };
                Ok(Arc::new(ProcessEngine::new(config)))
            } else {
                Err(EngineError::Unreachable { kind: Kind::Process, why: "it is late".to_owned() })
            };
            std::future::ready(made).boxed()
        });
        let engine = LateEngine::new(Kind::Process, make);
        assert!(engine.list().await.unwrap_err().is_outage());
        assert!(engine.changed().now_or_never().is_none());
        is_there.store(true, SeqCst);
        assert!(engine.list().await.unwrap().is_empty());
    }
}
