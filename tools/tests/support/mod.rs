//! The real balancer, whose replicas are processes, and the tools run beside it.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Where nobody listens: a port of the system's.
pub const NOWHERE: &str = "http://127.0.0.1:1";

/// How long a balancer may take to have its replicas ready.
const START: Duration = Duration::from_secs(30);

/// A balancer with three replicas, all ready; killed, and its replicas with it, when this is dropped.
pub struct Balancer {
    process: Child,
    pub url: String,
    pub admin_url: String,
    _state: TempDir,
}

impl Balancer {
    /// `None` where none is built.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let balancer = Self::launch(arguments)?;
        balancer.wait_until_ready("");
        Some(balancer)
    }

    /// The same with a token, which every caller has to bring.
    pub fn start_with_token(token: &str) -> Option<Self> {
        let balancer = Self::launch(&["--admin-token", token])?;
        balancer.wait_until_ready(&format!(" --token {token}"));
        Some(balancer)
    }

    fn launch(arguments: &[&str]) -> Option<Self> {
        let program = beside("ringkeeper");
        if !program.exists() || !beside("ringkeeper-server").exists() {
            eprintln!("SKIPPED: no balancer at {}: `make build` makes it", program.display());
            return None;
        }
        let state = TempDir::new().expect("a temporary directory");
        let mut process = Command::new(program)
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--engine", "process"])
            .arg("--state-dir")
            .arg(state.path())
            .args(arguments)
            .current_dir(state.path()) // where no ringkeeper.toml is
            .stderr(Stdio::piped())
            .spawn()
            .expect("the balancer starts");
        let log = BufReader::new(process.stderr.take().expect("piped"));
        let mut balancer = Balancer { process, url: String::new(), admin_url: String::new(), _state: state };
        balancer.admin_url_and_url_from(log);
        Some(balancer)
    }

    /// Reads the log until both addresses were in it, and then on, so that the balancer never waits for a reader.
    fn admin_url_and_url_from(&mut self, log: impl BufRead + Send + 'static) {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _nobody_listens_any_more = sender.send(line);
            }
        });
        let deadline = Instant::now() + START;
        while self.url.is_empty() || self.admin_url.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).expect("both addresses in the log");
            if let Some((_, address)) = line.split_once("ready for requests address=") {
                self.url = format!("http://{address}");
            } else if let Some((_, address)) = line.split_once("ready for operators address=") {
                self.admin_url = format!("http://{address}");
            }
        }
    }

    fn wait_until_ready(&self, options: &str) {
        self.wait_until_all_are_ready(options.trim(), 3);
    }

    /// Waits until the pool that these options name has so many replicas and all are ready.
    pub fn wait_until_all_are_ready(&self, options: &str, count: usize) {
        let deadline = Instant::now() + START;
        loop {
            let status = json(&self.ringctl(format!("-o json status {options}").trim_end()));
            let replicas = status["replicas"].as_array().expect("replicas");
            if replicas.len() == count && replicas.iter().all(|replica| replica["state"] == "ready") {
                return;
            }
            assert!(Instant::now() < deadline, "not ready: {status}");
        }
    }

    pub fn ringctl(&self, line: &str) -> Output {
        run(env!("CARGO_BIN_EXE_ringctl"), line, &self.url, &self.admin_url)
    }

    pub fn ringtest(&self, line: &str) -> Output {
        run(env!("CARGO_BIN_EXE_ringtest"), line, &self.url, &self.admin_url)
    }
}

impl Balancer {
    /// Ends it, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ringtest")).with_file_name(name)
}

pub fn run(program: &str, line: &str, url: &str, admin_url: &str) -> Output {
    run_in(Path::new(env!("CARGO_TARGET_TMPDIR")), program, line, url, admin_url)
}

/// The same, in this folder.
pub fn run_in(folder: &Path, program: &str, line: &str, url: &str, admin_url: &str) -> Output {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command.env_clear().args(line.split(' ')).env("RINGCTL_URL", url).env("RINGCTL_ADMIN_URL", admin_url);
    command.output().expect("the tool starts")
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

pub fn text(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (code(output), text(&output.stdout), text(&output.stderr))
}
