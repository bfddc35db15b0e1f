//! Who is measured: Ringkeeper, its peers, and the floor.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use ringkeeper_tools::{
    base::Base,
    chart::Ink,
    ids::Ids,
    load::{self, Carry, Load, Protocol, Reuse},
};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    config, listen,
    program::{LOOK, Program, START},
};

/// Where Debian has servers, whether or not a user's PATH leads there.
const SERVERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// How often a program that had its port taken away before it could bind it is given another.
const PORTS: usize = 3;

/// How many requests for each origin have to be answered, by all of them, before it counts as ready.
const GREETINGS: usize = 100;

/// One that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Ours.
    Ringkeeper,
    /// Whom the others are compared with.
    HaProxy,
    /// The other peer.
    Nginx,
    /// Bytes carried on, and nothing else done.
    Relay,
}

/// What a subject is started for.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// What it is asked in.
    pub protocol: Protocol,
    /// How it shares requests out, in its own words: Ringkeeper's policy, lines of HAProxy's or nginx's configuration.
    pub rule: &'a str,
}

/// A subject with what it takes to start it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Which one.
    pub subject: Subject,
    program: PathBuf,
    /// What it says of itself.
    pub version: String,
}

/// A subject that answers; killed when this is dropped, and then its files removed.
#[derive(Debug)]
pub struct Running {
    /// Its processes.
    pub program: Program,
    /// Where it takes requests.
    pub base: Base,
    _home: TempDir,
}

impl Subject {
    /// In the order in which they stand in tables.
    pub const ALL: [Subject; 4] = [Subject::Ringkeeper, Subject::HaProxy, Subject::Nginx, Subject::Relay];

    /// Its name on the command line and in files.
    pub fn word(self) -> &'static str {
        match self {
            Subject::Ringkeeper => "ringkeeper",
            Subject::HaProxy => "haproxy",
            Subject::Nginx => "nginx",
            Subject::Relay => "relay",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Subject::Ringkeeper => "Ringkeeper",
            Subject::HaProxy => "HAProxy",
            Subject::Nginx => "nginx",
            Subject::Relay => "bare TCP relay",
        }
    }

    /// Its colour in charts.
    pub fn ink(self) -> Ink {
        Ink::Series(match self {
            Subject::Ringkeeper => 0,
            Subject::HaProxy => 1,
            Subject::Nginx => 2,
            Subject::Relay => 7,
        })
    }

    /// The one with this name, or a line that says which there are.
    pub fn named(word: &str) -> Result<Self, String> {
        let names = || Subject::ALL.map(Subject::word).join(", ");
        Subject::ALL
            .into_iter()
            .find(|subject| subject.word() == word)
            .ok_or_else(|| format!("one of {}", names()))
    }

    /// Consistent hashing of the parameter `request_id`, in its words. The relay, which sees no requests, has none.
    pub fn hashing(self) -> &'static str {
        match self {
            Subject::Ringkeeper => "ring",
            Subject::HaProxy => config::HAPROXY_HASHING,
            Subject::Nginx => config::NGINX_HASHING,
            Subject::Relay => "",
        }
    }

    /// Whether it can carry such requests: the relay can't change between HTTP/2 and HTTP/1.1.
    pub fn carries(self, protocol: Protocol) -> bool {
        self != Subject::Relay || !matches!(protocol, Protocol::Http2(_))
    }

    /// Where it is installed; else a line that says how to come by it.
    pub fn find(self, ringkeeper: &Path) -> Result<Candidate, String> {
        let (program, version) = match self {
            Subject::Ringkeeper => (Some(ringkeeper.to_owned()).filter(|path| path.is_file()), "--version"),
            Subject::Relay => (env::current_exe().ok(), "--version"),
            Subject::HaProxy | Subject::Nginx => (installed(self.word()), "-v"),
        };
        let missing = || match self {
            Subject::Ringkeeper => {
                format!("there is no balancer at {}: say where with --ringkeeper", ringkeeper.display())
            }
            Subject::Relay => "this program's own place is not known".to_owned(),
            Subject::HaProxy | Subject::Nginx => {
                let name = self.word();
                format!("{} is not installed: on Debian and Ubuntu, apt-get install {name}", self.title())
            }
        };
        let program = program.ok_or_else(missing)?;
        Ok(Candidate { subject: self, version: said(&program, version), program })
    }
}

