//! A running balancer.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Answer, Client, PATIENCE, until, within};

/// A balancer's process, killed when this is dropped. Where the test failed, its log is shown.
pub struct Balancer {
    process: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub traffic: SocketAddr,
    pub admin: SocketAddr,
}

/// One row of `/v1/pools/default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub number: u64,
    pub state: String,
    pub reason: Option<String>,
    pub instance: String,
    pub address: Option<SocketAddr>,
    pub restarts: u64,
}

impl Balancer {
    pub(super) async fn launch(mut command: Command) -> Self {
        let mut process =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the balancer starts");
        let log = follow(process.stderr.take().expect("piped"));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut balancer = Balancer { process, log, traffic: nowhere, admin: nowhere };
        balancer.admin = balancer.address_after("ready for operators address=").await;
        balancer.traffic = balancer.address_after("ready for requests address=").await;
        balancer
    }

    async fn address_after(&mut self, words: &str) -> SocketAddr {
        within(PATIENCE, words, async || {
            let ended = self.process.try_wait().expect("a child");
            let found = self.log().iter().find_map(|line| Some(line.split_once(words)?.1.trim().to_owned()));
            assert!(
                ended.is_none() || found.is_some(),
                "the balancer ended ({ended:?}):\n{}",
                self.log().join("\n")
            );
            found
        })
        .await
        .parse()
        .expect("an address")
    }

    /// What it and its replicas have said so far, in lines.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics while holding it").clone()
    }

    /// A new connection of a client.
    pub async fn client(&self) -> Client {
        Client::connect(self.traffic).await
    }

    /// The answer to one request on a connection of its own.
    pub async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.client().await.call(method, path, body).await
    }

    /// What `GET /rep` answers.
    pub async fn rep(&self) -> String {
        self.call("GET", "/rep", "").await.body
    }

    /// The names that `GET /rep` shows.
    pub async fn names(&self) -> Vec<String> {
        names(&self.rep().await)
    }

    /// What `GET /v1/pools/default` answers.
    pub async fn pool(&self) -> Value {
        Client::connect(self.admin).await.call("GET", "/v1/pools/default", "").await.json()
    }

    /// Its rows.
    pub async fn rows(&self) -> Vec<Row> {
        self.pool().await["replicas"].as_array().expect("rows").iter().map(Row::from).collect()
    }

    /// The row of this name that is not leaving.
    pub async fn row(&self, name: &str) -> Row {
        let mut rows = self.rows().await.into_iter().filter(|row| row.state != "leaving");
        rows.find(|row| row.name == name).unwrap_or_else(|| panic!("no replica '{name}'"))
    }

    /// Name and number of each desired replica, in the order of joining.
    pub async fn seats(&self) -> Vec<(String, u64)> {
        let rows = self.rows().await.into_iter().filter(|row| row.state != "leaving");
        rows.map(|row| (row.name, row.number)).collect()
    }

    /// Waits until each replica is ready and none is leaving.
    pub async fn all_ready(&self) {
        until("every replica is ready", async || self.rows().await.iter().all(|row| row.state == "ready"))
            .await;
    }

    /// Waits until another instance than this row's is ready under its name; returns its row.
    pub async fn replaced(&self, old: &Row, patience: Duration) -> Row {
        within(patience, "the replica is replaced", async || {
            let row = self.row(&old.name).await;
            (row.instance != old.instance && row.state == "ready").then_some(row)
        })
        .await
    }

    /// Tells it to stop.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("delivered");
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill().expect("delivered");
        self.process.wait().expect("a child");
    }

    /// Waits for its end.
    pub async fn ends(&mut self) -> ExitStatus {
        within(PATIENCE, "the balancer ends", async || self.process.try_wait().expect("a child")).await
    }

    /// How much of its memory is resident, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        resident.expect("a process has a size").parse().expect("a number")
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("it runs").count()
    }

    /// The replicas that it found dead so far: of what.
    pub fn deaths(&self) -> Vec<String> {
        let cause = |line: &String| Some(line.split_once("dead, replacing it: ")?.1.to_owned());
        self.log().iter().filter_map(cause).collect()
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _may_have_ended = self.process.kill();
        let _may_have_ended = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the balancer's log:\n{}\n---", self.log().join("\n"));
        }
    }
}

impl From<&Value> for Row {
    fn from(row: &Value) -> Self {
        let text = |key: &str| row[key].as_str().expect("a string").to_owned();
        Row {
            name: text("name"),
            number: row["number"].as_u64().expect("a number"),
            state: text("state"),
            reason: row["reason"].as_str().map(str::to_owned),
            instance: text("instance"),
            address: row["address"].as_str().map(|address| address.parse().expect("an address")),
            restarts: row["restarts"].as_u64().expect("a number"),
        }
    }
}

/// The names in an answer to `/rep`, `/add` or `/rm`.
pub fn names(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).expect("JSON");
    let names = body["message"]["replicas"].as_array().unwrap_or_else(|| panic!("no replicas in {body}"));
    names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// Collects the lines of a log as they come.
fn follow(stderr: ChildStderr) -> Arc<Mutex<Vec<String>>> {
    let log = Arc::<Mutex<Vec<String>>>::default();
    let lines = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            lines.lock().expect("nobody panics while holding it").push(line);
        }
    });
    log
}
