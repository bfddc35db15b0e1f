//! Many pools, against the real balancer.

use super::support::{Balancer, code, json as read, text};
use serde_json::{Value, json};

/// A pool of two more replicas of the balancer's own kind, by load, with a route to it.
fn with_web() -> Option<Balancer> {
    let balancer = Balancer::start(&[])?;
    let added = balancer.ringctl("pools add web engine=process replicas=2 policy=round-robin");
    assert_eq!(code(&added), 0, "{added:?}");
    let routed = balancer.ringctl("routes add web path=/web strip_prefix=true");
    assert_eq!(code(&routed), 0, "{routed:?}");
    balancer.wait_until_all_are_ready("--pool web", 2);
    Some(balancer)
}

fn names(status: &Value) -> Vec<&str> {
    let rows = status["replicas"].as_array().expect("replicas");
    rows.iter().map(|row| row["name"].as_str().expect("a name")).collect()
}

#[test]
fn a_pool_is_made_listed_changed_and_ended() {
    let Some(balancer) = with_web() else { return };
    let (_, list, _) = text(&balancer.ringctl("pools"));
    let row = |name: &str| {
        let row = list.lines().find(|line| line.starts_with(name)).expect(name);
        row.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((row("default"), row("web")), ("default ring 3/3".into(), "web round-robin 2/2".into()));
    let changed = read(&balancer.ringctl("pools set web engine=process replicas=2 policy=random -o json"));
    assert_eq!(changed["pools"][1]["policy"], "random");
    let (code, _, error) = text(&balancer.ringctl("pools add other polcy=ring"));
    assert!(code == 1 && error.contains("did you mean 'policy'"), "{error}");
    let (code, _, error) = text(&balancer.ringctl("pools rm web"));
    assert!(code == 1 && error.contains("routes lead to") && error.contains("`ringctl routes`"), "{error}");
    let (code, _, error) = text(&balancer.ringctl("routes rm 2"));
    assert!(code == 1 && error.contains("from 1 to 1"), "{error}");
    assert_eq!(read(&balancer.ringctl("routes rm 1 -o json")), json!({"routes": []}));
    assert_eq!(text(&balancer.ringctl("pools rm web -q")), (0, String::new(), String::new()));
    assert_eq!(text(&balancer.ringctl("pools -q")).1, "default");
}

#[test]
fn a_pool_has_replicas_and_requests_of_its_own() {
    let Some(balancer) = with_web() else { return };
    for _ in 0..4 {
        let (code, answer, error) = text(&balancer.ringctl("web/home"));
        assert!(code == 0 && answer.starts_with("Hello from Server: "), "{answer} {error}");
    }
    let status = read(&balancer.ringctl("status --pool web -o json"));
    assert_eq!((&status["policy"], &status["totals"]["dispatched"]), (&json!("round-robin"), &json!(4)));
    assert!(status["replicas"].as_array().expect("rows").iter().all(|row| row["requests"] == 2), "{status}");
    let (_, shown, _) = text(&balancer.ringctl("status --pool web"));
    assert!(
        shown.starts_with("web: 2 of 2 ready") && shown.contains("policy round-robin, 4 requests"),
        "{shown}"
    );
    assert!(shown.contains("p99 ") && !shown.contains("SHARE"), "{shown}");
    let added = read(&balancer.ringctl("add s9 --pool web -o json"));
    assert_eq!(added["replicas"][2], "s9");
    assert_eq!(names(&read(&balancer.ringctl("status -o json"))), ["Server-1", "Server-2", "Server-3"]);
    let (_, removed, _) = text(&balancer.ringctl("rm s9 --pool web --wait"));
    assert!(removed.starts_with("2 replicas") && removed.ends_with("- s9"), "{removed}");
    let (code, doctor, _) = text(&balancer.ringctl("doctor --pool web"));
    assert!(code == 0 && doctor.contains("pool 'web' has 1 route"), "{doctor}");
    let (_, explained, _) = text(&balancer.ringctl("explain 7 --pool web"));
    assert!(explained.contains("any of these"), "{explained}");
}

#[test]
fn another_pools_ring_is_tested_through_the_route_that_leads_to_it() {
    let Some(balancer) = with_web() else { return };
    let url = format!("{}/web", balancer.url);
    let ringtest =
        |line: &str| super::support::run(env!("CARGO_BIN_EXE_ringtest"), line, &url, &balancer.admin_url);
    let even = read(&ringtest("run -n 200 -c 2 --pool web --json --no-files"));
    assert_eq!((&even["failed"], &even["servers"][0]["expected"]), (&json!(0), &json!(100)), "{even}");
    let (code, _, error) = text(&ringtest("run -n 200 --pool web --exact --no-files"));
    assert!(code == 1 && error.contains("its policy is round-robin"), "{error}");
    assert_eq!(self::code(&balancer.ringctl("pools set web engine=process replicas=2 policy=ring")), 0);
    balancer.wait_until_all_are_ready("--pool web", 2);
    let exact = ringtest("run 3 -n 500 -c 4 --seed 1 --exact --pool web --json --no-files");
    assert_eq!(self::code(&exact), 0, "{exact:?}");
    assert_eq!(read(&exact)["servers"].as_array().map(Vec::len), Some(3));
}
