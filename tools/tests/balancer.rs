//! Both tools against the real balancer, whose replicas are processes. Where `make build` has not left the balancer
//! beside the tools, these tests say so and pass.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long a balancer may take to have its replicas ready.
const START: Duration = Duration::from_secs(30);

/// Where nobody listens: a port of the system's.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A balancer with three replicas, all ready; killed, and its replicas with it, when this is dropped.
struct Balancer {
    process: Child,
    url: String,
    admin_url: String,
    _state: TempDir,
}

impl Balancer {
    /// `None` where none is built.
    fn start(arguments: &[&str]) -> Option<Self> {
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
        balancer.wait_until_ready();
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

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + START;
        loop {
            let status = json(&self.ringctl("-o json status"));
            let replicas = status["replicas"].as_array().expect("replicas");
            if replicas.len() == 3 && replicas.iter().all(|replica| replica["state"] == "ready") {
                return;
            }
            assert!(Instant::now() < deadline, "not ready: {status}");
        }
    }

    fn ringctl(&self, line: &str) -> Output {
        run(env!("CARGO_BIN_EXE_ringctl"), line, &self.url, &self.admin_url)
    }

    fn ringtest(&self, line: &str) -> Output {
        run(env!("CARGO_BIN_EXE_ringtest"), line, &self.url, &self.admin_url)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ringtest")).with_file_name(name)
}

fn run(program: &str, line: &str, url: &str, admin_url: &str) -> Output {
    run_in(Path::new(env!("CARGO_TARGET_TMPDIR")), program, line, url, admin_url)
}

fn run_in(folder: &Path, program: &str, line: &str, url: &str, admin_url: &str) -> Output {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command.env_clear().args(line.split(' ')).env("RINGCTL_URL", url).env("RINGCTL_ADMIN_URL", admin_url);
    command.output().expect("the tool starts")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn text(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (code(output), text(&output.stdout), text(&output.stderr))
}

#[test]
fn ten_thousand_requests_over_64_connections_go_exactly_where_the_ring_sends_them() {
    let assignment: &[&str] = &["--preset", "assignment", "--heartbeat-interval", "1s"];
    for (arguments, line) in [
        (&[] as &[&str], "run -n 10000 -c 64 --seed 1 --exact --json"),
        (assignment, "run -n 10000 -c 64 --seed 2 --exact --json --as-body"),
    ] {
        let Some(balancer) = Balancer::start(arguments) else { return };
        let output = balancer.ringtest(line);
        let summary = json(&output);
        assert_eq!(code(&output), 0, "{summary}");
        assert_eq!(
            (&summary["failed"], &summary["exact"]),
            (&Value::from(0), &Value::from(true)),
            "{summary}"
        );
        let servers = summary["servers"].as_array().expect("servers");
        assert_eq!(servers.len(), 3);
        assert!(servers.iter().all(|server| server["requests"] == server["expected"]), "{summary}");
        assert_eq!(servers.iter().filter_map(|server| server["requests"].as_u64()).sum::<u64>(), 10_000);
    }
}

#[test]
fn a_ring_that_the_balancer_does_not_keep_to_is_noticed() {
    // Eight requests in ten to one server beside a third to each: no ids give both the same counts.
    let uneven = Balancer::start(&["--preset", "assignment", "--heartbeat-interval", "1s"]);
    let (Some(subject), Some(other)) = (uneven, Balancer::start(&[])) else { return };
    for (line, expected) in [("run -n 500 --seed 1 --exact --json", 1), ("run -n 500 --seed 1 --json", 0)] {
        let output = run(env!("CARGO_BIN_EXE_ringtest"), line, &subject.url, &other.admin_url);
        let summary = json(&output);
        assert_eq!(summary["failed"], 0, "{summary}");
        assert_eq!(summary["exact"], false, "{summary}");
        assert_eq!(code(&output), expected, "{summary}");
    }
}

#[test]
fn requests_that_fail_are_counted_and_make_the_test_fail() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let line = "run -n 100 --json";
    let output = run(env!("CARGO_BIN_EXE_ringtest"), line, NOWHERE, &balancer.admin_url);
    assert_eq!(code(&output), 1);
    assert_eq!(json(&output)["failures"], serde_json::json!({"connect": 100}));
}

#[test]
fn the_table_has_no_colour_where_it_is_not_read_on_a_terminal() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let (code, table, log) = text(&balancer.ringtest("run -n 300 -c 4 --rate 2000 --seed 1"));
    assert_eq!((code, log.as_str()), (0, ""));
    assert!(!table.contains('\u{1b}'), "{table}");
    for part in
        ["300 requests", "over 4 connections at 2000 a second, seed 1", "Server-3", "busiest/mean", "p99.9"]
    {
        assert!(table.contains(part), "no '{part}' in\n{table}");
    }
}

