//! `/rep`, `/add` and `/rm`: the assignment's words.

use serde_json::{Value, json};

use crate::support::{Answer, Balancer, Deployment, balancer::names};

fn said(message: &str) -> String {
    json!({ "message": message, "status": "failure" }).to_string()
}

fn done(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!(r#"{{"message":{{"N":{},"replicas":[{}]}},"status":"successful"}}"#, names.len(), names.join(","))
}

async fn add(balancer: &Balancer, payload: Value) -> Answer {
    balancer.call("POST", "/add", &payload.to_string()).await
}

async fn rm(balancer: &Balancer, payload: Value) -> Answer {
    balancer.call("DELETE", "/rm", &payload.to_string()).await
}

/// Whether this is `Server-XXX-YYY`.
fn is_drawn(name: &str) -> bool {
    let digits = |part: &str| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix("Server-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(random, clock)| digits(random) && digits(clock))
}

#[tokio::test]
async fn rep_answers_to_the_letter() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    let answer = balancer.call("GET", "/rep", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        answer.body,
        r#"{"message":{"N":3,"replicas":["Server-1","Server-2","Server-3"]},"status":"successful"}"#
    );
}

#[tokio::test]
async fn added_ones_come_last_the_named_ones_first_and_the_rest_with_drawn_names() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    let answer = add(&balancer, json!({ "n": 4, "hostnames": ["S5", "S4"] })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, balancer.rep().await);
    let now = names(&answer.body);
    assert_eq!(now[..5], ["Server-1", "Server-2", "Server-3", "S5", "S4"]);
    assert!(is_drawn(&now[5]) && is_drawn(&now[6]) && now[5] != now[6] && now.len() == 7, "{now:?}");
    assert_eq!(answer.body, done(&now.iter().map(String::as_str).collect::<Vec<_>>()));
    balancer.all_ready().await; // which is what the answer waited for
    let numbers: Vec<u64> = balancer.seats().await.into_iter().map(|(_, number)| number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn added_ones_are_ready_when_the_answer_comes() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "0"]).await;
    add(&balancer, json!({ "n": 2 })).await;
    assert!(balancer.rows().await.iter().all(|row| row.state == "ready"));
}

#[tokio::test]
async fn hostnames_may_be_empty_or_left_out_and_drawn_names_are_never_the_same() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "0"]).await;
    assert_eq!(add(&balancer, json!({ "n": 5 })).await.status, 200);
    assert_eq!(add(&balancer, json!({ "n": 5, "hostnames": [] })).await.status, 200);
    let mut drawn = balancer.names().await;
    assert!(drawn.len() == 10 && drawn.iter().all(|name| is_drawn(name)), "{drawn:?}");
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 10);
}

#[tokio::test]
async fn named_ones_are_removed_and_the_rest_is_drawn_among_the_others() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "6"]).await;
    let answer = rm(&balancer, json!({ "n": 3, "hostnames": ["Server-5"] })).await;
    assert_eq!((answer.status, &answer.body), (200, &balancer.rep().await));
    let left = names(&answer.body);
    assert_eq!(left.len(), 3);
    assert!(!left.contains(&"Server-5".to_owned()));
    assert!(left.is_sorted(), "the others keep the order of joining: {left:?}");
}

#[tokio::test]
async fn a_removed_name_and_the_lowest_number_are_free_at_once() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    let answer = rm(&balancer, json!({ "n": 1, "hostnames": ["Server-2"] })).await;
    assert_eq!(answer.body, done(&["Server-1", "Server-3"]));
    let answer = add(&balancer, json!({ "n": 2, "hostnames": ["S9", "Server-2"] })).await;
    assert_eq!(answer.body, done(&["Server-1", "Server-3", "S9", "Server-2"]));
    let numbers: Vec<u64> = balancer.seats().await.into_iter().map(|(_, number)| number).collect();
    assert_eq!(numbers, [1, 3, 2, 4]);
}

