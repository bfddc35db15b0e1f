//! Replicas as child processes: the engine that needs nothing installed.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, mpsc},
    time::Duration,
};

use futures_util::{
    future::{BoxFuture, FutureExt, join_all},
    stream::{self, StreamExt},
};
use output::Output;
use rustix::process::{Pid, Signal};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::{Notify, oneshot, watch},
    time::timeout,
};

use super::{ASK_TIMEOUT, Answer, Engine, EngineError, Instance, Kind, Launch, Logs, State, Stop, Variable};
use crate::name::InstanceId;

mod output;

/// How long the last words of a child may take to arrive after its end: one that it left behind may hold its pipes open.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How replicas are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program of a replica and its arguments; never empty. It listens on `127.0.0.1:$PORT` at the least.
    pub command: Vec<String>,
    /// What it finds in its environment, beside the balancer's own and the three variables that tell it its place.
    pub env: Vec<Variable>,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
}

/// Runs each replica as a child process. The children die with the engine, and with the balancer however that dies.
pub struct ProcessEngine {
    config: Config,
    spawner: mpsc::Sender<Spawn>,
    /// Locked because every call and every child's watcher changes it; never held across an await.
    children: Arc<Mutex<BTreeMap<InstanceId, Running>>>,
    changed: Arc<Notify>,
}

struct Running {
    instance: Instance,
    pid: Pid,
    exit: watch::Receiver<Option<ExitStatus>>,
    output: Arc<Output>,
}

struct Spawn {
    command: Command,
    reply: oneshot::Sender<std::io::Result<Child>>,
}

impl ProcessEngine {
    /// An engine without children yet. Call in a runtime, which must outlive it.
    ///
    /// # Panics
    /// If the command is empty, or the system has no thread left.
    pub fn new(config: Config) -> Self {
        assert!(!config.command.is_empty(), "a replica's command names a program");
        ProcessEngine { config, spawner: spawner(), children: Arc::default(), changed: Arc::default() }
    }

    /// The same engine with the same children, which starts new ones as this says.
    pub fn configured(&self, config: Config) -> Self {
        let (spawner, children, changed) =
            (self.spawner.clone(), self.children.clone(), self.changed.clone());
        ProcessEngine { config, spawner, children, changed }
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Running>> {
        self.children.lock().expect("nobody panics while holding it")
    }

    async fn start_one(&self, launch: &Launch) -> Result<(), EngineError> {
        if self.children().contains_key(&launch.instance) {
            return Ok(());
        }
        let address = free_address().map_err(|source| self.missing(source))?;
        let (reply, spawned) = oneshot::channel();
        let command = self.command(launch, address);
        self.spawner.send(Spawn { command, reply }).expect("the spawner lives as long as the engine");
        let mut child = match timeout(ASK_TIMEOUT, spawned).await {
            Ok(spawned) => spawned.expect("the spawner answers").map_err(|source| self.missing(source))?,
            Err(_) => {
                return Err(EngineError::Unreachable {
                    kind: Kind::Process,
                    why: "fork takes too long".into(),
                });
            }
        };
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("not waited for yet");
        let (exited, exit) = watch::channel(None);
        let instance = Instance::of(launch, State::Running(Some(address)));
        let output = Output::new();
        let drained = drain(&mut child, &output);
        self.settle(Running { instance, pid, exit, output: output.clone() });
        let changed = self.changed.clone();
        tokio::spawn(async move {
            let status = child.wait().await.unwrap_or_else(|_| ExitStatus::from_raw(0));
            let _pipes_held_open = timeout(LAST_WORDS, drained).await;
            output.end();
            exited.send_replace(Some(status)); // nobody else waits: until this says so, the pid is the child's own
            changed.notify_one();
        });
        Ok(())
    }

    /// Enters the child, which takes the name from an older one.
    fn settle(&self, running: Running) {
        let mut children = self.children();
        for other in children.values_mut().filter(|other| other.instance.name == running.instance.name) {
            other.instance.holds_name = false;
        }
        children.insert(running.instance.id.clone(), running);
    }

    fn command(&self, launch: &Launch, address: SocketAddr) -> Command {
        let mut command = Command::new(&self.config.command[0]);
        command
            .args(&self.config.command[1..])
            .env("PORT", address.port().to_string())
            .env("BIND", address.ip().to_string())
            .env("SERVER_ID", launch.number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0); // a Ctrl-C in the terminal is the balancer's alone
        // settings of ours, a token among them, are none of the replica's business
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RINGKEEPER_"))
        {
            command.env_remove(name);
        }
        let told = ["PORT", "BIND"]; // by the balancer alone
        for variable in self.config.env.iter().filter(|variable| !told.contains(&variable.name.as_str())) {
            command.env(&variable.name, &variable.value);
        }
        die_with_parent(&mut command);
        command
    }

    fn missing(&self, source: std::io::Error) -> EngineError {
        EngineError::ProgramMissing { program: self.config.command[0].clone(), source }
    }

    async fn stop_one(&self, instance: &InstanceId, how: Stop) -> Result<(), EngineError> {
        let Some((pid, mut exit)) =
            self.children().get(instance).map(|child| (child.pid, child.exit.clone()))
        else {
            return Ok(());
        };
        if how == Stop::Gracefully {
            signal(pid, &exit, Signal::TERM);
            let _killed_below = timeout(self.config.stop_timeout, exit.wait_for(Option::is_some)).await;
        }
        signal(pid, &exit, Signal::KILL);
        let ended = timeout(ASK_TIMEOUT, exit.wait_for(Option::is_some)).await;
        ended.map(drop).map_err(|_| EngineError::Refused {
            kind: Kind::Process,
            attempt: format!("end process {}", pid.as_raw_nonzero()),
            why: "it outlives SIGKILL".into(),
        })?;
        self.children().remove(instance);
        self.changed.notify_one();
        Ok(())
    }
}

impl Engine for ProcessEngine {
    fn kind(&self) -> Kind {
        Kind::Process
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        let observe = |child: &Running| {
            let mut instance = child.instance.clone();
            if let Some(status) = *child.exit.borrow() {
                let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
                instance.state = State::Exited { code, out_of_memory: false };
            }
            instance
        };
        let instances = self.children().values().map(observe).collect();
        std::future::ready(Ok(instances)).boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> Answer<'a> {
        self.start_one(launch).boxed()
    }

