//! The tester where it needs nobody's balancer: the ring alone, results side by side, and the whole analysis on a balancer
//! of its own, whose replicas are processes. Where `make build` has not left the balancer beside the tools, the last one says
//! so and passes.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

fn ringtest(line: &str, folder: &Path) -> Output {
    command(line, folder).output().expect("the tester starts")
}

fn command(line: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtest"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).args(line.split(' ')).current_dir(folder);
    command
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

/// The names in a folder of results; none where there is no such folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The balancer beside the tester, if it is built.
fn balancer() -> Option<PathBuf> {
    let beside = |name: &str| Path::new(env!("CARGO_BIN_EXE_ringtest")).with_file_name(name);
    let built = beside("ringkeeper").exists() && beside("ringkeeper-server").exists();
    if !built {
        eprintln!("SKIPPED: no balancer beside the tester: `make build` makes it");
    }
    built.then(|| beside("ringkeeper"))
}

#[test]
fn the_ring_alone_leaves_charts_with_their_numbers() {
    let folder = folder();
    let output = ringtest("ring --servers 3,20 --keys 200k --hash quadratic,xxh3 --json", folder.path());
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(2 * 2 * 5), "{rows}");
    let stems = ["ring-balance", "ring-join", "ring-leave", "ring-slots"];
    let mut expected: Vec<String> =
        stems.iter().flat_map(|stem| ["csv", "png", "svg"].map(|kind| format!("{stem}.{kind}"))).collect();
    expected.push("ring.json".into());
    expected.sort();
    assert_eq!(names(&folder.path().join("plots")), expected);
}

#[test]
fn a_row_of_the_ring_that_breaks_an_assertion_is_named() {
    let folder = folder();
    let line =
        "ring --servers 3 --keys 50k --hash prime,xxh3 --virtual full --no-files --assert max_over_mean<1.05";
    assert_eq!(code(&ringtest(line, folder.path())), Some(0));
    let output = ringtest(&format!("{line} --assert max_over_mean<1"), folder.path());
    assert_eq!(code(&output), Some(1));
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("max_over_mean<1 does not hold: max_over_mean is 1.0"), "{said}");
    assert!(said.contains("(N = 3, prime, 262,147 slots, full)"), "{said}");
    assert!(names(folder.path()).is_empty(), "no files were wanted");
}

#[test]
fn an_assertion_about_nothing_that_is_measured_is_wrong_usage() {
    let folder = folder();
    for line in ["ring --assert p99<1ms", "run --assert p98<1ms", "run --assert p99<1"] {
        let output = ringtest(line, folder.path());
        assert_eq!(code(&output), Some(2), "{line}");
        assert!(stderr(&output).contains("max_over_mean") || stderr(&output).contains("20ms"), "{line}");
    }
    assert_eq!(code(&ringtest("run --assert failed=0", folder.path())), Some(2));
}

/// A result of `ringtest run`, with these numbers.
fn result(folder: &Path, name: &str, requests: [u64; 2], p99: f64) {
    let server = |server: &str, requests: u64| serde_json::json!({"server": server, "name": "Server", "requests": requests, "expected": requests, "share": 0.5});
    let [first, second] = requests;
    let text = serde_json::json!({
        "url": "http://h:80", "seed": 1, "requests": first + second, "connections": 8, "rate": null,
        "ring": {"slots": 512, "virtual": "9", "probing": "linear", "hash": "prime", "slack": 0.0},
        "servers": [server("1", first), server("2", second)], "exact": true, "pool_changed": false,
        "standard_deviation": 10.0, "max_over_mean": 1.5, "chi_square": 0.0, "chi_square_even": 9.0,
        "elapsed_s": 1.0, "requests_per_second": 1000.0, "failed": 0, "failures": {}, "unnamed": 0, "reconnects": 0,
        "latency_ms": {"p50": 1.0, "p90": 2.0, "p99": p99, "p99.9": 9.0, "max": 10.0},
    });
    std::fs::write(folder.join(name), text.to_string()).expect("written");
}