#[test]
fn a_run_leaves_charts_and_numbers_and_says_what_was_demanded_in_vain() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let folder = TempDir::new().expect("a temporary directory");
    let ringtest = |line: &str| {
        let program = env!("CARGO_BIN_EXE_ringtest");
        run_in(folder.path(), program, line, &balancer.url, &balancer.admin_url)
    };
    let line = "run -n 300 -c 4 --seed 1 --assert failed==0 --assert exact==1";
    let (code, table, _) = text(&ringtest(line));
    assert!(code == 0 && table.contains("in plots: run.svg run.png run.csv run-latency.svg"), "{table}");
    let result = std::fs::read_to_string(folder.path().join("plots/run.json")).expect("a result");
    let result: Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!((&result["requests"], &result["failed"]), (&Value::from(300), &Value::from(0)));
    let (code, _, error) =
        text(&ringtest("run -n 300 --json --no-files --assert max_over_mean<1 --assert p50<1h"));
    assert_eq!(code, 1);
    assert!(
        error.starts_with("assertion failed: max_over_mean<1 does not hold: max_over_mean is 1."),
        "{error}"
    );
}

#[test]
fn a_run_on_another_number_of_servers_adds_or_removes_some() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    for (servers, names) in [(4, 4), (2, 2)] {
        let line = format!("run {servers} -n 400 -c 4 --seed 1 --exact --json --no-files");
        let output = balancer.ringtest(&line);
        let summary = json(&output);
        assert_eq!(code(&output), 0, "{summary}");
        assert_eq!(summary["servers"].as_array().map(Vec::len), Some(names), "{summary}");
    }
}

#[test]
fn the_client_changes_the_replicas_and_says_what_came_of_it() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let three = "3 replicas\n  Server-1\n  Server-2\n  Server-3";
    assert_eq!(text(&balancer.ringctl("rep")), (0, three.to_owned(), String::new()));
    let added = json(&balancer.ringctl("add 2 hello world -o json"));
    assert_eq!(added["replicas"], serde_json::json!(["Server-1", "Server-2", "Server-3", "hello", "world"]));
    let (code, _, error) = text(&balancer.ringctl("add 1 hello"));
    assert!(code == 1 && error.contains("'hello'") && error.contains("nothing was changed"), "{error}");
    assert_eq!(text(&balancer.ringctl("del 2 hello world")), (0, three.to_owned(), String::new()));
    let (code, _, error) = text(&balancer.ringctl("rm 4"));
    assert!(code == 1 && error.contains("only 3"), "{error}");
}

#[test]
fn the_client_requests_what_the_replicas_serve() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let (code, answer, _) = text(&balancer.ringctl("home"));
    assert!(code == 0 && answer.starts_with("Hello from Server: "), "{answer}");
    assert_eq!(json(&balancer.ringctl("-o json home"))["status"], 200);
    let (code, answer, error) = text(&balancer.ringctl("hello/world"));
    assert!(code == 1 && answer.is_empty() && error.contains("/hello/world: 404"), "{answer} {error}");
}

#[test]
fn without_a_balancer_the_tools_say_where_they_looked() {
    for (program, line) in [
        (env!("CARGO_BIN_EXE_ringctl"), "rep"),
        (env!("CARGO_BIN_EXE_ringctl"), "status"),
        (env!("CARGO_BIN_EXE_ringtest"), "run"),
    ] {
        let (code, _, error) = text(&run(program, line, NOWHERE, NOWHERE));
        assert!(code == 3 && error.contains(NOWHERE) && error.contains("url"), "{code} {error}");
    }
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    for (program, line) in [
        (env!("CARGO_BIN_EXE_ringctl"), "add"),
        (env!("CARGO_BIN_EXE_ringctl"), "add 0"),
        (env!("CARGO_BIN_EXE_ringctl"), "two words"),
        (env!("CARGO_BIN_EXE_ringctl"), "--url https://h rep"),
        (env!("CARGO_BIN_EXE_ringtest"), "run -n 0"),
        (env!("CARGO_BIN_EXE_ringtest"), "run --rate 0"),
    ] {
        assert_eq!(code(&run(program, line, NOWHERE, NOWHERE)), 2, "{line}");
    }
}