    fn release<'a>(&'a self, instance: &'a InstanceId) -> Answer<'a> {
        if let Some(child) = self.children().get_mut(instance) {
            child.instance.holds_name = false;
        }
        std::future::ready(Ok(())).boxed()
    }

    fn stop<'a>(&'a self, instance: &'a InstanceId, how: Stop) -> Answer<'a> {
        self.stop_one(instance, how).boxed()
    }

    fn logs<'a>(&'a self, instance: &'a InstanceId, tail: usize, follow: bool) -> Answer<'a, Logs> {
        let output = self.children().get(instance).map(|child| child.output.read(tail, follow));
        std::future::ready(Ok(output.unwrap_or_else(|| stream::empty().boxed()))).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn clear(&self) -> Answer<'_> {
        std::future::ready(Ok(())).boxed()
    }
}

/// Takes in what the child writes, in the background. Done when both pipes are closed.
fn drain(child: &mut Child, output: &Arc<Output>) -> impl Future<Output = ()> + use<> {
    let stdout = child.stdout.take().map(|pipe| tokio::spawn(output.clone().drain(pipe)));
    let stderr = child.stderr.take().map(|pipe| tokio::spawn(output.clone().drain(pipe)));
    join_all(stdout.into_iter().chain(stderr)).map(drop)
}

/// Signals the child's whole group, unless the child has been waited for: its pid may be another's then.
fn signal(pid: Pid, exit: &watch::Receiver<Option<ExitStatus>>, signal: Signal) {
    if exit.borrow().is_none() {
        let _gone_is_fine = rustix::process::kill_process_group(pid, signal);
    }
}

/// A port that is free now. Another program may take it before the child does; then the child exits and is replaced.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The one thread that children are spawned from. A child gets its death signal when the *thread* that spawned it
/// ends, so this one lives exactly as long as the engine.
fn spawner() -> mpsc::Sender<Spawn> {
    let (sender, receiver) = mpsc::channel::<Spawn>();
    let runtime = Handle::current();
    let spawn = move || {
        for Spawn { mut command, reply } in receiver {
            let _in_runtime = runtime.enter();
            let _caller_gave_up = reply.send(command.spawn());
        }
    };
    std::thread::Builder::new().name("spawner".into()).spawn(spawn).expect("a thread for the process engine");
    sender
}

/// Has the kernel kill the child when the spawner thread ends, and so when the balancer dies in whatever way.
#[expect(unsafe_code, reason = "no safe way leads between fork and exec")]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        match rustix::process::getppid() {
            Some(now) if now == parent => Ok(()),
            _ => Err(std::io::ErrorKind::BrokenPipe.into()), // it died before the signal was armed
        }
    };
    // SAFETY: between fork and exec the closure only makes two system calls, which are async-signal-safe; it
    // allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(before_exec);
    }
}
