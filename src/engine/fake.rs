//! An engine in memory, which fails, dawdles and forgets as it is told to, by a seed. Works on a paused clock.
//!
//! Behind it is a [`Daemon`] with one name for each container, as Docker's. What a caller began goes on there when the
//! caller gives up, as with a real one.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::{self, StreamExt},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    ASK_TIMEOUT, Answer, Engine, EngineError, Instance, Kind, Launch, Logs, START_TIMEOUT, State, Stop,
};
use crate::name::InstanceId;

mod container;
mod daemon;
mod tests;

pub(crate) use container::Container;
pub(crate) use daemon::Daemon;

/// From the stop signal to SIGKILL.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a container writes.
const WRITTEN: [&[u8]; 2] = [b"starting\n", b"listening\n"];

/// One deployment's door to the daemon.
pub(crate) struct FakeEngine {
    deployment: &'static str,
    daemon: Arc<Daemon>,
    changed: Arc<Notify>,
}

/// One call that changes something.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Start(Launch),
    Release(InstanceId),
    Stop(InstanceId, Stop),
}

/// What goes wrong, each as a probability of one call or hint.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// A call takes one of these times to its effect, and another from there to its answer.
    pub(crate) delay: Range<Duration>,
    /// From a container's start to its first answered heartbeat.
    pub(crate) boot: Range<Duration>,
    /// Refused, without effect.
    pub(crate) refuse: f64,
    /// Done, but the answer is lost.
    pub(crate) lose: f64,
    /// Not answered before the deadline; done late, or never.
    pub(crate) hang: f64,
    /// A container is created and then not started.
    pub(crate) half: f64,
    /// A container ends right after its start.
    pub(crate) stillborn: f64,
    /// A hint that never comes.
    pub(crate) lose_hint: f64,
    /// A hint that comes up to two seconds late.
    pub(crate) delay_hint: f64,
}

/// What becomes of a call.
#[derive(Clone, Copy)]
enum Fate {
    Done,
    Refused,
    AnswerLost,
    Late(Duration),
    Never,
}

impl Faults {
    /// Nothing goes wrong.
    pub(crate) fn none() -> Self {
        let (delay, boot) =
            (Duration::from_millis(1)..Duration::from_millis(30), Duration::ZERO..Duration::from_millis(200));
        let zero = 0.0;
        Faults {
            delay,
            boot,
            refuse: zero,
            lose: zero,
            hang: zero,
            half: zero,
            stillborn: zero,
            lose_hint: zero,
            delay_hint: zero,
        }
    }
}

impl Call {
    fn instance(&self) -> &InstanceId {
        match self {
            Call::Start(launch) => &launch.instance,
            Call::Release(instance) | Call::Stop(instance, _) => instance,
        }
    }
}

impl FakeEngine {
    /// # Panics
    /// If a call for the same instance is under way: that is not in the contract.
    async fn call(&self, call: Call) -> Result<(), EngineError> {
        let daemon = self.daemon.clone();
        let _until_answered = daemon.admit(self.deployment, &call);
        if let Some(witness) = &*daemon.witness.lock().expect("not poisoned") {
            witness(&call);
        }
        let deadline = if matches!(call, Call::Release(_)) { ASK_TIMEOUT } else { START_TIMEOUT };
        let fate = daemon.inside().fate();
        let performed = tokio::spawn(daemon.perform(self.deployment, call, fate));
        match timeout(deadline, performed).await {
            Ok(done) => done.expect("the daemon does not panic"),
            Err(_) => Err(unreachable("no answer in time")),
        }
    }

    /// What every container of this daemon writes.
    async fn logs_of(&self, instance: &InstanceId, tail: usize, follow: bool) -> Result<Logs, EngineError> {
        self.daemon.pause().await;
        self.daemon.is_there()?;
        let is_there = self.daemon.container(instance).is_some();
        let skipped = WRITTEN.len().saturating_sub(tail);
        let lines = WRITTEN[skipped..].iter().filter(|_| is_there).map(|line| Ok(Bytes::from_static(line)));
        let (daemon, instance) = (self.daemon.clone(), instance.clone());
        let until_its_end = stream::once(async move {
            let runs = |container: &Container| matches!(container.state(), Some(State::Running(_)));
            while follow && daemon.container(&instance).as_ref().is_some_and(runs) {
                daemon.pause().await;
            }
            Ok(Bytes::new())
        });
        Ok(stream::iter(lines.collect::<Vec<_>>()).chain(until_its_end).boxed())
    }

    async fn list_all(&self) -> Result<Vec<Instance>, EngineError> {
        let fate = self.daemon.inside().fate();
        self.daemon.pause().await;
        self.daemon.is_there()?;
        match fate {
            Fate::Done => {}
            Fate::Refused => return Err(refused("it is in no mood")),
            Fate::AnswerLost => return Err(unreachable("the answer is lost")),
            Fate::Late(_) | Fate::Never => {
                sleep(ASK_TIMEOUT).await;
                return Err(unreachable("no answer in time"));
            }
        }
        let containers = self.daemon.containers();
        self.daemon.pause().await;
        self.daemon.is_there()?;
        Ok(containers.iter().filter(|c| c.is_of(self.deployment)).filter_map(Container::listed).collect())
    }
}

impl Engine for FakeEngine {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        self.list_all().boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> Answer<'a> {
        self.call(Call::Start(launch.clone())).boxed()
    }

    fn release<'a>(&'a self, instance: &'a InstanceId) -> Answer<'a> {
        self.call(Call::Release(instance.clone())).boxed()
    }

    fn stop<'a>(&'a self, instance: &'a InstanceId, how: Stop) -> Answer<'a> {
        self.call(Call::Stop(instance.clone(), how)).boxed()
    }

    fn logs<'a>(&'a self, instance: &'a InstanceId, tail: usize, follow: bool) -> Answer<'a, Logs> {
        self.logs_of(instance, tail, follow).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn clear(&self) -> Answer<'_> {
        std::future::ready(Ok(())).boxed()
    }
}

pub(super) fn unreachable(why: &str) -> EngineError {
    EngineError::Unreachable { kind: Kind::Docker, why: why.into() }
}

pub(super) fn refused(why: &str) -> EngineError {
    EngineError::Refused { kind: Kind::Docker, attempt: "do as told".into(), why: why.into() }
}
