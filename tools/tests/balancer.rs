//! The tester against the real balancer, whose replicas are processes. Where `make build` has not left the balancer
//! beside the tools, these tests say so and pass.

mod support;

use serde_json::Value;

use tempfile::TempDir;

use self::support::{Balancer, NOWHERE, code, json, run, run_in, text};

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
fn a_balancer_that_wants_a_token_is_tested_with_it() {
    let Some(balancer) = Balancer::start_with_token("s3cret") else { return };
    let (code, _, error) = text(&balancer.ringtest("run -n 100 -c 2 --no-files"));
    assert!(code == 1 && error.contains("token"), "{code} {error}");
    let output = balancer.ringtest("run -n 100 -c 2 --no-files --exact --token s3cret");
    assert_eq!(support::code(&output), 0, "{output:?}");
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
fn without_a_balancer_the_tools_say_where_they_looked() {
    let (code, _, error) = text(&run(env!("CARGO_BIN_EXE_ringtest"), "run", NOWHERE, NOWHERE));
    assert!(code == 3 && error.contains(NOWHERE) && error.contains("url"), "{code} {error}");
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    for line in ["run -n 0", "run --rate 0"] {
        assert_eq!(code(&run(env!("CARGO_BIN_EXE_ringtest"), line, NOWHERE, NOWHERE)), 2, "{line}");
    }
}