impl Candidate {
    /// Starts it before these origins, on this core; done when requests reach all of them.
    pub async fn start(
        &self,
        origins: &[SocketAddr],
        core: usize,
        task: Task<'_>,
    ) -> anyhow::Result<Running> {
        let mut attempt = 1;
        loop {
            match self.attempt(origins, core, task).await {
                Err(_) if attempt < PORTS && matches!(self.subject, Subject::HaProxy | Subject::Nginx) => {
                    attempt += 1;
                }
                started => {
                    return started.with_context(|| format!("{} does not start", self.subject.title()));
                }
            }
        }
    }

    async fn attempt(&self, origins: &[SocketAddr], core: usize, task: Task<'_>) -> anyhow::Result<Running> {
        let home = TempDir::with_prefix("ringtest-bench-").context("no temporary directory")?;
        let port = listen::free_port()?;
        let mut program = Program::start(self.command(origins, port, home.path(), task)?, core)?;
        let address = match self.subject {
            Subject::Ringkeeper => program.says("ready for requests address=").await?,
            Subject::Relay => program.says(listen::WORDS).await?,
            Subject::HaProxy | Subject::Nginx => format!("127.0.0.1:{port}"),
        };
        let mut running = Running { program, base: address.parse()?, _home: home };
        running.greet(origins.len(), task.protocol).await?;
        Ok(running)
    }

    fn command(
        &self,
        origins: &[SocketAddr],
        port: u16,
        home: &Path,
        Task { protocol, rule }: Task<'_>,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.current_dir(home); // where no ringkeeper.toml is
        let write = |name: &str, text: &str| {
            let path = home.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(path)
        };
        match self.subject {
            Subject::Ringkeeper => {
                without_settings(&mut command);
                command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
                command.args(["--engine", "fixed", "--threads", "1", "--key", "query:request_id"]);
                command.args(["--policy", rule]);
                command.arg("--state-dir").arg(home);
                if let Protocol::Grpc(_) = protocol {
                    command.args(["--protocol", "h2c"]);
                }
                for origin in origins {
                    command.args(["--upstream", &origin.to_string()]);
                }
            }
            Subject::HaProxy => {
                let file = write("haproxy.cfg", &config::haproxy(port, origins, protocol, rule))?;
                command.arg("-db").arg("-f").arg(file);
            }
            Subject::Nginx => {
                let root = rustix::process::getuid().is_root();
                let file = write("nginx.conf", &config::nginx(port, origins, protocol, rule, (home, root)))?;
                command.arg("-e").arg("stderr").arg("-p").arg(home).arg("-c").arg(file);
            }
            Subject::Relay => {
                command.arg("relay").args(origins.iter().map(SocketAddr::to_string));
            }
        }
        Ok(command)
    }
}

impl Running {
    /// Waits until so many requests in a row are answered, by every origin.
    async fn greet(&mut self, origins: usize, protocol: Protocol) -> anyhow::Result<()> {
        let load = Load {
            base: self.base.clone(),
            path: "/small".into(),
            protocol,
            requests: (GREETINGS * origins) as u64,
            connections: 2 * origins,
            rate: None,
            carry: Carry::Query,
            reuse: Reuse::Kept,
            timeout: Duration::from_secs(5),
        };
        let deadline = Instant::now() + START;
        loop {
            let report = load::run(&load, Ids::new(1), |_| ()).await?;
            if report.failed() == 0 && report.servers.len() == origins {
                return Ok(());
            }
            self.program.lives()?;
            if Instant::now() > deadline {
                bail!("it does not answer for every origin: {:?}, {:?}", report.servers, report.failures);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The origins, on a core, which speak HTTP/2 alone or HTTP/1.1 alone; killed when the program is dropped.
pub async fn origins(count: usize, core: usize, http2: bool) -> anyhow::Result<(Program, Vec<SocketAddr>)> {
    let mut command = Command::new(env::current_exe().context("this program's own place is not known")?);
    command.args(["origins", &count.to_string()]);
    if http2 {
        command.arg("--http2");
    }
    let mut program = Program::start(command, core)?;
    let said = program.says(listen::WORDS).await?;
    let addresses: Result<Vec<SocketAddr>, _> = said.split(' ').map(str::parse).collect();
    let addresses = addresses.with_context(|| format!("no addresses in '{said}'"))?;
    ensure!(addresses.len() == count, "{count} origins were to start: '{said}'");
    Ok((program, addresses))
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SERVERS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The first line that a program says of its version, wherever it says it.
fn said(program: &Path, option: &str) -> String {
    let Ok(output) = Command::new(program).arg(option).output() else { return String::new() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    line.split(" - http").next().unwrap_or_default().trim().to_owned()
}

/// Settings of whoever runs the benchmark are not the subject's.
fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RINGKEEPER_")) {
        command.env_remove(name);
    }
}