#[test]
fn two_results_stand_side_by_side_with_their_differences() {
    let folder = folder();
    result(folder.path(), "a.json", [600, 400], 4.0);
    result(folder.path(), "b.json", [700, 300], 5.0);
    let output = ringtest("compare a.json b.json --assert p99.ratio<=1.25", folder.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let p99 = text.lines().map(words).find(|words| words.first().is_some_and(|word| word == "p99"));
    assert_eq!(p99.expect("a line").join(" "), "p99 4 ms 5 ms +1 ms 1.250");
    assert!(text.lines().map(words).any(|words| words == ["2", "400", "300"]), "{text}");
    let output =
        ringtest("compare a.json b.json --json --assert p99.ratio<1.2 --assert p99<1ms", folder.path());
    let said = stderr(&output);
    assert_eq!((code(&output), said.lines().count()), (Some(1), 2), "{said}");
    assert!(said.contains("p99.ratio is 1.25") && said.contains("p99 is 5ms"), "{said}");
}

#[test]
fn what_is_no_result_is_said_to_be_none() {
    let folder = folder();
    std::fs::write(folder.path().join("a.json"), "{}").expect("written");
    let output = ringtest("compare a.json a.json", folder.path());
    assert!(code(&output) == Some(1) && stderr(&output).contains("no result of `ringtest run`"));
    assert!(stderr(&ringtest("compare b.json b.json", folder.path())).contains("cannot read b.json"));
}

#[test]
fn the_whole_analysis_is_exact_and_leaves_a_report() {
    if balancer().is_none() {
        return;
    }
    let folder = folder();
    let line = "analyze --engine process -n 500 -c 8 --most 3 --watch 4s --out found";
    let output = ringtest(line, folder.path());
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let found = folder.path().join("found");
    let read = |name: &str| std::fs::read_to_string(found.join(name)).expect(name);
    let report = read("README.md");
    for words in
        ["8 of 8 counts are exactly", "60 of the 60 numbers", "11 of 11 calls", "A-1", "A-2", "A-3", "A-4"]
    {
        assert!(report.contains(words), "no '{words}' in\n{report}");
    }
    for link in report.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let made = link.starts_with("ring-") || link.starts_with('#') || found.join(link).exists();
        assert!(made, "the report shows {link}, which is not there");
    }
    let analysis: Value = serde_json::from_str(&read("analysis.json")).expect("JSON");
    let kill = &analysis["recoveries"][0];
    assert!(kill["blow"] == "kill" && kill["back_at"].as_f64() > kill["noticed_at"].as_f64(), "{kill}");
    assert_eq!(read("a1.csv").lines().count(), 1 + 3 * 3);
}

#[test]
fn a_killed_process_is_a_row_of_the_chaos_with_its_verdict() {
    if balancer().is_none() {
        return;
    }
    let folder = folder();
    let output = ringtest("chaos --engine process --short --fault kill --json", folder.path());
    let chaos: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let row = &chaos["rows"][0];
    assert_eq!((&row["fault"], &row["in_front"]), (&"kill".into(), &"ringkeeper".into()), "{chaos}");
    assert!(row["requests"].as_u64().is_some_and(|requests| requests >= 2_500), "{chaos}");
    assert!(row["posts"].as_u64().is_some_and(|posts| posts >= 100), "{chaos}");
    let misses = chaos["misses"].as_array().map(Vec::len);
    assert_eq!(code(&output), Some(i32::from(misses != Some(0))), "{chaos}");
    assert_eq!(names(&folder.path().join("plots")), ["chaos.csv", "chaos.json"]);
}

#[test]
fn a_fault_of_containers_is_refused_where_the_replicas_are_processes() {
    if balancer().is_none() {
        return;
    }
    let output = ringtest("chaos --engine process --fault docker-rm", folder().path());
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("docker-rm needs containers"), "{}", stderr(&output));
}

/// A tester that is working; killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_interrupted_analysis_leaves_no_balancer_behind() {
    if balancer().is_none() {
        return;
    }
    let folder = folder();
    let mut command = command("analyze --engine process -n 4000000 --most 3", folder.path());
    command.env("TMPDIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut running = Running(command.spawn().expect("the tester starts"));
    let state = || names(folder.path()).into_iter().any(|name| name.starts_with("ringtest-"));
    until("its balancer has a state directory", state);
    // As a terminal does it: everyone in the tester's group gets the signal.
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process_group(pid, rustix::process::Signal::INT).expect("delivered");
    let mut status = None;
    until("the tester ends", || {
        status = running.0.try_wait().expect("a child");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    assert!(!state(), "the state directory is gone, and what it was of: {:?}", names(folder.path()));
}

#[expect(clippy::disallowed_methods, reason = "between two looks at a condition, which has a deadline")]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
