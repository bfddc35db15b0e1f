//! What runs the replicas. An engine does as it is told and says what it sees; why is none of its business.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};

use crate::name::{InstanceId, Name, Number, Owner};

pub mod dns;
pub mod docker;
#[cfg(test)]
pub(crate) mod fake;
pub mod fixed;
mod late;
pub mod process;
mod variable;

pub use late::{LateEngine, Make};
pub use variable::Variable;

/// The deadline of a question to an engine: a list, a rename.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// The deadline of a start.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What an instance has written, in pieces that need not be lines.
pub type Logs = BoxStream<'static, Result<Bytes, EngineError>>;

/// What an engine says to a call, once it has done as told or knows that it cannot.
pub type Answer<'a, T = ()> = BoxFuture<'a, Result<T, EngineError>>;

/// Runs instances of replicas for one deployment.
///
/// The contract, which `tests/contract` checks on every implementation:
///
/// - [`list`](Engine::list) is the truth: every instance of the deployment, whoever's, in any state, with the address
///   of each that runs, or an error; never a part of them.
/// - [`start`](Engine::start), [`release`](Engine::release) and [`stop`](Engine::stop) are told the instance's id and
///   are idempotent: Ok if it is already so. Each may be called again after an error, a crash or a timeout, at once
///   and concurrently with calls for other instances.
/// - After `start` returned Ok the instance runs, or has run and exited. It has the name if that was free or an older
///   instance of the deployment had it (which then goes by `NAME--ID`). Where a replica of another deployment has the
///   name, the instance itself goes by `NAME--ID`; where anything else has it, `start` fails with
///   [`EngineError::NameTaken`].
/// - After `stop` returned Ok the instance is not listed any more.
/// - [`logs`](Engine::logs) gives what the instance wrote, also after its end, until it is stopped; of one that is not
///   there it gives nothing.
/// - [`changed`](Engine::changed) returns when something may have changed: a hint that may come early, late, merged
///   with others or not at all. What the engine has learnt of between two calls is not lost to the second.
/// - Nothing that is not of the deployment is ever touched.
///
/// An engine that does not own its instances ([`Kind::owns_instances`]) finds them: somebody else runs them, and they
/// come and go by themselves. Its list says who the members of the pool are, each as [`Found`]:
///
/// - An instance has the same id for as long as it is the same, also for the next balancer.
/// - Several may have one name; owner and number are the fleet's to give.
/// - One that is not listed is a member no more. What cannot be looked up at present stays as it was last known, and
///   [`troubles`](Engine::troubles) says so.
/// - `start` makes one run again that is listed as ended, or is not well, where it may ([`Found::heals`]); `release` and
///   `stop` do nothing, and `clear` has nothing to remove.
pub trait Engine: Send + Sync + 'static {
    /// Which engine this is.
    fn kind(&self) -> Kind;

    /// Every instance of the deployment.
    fn list(&self) -> Answer<'_, Vec<Instance>>;

    /// Makes the instance run.
    fn start<'a>(&'a self, launch: &'a Launch) -> Answer<'a>;

    /// Takes its name from the instance, which runs on as `NAME--ID`: the mark of one that leaves.
    fn release<'a>(&'a self, instance: &'a InstanceId) -> Answer<'a>;

    /// Ends the instance and removes what is left of it.
    fn stop<'a>(&'a self, instance: &'a InstanceId, how: Stop) -> Answer<'a>;

    /// The last `tail` lines that the instance has written, and with `follow` what it writes until it ends.
    fn logs<'a>(&'a self, instance: &'a InstanceId, tail: usize, follow: bool) -> Answer<'a, Logs>;

    /// Returns when something may have changed.
    fn changed(&self) -> BoxFuture<'_, ()>;

    /// Removes what the engine itself made for the deployment beside the instances, such as a network.
    fn clear(&self) -> Answer<'_>;

    /// Has instances be looked for at these sources from now on and nowhere else; `before` are those that were members
    /// when another balancer ended, for an engine that knows nobody yet. Of an engine that is told where to find them.
    /// Call in a runtime.
    fn seek(&self, sources: &[Name], before: &[Known]) {
        let _nowhere = (sources, before);
    }

    /// What kept instances from being found at the last look.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }
}

/// The engines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Containers of a Docker engine.
    Docker,
    /// Child processes of the balancer.
    Process,
    /// Addresses of what is run elsewhere.
    Fixed,
    /// Containers that somebody else starts, with labels that say which pool they join.
    Labels,
}

/// What is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The id of this life.
    pub instance: InstanceId,
    /// Whose it is.
    pub owner: Owner,
    /// The pool that it serves.
    pub pool: Box<str>,
    /// Container name, hostname and alias.
    pub name: Name,
    /// The replica's `SERVER_ID`.
    pub number: Number,
}

/// An instance as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The id that it was launched with.
    pub id: InstanceId,
    /// Whose it is.
    pub owner: Owner,
    /// The pool that it serves.
    pub pool: Box<str>,
    /// The name that it was launched with, whatever it goes by now.
    pub name: Name,
    /// The number that it was launched with.
    pub number: Number,
    /// Whether it runs.
    pub state: State,
    /// Whether it goes by its name, not by `NAME--ID`.
    pub holds_name: bool,
    /// What its image's HEALTHCHECK says, where it has one and runs. Of one that the engine has frozen: `Unhealthy`.
    pub checked: Option<Checked>,
    /// What is known of one that the engine found; none of one that was launched.
    pub found: Option<Found>,
}

