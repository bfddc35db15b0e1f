//! A balancer of a test's own: started for it, with replicas, ports, a state directory and a deployment that nobody else
//! has, and removed with all of them after it, whatever happens in between.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rand::RngExt;
use rustix::process::Pid;
use tempfile::TempDir;

use crate::{
    base::Base,
    client::{Client, Pool, Replica},
    docker::docker,
    said::Said,
    target::Target,
};

/// How long a balancer may take to say where it listens, and replicas to be ready.
const START: Duration = Duration::from_secs(90);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What runs the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Containers.
    Docker,
    /// Child processes of the balancer.
    Process,
}

impl Engine {
    /// Docker where one answers, else processes.
    pub fn found() -> Self {
        let answers = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
        if answers.is_ok_and(|output| output.status.success()) { Engine::Docker } else { Engine::Process }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Engine::Docker => "docker",
            Engine::Process => "process",
        }
    }
}

/// How a balancer is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program `ringkeeper`.
    pub program: PathBuf,
    /// What runs the replicas.
    pub engine: Engine,
    /// The image of the replicas.
    pub image: String,
}

/// A running balancer; removed with everything of it when this is dropped.
pub struct Subject {
    settings: Settings,
    process: Child,
    /// What every command about this deployment is given.
    place: Vec<OsString>,
    state: TempDir,
    deployment: String,
    log: Said,
    /// Where it takes requests.
    pub url: Base,
    /// Its control API.
    pub client: Client,
    down: bool,
}

impl Subject {
    /// Starts one with these replicas and further arguments; done when every replica is ready.
    pub async fn start(settings: &Settings, replicas: usize, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut subject = Self::launch(settings, replicas, arguments).await?;
        subject.ready(replicas).await?;
        Ok(subject)
    }

    /// The same, done when the balancer can be asked.
    pub async fn launch(settings: &Settings, replicas: usize, arguments: &[&str]) -> anyhow::Result<Self> {
        let state = TempDir::with_prefix("ringtest-").context("no temporary directory")?;
        let deployment = format!("ringtest-{:08x}", rand::rng().random::<u32>());
        let place = place(settings, &deployment, state.path());
        let mut process = command(settings, "serve", &place, state.path())
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--replicas", &replicas.to_string()])
            .args(arguments)
            .spawn()
            .with_context(|| format!("cannot start {}", settings.program.display()))?;
        let log = Said::on(process.stderr.take().expect("piped"));
        let url: Base = "127.0.0.1:1".parse()?;
        let client = Client::new(url.clone(), url.clone());
        let settings = settings.clone();
        let mut subject =
            Subject { settings, process, place, state, deployment, log, url, client, down: false };
        let admin = subject.address_after("ready for operators address=").await?;
        subject.url = subject.address_after("ready for requests address=").await?;
        subject.client = Client::new(subject.url.clone(), admin);
        Ok(subject)
    }

    /// Waits until so many replicas are there and all of them are ready.
    pub async fn ready(&mut self, replicas: usize) -> anyhow::Result<Pool> {
        self.ready_of(replicas, replicas).await
    }

    /// Waits until so many replicas are there and at least `ready` of them are ready.
    pub async fn ready_of(&mut self, ready: usize, replicas: usize) -> anyhow::Result<Pool> {
        let deadline = Instant::now() + START;
        loop {
            let pool = self.client.pool().await?;
            let now_ready = pool.replicas.iter().filter(|replica| replica.is_ready()).count();
            if pool.replicas.len() == replicas && now_ready >= ready {
                return Ok(pool);
            }
            let states: Vec<String> =
                pool.replicas.iter().map(|replica| format!("{} {}", replica.name, replica.state)).collect();
            ensure!(
                Instant::now() < deadline,
                "{ready} of {replicas} replicas are not ready in {START:?}: {states:?}"
            );
            self.lives()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where a replica can be hit.
    pub fn target(&self, replica: &Replica) -> anyhow::Result<Target> {
        Ok(match self.settings.engine {
            Engine::Docker => Target::container(self.container(replica)?),
            Engine::Process => {
                let process =
                    self.process_of(replica.number).context("the replica's process is not found")?;
                Target::process(process)
            }
        })
    }

    /// The name that its containers are marked with, and that of their network.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    /// What the balancer has said so far, in lines.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Removes the replicas and everything else; the balancer ends. Where that fails it is tried once more.
    pub fn down(mut self) -> anyhow::Result<()> {
        self.take_down()
    }

    fn take_down(&mut self) -> anyhow::Result<()> {
        let downed = command(&self.settings, "down", &self.place, self.state.path()).output();
        let _ended_already = self.process.kill();
        let _ = self.process.wait();
        let downed = downed.context("cannot take the balancer down")?;
        let said = String::from_utf8_lossy(&downed.stderr).trim().to_owned();
        ensure!(
            downed.status.success(),
            "the balancer's replicas may be left (deployment {}): {said}",
            self.deployment
        );
        self.down = true;
        Ok(())
    }

    async fn address_after(&mut self, words: &str) -> anyhow::Result<Base> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(address) = self.log.after(words) {
                return address.parse().with_context(|| format!("'{words}{address}' in the balancer's log"));
            }
            ensure!(Instant::now() < deadline, "the balancer does not say '{words}'");
            self.lives()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    fn lives(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the balancer ended ({status}); its last words:\n{}", self.log().join("\n"));
        }
        Ok(())
    }

    fn container(&self, replica: &Replica) -> anyhow::Result<String> {
        let deployment = format!("--filter=label=ringkeeper.deployment={}", self.deployment);
        let instance = format!("--filter=label=ringkeeper.instance={}", replica.instance);
        let id = docker(&["ps", "--quiet", "--no-trunc", &deployment, &instance])?;
        ensure!(!id.is_empty(), "the container of {} is not found", replica.name);
        Ok(id)
    }

    /// The child of the balancer that plays this number (Linux).
    fn process_of(&self, number: u16) -> Option<Pid> {
        let parent = self.process.id().to_string();
        let wanted = format!("SERVER_ID={number}");
        let plays = |folder: &Path| {
            let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
            let is_child = stat.rsplit(')').next()?.split_whitespace().nth(1)? == parent;
            let environment = std::fs::read(folder.join("environ")).ok()?;
            let says = environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
            (is_child && says).then_some(())
        };
        let entries = std::fs::read_dir("/proc").ok()?.flatten();
        let found = entries.map(|entry| entry.path()).find(|folder| plays(folder).is_some())?;
        Pid::from_raw(found.file_name()?.to_str()?.parse().ok()?)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if !self.down
            && let Err(error) = self.take_down()
        {
            eprintln!("warning: {error:#}");
        }
    }
}

fn place(settings: &Settings, deployment: &str, state: &Path) -> Vec<OsString> {
    let mut place: Vec<OsString> =
        ["--engine", settings.engine.word(), "--deployment", deployment].map(OsString::from).into();
    place.extend(["--image".into(), OsString::from(&settings.image), "--state-dir".into(), state.into()]);
    place
}

/// A command of the balancer's, which sees no settings but those it is given.
fn command(settings: &Settings, subcommand: &str, place: &[OsString], folder: &Path) -> Command {
    let mut command = Command::new(&settings.program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGKEEPER_") {
            command.env_remove(name);
        }
    }
    command.arg(subcommand).args(place).current_dir(folder); // where no ringkeeper.toml is
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.process_group(0); // a Ctrl-C in the terminal is the tester's alone, which then takes everything down
    command
}
