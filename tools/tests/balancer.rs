//! The tester against the real balancer, whose replicas are processes. Where `make build` has not left the balancer
//! beside the tools, these tests say so and pass.

mod support;

use serde_json::Value;

use self::support::{Balancer, NOWHERE, code, json, run, text};

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