/// What is known of an instance that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it was found: a name that was sought, or its own.
    pub source: Name,
    /// Its share, in comparison with the others: 1 to 100.
    pub weight: u8,
    /// Whether it is to be restarted where it is dead.
    pub heals: bool,
    /// The hosts that it serves, where it says so.
    pub host: Option<Box<str>>,
    /// The paths that it serves, where it says so.
    pub path: Option<Box<str>>,
}

/// One that was found before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name as a member.
    pub name: Name,
    /// Its id.
    pub instance: InstanceId,
    /// The source that found it last, where that is known and has another name than it.
    pub source: Option<Name>,
    /// The share that the engine last told of.
    pub weight: u8,
}

/// What keeps instances from being found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where they are looked for.
    pub source: Name,
    /// What is wrong.
    pub why: String,
    /// Whether some are known of before.
    pub known: bool,
}

impl Launch {
    /// What the engine calls the instance.
    pub fn goes_by(&self) -> String {
        goes_by(&self.pool, &self.name)
    }
}

impl Instance {
    /// What the engine calls it, unless it leaves.
    pub fn goes_by(&self) -> String {
        goes_by(&self.pool, &self.name)
    }
}

/// Those of the default pool go by their names; those of others have the pool's before it, so that two pools can have one name.
fn goes_by(pool: &str, name: &Name) -> String {
    if pool == "default" { name.to_string() } else { format!("{pool}-{name}") }
}

/// What the HEALTHCHECK of an image says of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Nothing yet.
    Starting,
    /// It is well.
    Healthy,
    /// It is not.
    Unhealthy,
}

/// Whether an instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There, and not started yet.
    Created,
    /// Running, frozen or not, at this address once it has one.
    Running(Option<SocketAddr>),
    /// Ended.
    Exited {
        /// Its exit code (128 + the signal's number for a signal), where known.
        code: Option<i32>,
        /// Whether the kernel ended it for want of memory.
        out_of_memory: bool,
    },
}

/// How an instance is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its stop signal, and SIGKILL after the stop timeout.
    Gracefully,
    /// SIGKILL at once: for one that was declared dead, which a gentler signal would let finish old work.
    Kill,
}

/// What `ringkeeper doctor` looked at, and what was found: good, or what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// What is so; or what is wrong and how to mend it.
    pub found: Result<String, String>,
}

/// Why an engine did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It did not answer. Says nothing about the instances.
    #[error("the {kind} engine does not answer: {why}")]
    Unreachable {
        /// Which engine.
        kind: Kind,
        /// What was seen of it.
        why: String,
    },
    /// Something foreign has the name.
    #[error(
        "the name '{name}' is taken by {holder}, which is not a replica of this deployment: remove that or choose another name"
    )]
    NameTaken {
        /// The name wanted.
        name: Name,
        /// What has it.
        holder: String,
    },
    /// The image is not there.
    #[error(
        "there is no image '{image}' on the engine{}: build or pull it (`docker pull {image}`), or set another with --image",
        .pull.as_ref().map(|failed| format!(", and pulling it from {failed}")).unwrap_or_default()
    )]
    ImageMissing {
        /// Its name.
        image: String,
        /// The registry that it could not be pulled from, and why; none where it was not to be pulled.
        pull: Option<String>,
    },
    /// The image is not there yet.
    #[error("the image '{image}' is still being pulled: {progress}")]
    Pulling {
        /// Its name.
        image: String,
        /// How far it is.
        progress: String,
    },
    /// Nobody says which of the image's ports it is.
    #[error(
        "the image '{image}' exposes several ports ({ports}): set the one that the replicas listen on with --port"
    )]
    PortUnknown {
        /// Its name.
        image: String,
        /// The ports.
        ports: String,
    },
    /// The image cannot be asked how a replica is.
    #[error(
        "the image '{image}' has no HEALTHCHECK, which --probe image asks: give it one, or set another --probe"
    )]
    NoHealthcheck {
        /// Its name.
        image: String,
    },
    /// The program is not there.
    #[error("cannot run '{program}': {source}; set another with --command")]
    ProgramMissing {
        /// Its path.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine said no.
    #[error("the {kind} engine refused to {attempt}: {why}")]
    Refused {
        /// Which engine.
        kind: Kind,
        /// What was attempted.
        attempt: String,
        /// What it said.
        why: String,
    },
}

impl EngineError {
    /// Whether the engine is away, rather than unwilling: such a call is worth nothing but a later try.
    pub fn is_outage(&self) -> bool {
        matches!(self, EngineError::Unreachable { .. })
    }
}

impl Instance {
    /// The one that this launch makes, under its name.
    pub fn of(launch: &Launch, state: State) -> Self {
        Instance {
            id: launch.instance.clone(),
            owner: launch.owner.clone(),
            pool: launch.pool.clone(),
            name: launch.name.clone(),
            number: launch.number,
            state,
            holds_name: true,
            checked: None,
            found: None,
        }
    }

    /// The address of one that runs.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.state {
            State::Running(address) => address,
            State::Created | State::Exited { .. } => None,
        }
    }
}

impl Kind {
    /// Whether it makes its instances run, so that a dead one can be replaced. Of others only the address is known.
    pub const fn owns_instances(self) -> bool {
        !matches!(self, Kind::Fixed | Kind::Labels)
    }

    /// Whether its instances are of images.
    pub const fn has_images(self) -> bool {
        matches!(self, Kind::Docker | Kind::Labels)
    }

    /// The word for it in flags and stored state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Docker => "docker",
            Kind::Process => "process",
            Kind::Fixed => "fixed",
            Kind::Labels => "labels",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Kind::Docker, Kind::Process, Kind::Fixed, Kind::Labels]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| "an engine is 'docker', 'process', 'fixed' or 'labels'".to_owned())
    }
}