#[tokio::test]
async fn all_may_be_removed_and_then_there_is_no_one_to_answer_until_one_is_added() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "2"]).await;
    let answer = rm(&balancer, json!({ "n": 2 })).await;
    assert_eq!(answer.body, r#"{"message":{"N":0,"replicas":[]},"status":"successful"}"#);
    let refused = balancer.call("GET", "/home", "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["status"], "failure");
    assert_eq!(add(&balancer, json!({ "n": 1 })).await.status, 200);
    assert_eq!(balancer.call("GET", "/home", "").await.server(), 1);
}

/// Each bad payload, and what its error has to say: of several reasons the first in the assignment's order.
#[tokio::test]
async fn a_bad_payload_is_refused_for_the_first_reason_and_nothing_changes() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--virtual", "9", "--slots", "45"]).await; // room for 5
    let before = (balancer.rep().await, balancer.rows().await);
    let too_many_to_add = "<Error> Length of hostname list is more than newly added instances";
    let too_many_to_remove = "<Error> Length of hostname list is more than removable instances";
    let add = ("POST", "/add");
    let rm = ("DELETE", "/rm");
    for ((method, path), payload, says) in [
        (add, "", "JSON"),
        (add, "n=1", "JSON"),
        (add, r#"{"n":1"#, "JSON"),
        (add, "[1]", "JSON object"),
        (add, "{}", "'n' is missing"),
        (add, r#"{"n":"1"}"#, "whole number"),
        (add, r#"{"n":1.5,"hostnames":[]}"#, "whole number"),
        (add, r#"{"n":null}"#, "whole number"),
        (add, r#"{"n":true}"#, "whole number"),
        (add, r#"{"n":1,"hostnames":"S4"}"#, "list of strings"),
        (add, r#"{"n":1,"hostnames":[4]}"#, "list of strings"),
        (add, r#"{"n":0,"hostnames":[4]}"#, "list of strings"),
        (add, r#"{"n":0}"#, "more than 0"),
        (add, r#"{"n":-2,"hostnames":["S4"]}"#, "more than 0"),
        (add, r#"{"n":1,"hostnames":["S4","S5"]}"#, too_many_to_add),
        (add, r#"{"n":1,"hostnames":["Server-1","Server-1"]}"#, too_many_to_add),
        (add, r#"{"n":99,"hostnames":["S4","S4","Server-1"]}"#, "already a replica named 'Server-1'"),
        (add, r#"{"n":2,"hostnames":["S4","Server-1"]}"#, "already a replica named 'Server-1'"),
        (add, r#"{"n":1,"hostnames":["a/b"]}"#, "'a/b' cannot be a hostname"),
        (add, r#"{"n":1,"hostnames":[""]}"#, "cannot be a hostname"),
        (add, r#"{"n":99,"hostnames":["S4","S4"]}"#, "'S4' is given twice"),
        (add, r#"{"n":3}"#, "room for 2 more"),
        (add, r#"{"n":18446744073709551615}"#, "room for 2 more"),
        (rm, "", "JSON"),
        (rm, r#"{"hostnames":[]}"#, "'n' is missing"),
        (rm, r#"{"n":1.5}"#, "whole number"),
        (rm, r#"{"n":0}"#, "more than 0"),
        (rm, r#"{"n":-1}"#, "more than 0"),
        (rm, r#"{"n":4}"#, "there are only 3"),
        (rm, r#"{"n":4,"hostnames":["a","b","c","d","e"]}"#, "there are only 3"),
        (rm, r#"{"n":1,"hostnames":["Server-1","Server-2"]}"#, too_many_to_remove),
        (rm, r#"{"n":1,"hostnames":["S9","S9"]}"#, too_many_to_remove),
        (rm, r#"{"n":3,"hostnames":["Server-1","Server-1","S9"]}"#, "no replica named 'S9'"),
        (rm, r#"{"n":2,"hostnames":["Server-1","Server-1"]}"#, "'Server-1' is given twice"),
    ] {
        let answer = balancer.call(method, path, payload).await;
        let message = answer.json()["message"].as_str().expect("a message").to_owned();
        assert_eq!(answer.status, 400, "{method} {payload}: {message}");
        assert!(message.starts_with("<Error> ") && message.contains(says), "{method} {payload}: {message}");
        assert_eq!(answer.body, said(&message), "the shape of an error");
        if says.starts_with('<') {
            assert_eq!(message, says);
        }
        assert_eq!((balancer.rep().await, balancer.rows().await), before, "after {method} {payload}");
    }
}

#[tokio::test]
async fn a_call_without_any_payload_is_a_bad_request() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    for (method, path) in [("POST", "/add"), ("DELETE", "/rm")] {
        let request = http::Request::builder().method(method).uri(path).body("".into()).unwrap();
        let answer = balancer.client().await.send(request).await;
        assert_eq!((answer.status, &answer.json()["status"]), (400, &"failure".into()), "{}", answer.body);
    }
    assert_eq!(balancer.names().await.len(), 3);
}

#[tokio::test]
async fn the_ring_takes_as_many_as_it_has_room_for() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "2", "--virtual", "9", "--slots", "36"]).await;
    assert_eq!(add(&balancer, json!({ "n": 3 })).await.status, 400);
    assert_eq!(add(&balancer, json!({ "n": 2 })).await.status, 200);
    assert_eq!(add(&balancer, json!({ "n": 1 })).await.status, 400);
    rm(&balancer, json!({ "n": 1 })).await;
    assert_eq!(add(&balancer, json!({ "n": 1 })).await.status, 200);
}

#[tokio::test]
async fn an_addition_that_cannot_be_started_is_undone_and_says_why() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "0", "--command", "/no/such/program"]).await;
    let answer = add(&balancer, json!({ "n": 2, "hostnames": ["S1"] })).await;
    assert_eq!(answer.status, 500);
    let message = answer.json()["message"].to_string();
    assert!(message.contains("/no/such/program") && message.contains("--command"), "{message}");
    assert_eq!(balancer.rep().await, done(&[]));
}

#[tokio::test]
async fn slow_ones_are_named_after_the_timeout_and_stay() {
    let deployment = Deployment::of_processes();
    let settings = ["--replicas", "0", "--command", "sleep 1000", "--add-timeout", "200ms"];
    let balancer = deployment.start(&settings).await;
    let answer = add(&balancer, json!({ "n": 1, "hostnames": ["S1"] })).await;
    assert_eq!(answer.status, 504);
    assert!(answer.json()["message"].as_str().expect("a message").contains("S1"), "{}", answer.body);
    assert_eq!(balancer.rep().await, done(&["S1"]));
    assert_eq!(balancer.row("S1").await.state, "starting");
}

#[tokio::test]
async fn control_paths_can_be_moved_and_are_the_replicas_own_then() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--control-paths", "/lb"]).await;
    assert_eq!(balancer.call("GET", "/lb/rep", "").await.body, done(&["Server-1", "Server-2", "Server-3"]));
    assert_eq!(balancer.call("POST", "/lb/add", r#"{"n":1,"hostnames":["S4"]}"#).await.status, 200);
    let answer = balancer.call("DELETE", "/lb/rm", r#"{"n":1,"hostnames":["S4"]}"#).await;
    assert_eq!(answer.body, done(&["Server-1", "Server-2", "Server-3"]));
    for (method, path) in [("GET", "/rep"), ("POST", "/add"), ("DELETE", "/rm"), ("GET", "/lb/other")] {
        let answer = balancer.call(method, path, "").await;
        assert_eq!(
            (answer.status, &*answer.body),
            (404, r#"{"message":"<Error> no such endpoint","status":"failure"}"#)
        );
    }
}

#[tokio::test]
async fn control_paths_that_are_off_are_on_the_admin_port_alone() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--control-paths", "off"]).await;
    for (method, path) in [("GET", "/rep"), ("POST", "/add"), ("DELETE", "/rm")] {
        assert_eq!(balancer.call(method, path, r#"{"n":1}"#).await.status, 404);
    }
    let mut operator = crate::support::Client::connect(balancer.admin).await;
    assert_eq!(operator.call("GET", "/rep", "").await.body, done(&["Server-1", "Server-2", "Server-3"]));
    assert_eq!(operator.call("DELETE", "/rm", r#"{"n":1,"hostnames":["Server-1"]}"#).await.status, 200);
    assert_eq!(operator.call("GET", "/rep", "").await.body, done(&["Server-2", "Server-3"]));
}

#[tokio::test]
async fn the_admin_port_is_no_way_in_for_clients_and_the_traffic_port_none_for_v1() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    assert_eq!(balancer.call("GET", "/v1/pools/default", "").await.status, 404, "a replica's");
    let mut operator = crate::support::Client::connect(balancer.admin).await;
    assert_eq!(operator.call("GET", "/home", "").await.status, 404);
    assert_eq!(operator.call("GET", "/v1/pools/none", "").await.status, 404);
}
