//! What becomes of one replica: it is drained, restored, restarted, ejected; and who leaves where nobody is named.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    retry::{asked, command, path_of, settings, start, trouble},
    support::{Answer, Balancer, Client, Deployment, PATIENCE, raw::Raw, stderr, until, within},
    trouble::Trouble,
};

/// How long a request is in flight that a test wants there: longer than what the test does meanwhile.
const LONG: Duration = Duration::from_secs(4);

/// Has a replica drained, restored or restarted.
async fn tell(balancer: &Balancer, name: &str, verb: &str) -> Answer {
    let path = format!("/v1/pools/default/replicas/{name}/{verb}");
    Client::connect(balancer.admin).await.call("POST", &path, "").await
}

/// Its row, which is not that of an instance that leaves.
fn row(pool: &Value, name: &str) -> Value {
    let rows = pool["replicas"].as_array().expect("rows").iter();
    rows.filter(|row| row["state"] != "leaving").find(|row| row["name"] == name).expect("a row").clone()
}

async fn kinds(balancer: &Balancer, name: &str) -> Vec<String> {
    let told = Client::connect(balancer.admin).await.call("GET", "/v1/pools/default/events", "").await.json();
    let events = told["events"].as_array().expect("events").clone();
    let of_it = events.iter().filter(|event| event["name"] == name);
    of_it.map(|event| event["kind"].as_str().expect("a word").to_owned()).collect()
}

/// Sends a request that is answered late, and returns when the replica has it.
async fn begin(balancer: &Balancer, name: &str, path: &str) -> Raw {
    let mut client = Raw::connect(balancer.traffic).await;
    client.write(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).await;
    until("it is in flight", async || row(&balancer.pool().await, name)["in_flight"] == 1).await;
    client
}

#[tokio::test]
async fn a_drained_one_finishes_what_it_has_and_gets_nothing_new_also_after_a_restart() {
    let deployment = Deployment::of_processes();
    let mut balancer = start(&deployment, "3", &[]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Delay(LONG)).await;
    let mut busy = begin(&balancer, "Server-1", &path).await;
    let before = asked(&balancer, 1).await;
    for _ in 0..2 {
        let answer = tell(&balancer, "server-1", "drain").await;
        let row = row(&answer.json(), "Server-1");
        assert_eq!(
            (answer.status, &row["state"], &row["drained"], &row["in_flight"], &row["on_ring"]),
            (200, &json!("drained"), &json!(true), &json!(1), &json!(true)),
            "{row}"
        );
    }
    assert_ne!(balancer.call("GET", &path, "").await.body, "1");
    assert!(busy.read_to_end().await.ends_with("\r\n\r\n1"), "what it had it has answered");
    assert_eq!(asked(&balancer, 1).await, before);
    assert_eq!(kinds(&balancer, "Server-1").await, ["ready", "drained"]);

    balancer.kill();
    let balancer = deployment.launch(&settings("3", &command())).await;
    until("it is well, and still drained", async || balancer.row("Server-1").await.state == "drained").await;
    assert_ne!(balancer.call("GET", &path, "").await.body, "1");
    let answer = tell(&balancer, "Server-1", "restore").await;
    assert_eq!((answer.status, &row(&answer.json(), "Server-1")["state"]), (200, &json!("ready")));
    assert_eq!(balancer.call("GET", &path, "").await.body, "1", "it has its keys back");
}

#[tokio::test]
async fn even_the_last_one_may_be_drained() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "1", &[]).await;
    assert_eq!(tell(&balancer, "Server-1", "drain").await.status, 200);
    assert_eq!(balancer.call("GET", "/", "").await.status, 503);
    let nobody = tell(&balancer, "S9", "drain").await;
    let detail = json!("There is no replica named 'S9'");
    assert_eq!((nobody.status, nobody.json()["detail"].clone()), (404, detail));
}

#[tokio::test]
async fn a_restarted_one_is_another_instance_in_its_place_while_the_old_one_finishes() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &[]).await;
    let path = path_of(&balancer, 1).await;
    let old = row(&balancer.pool().await, "Server-1");
    trouble(&balancer, 1, Trouble::Delay(LONG)).await;
    let mut busy = begin(&balancer, "Server-1", &path).await;
    let answer = tell(&balancer, "Server-1", "restart").await;
    let new = row(&answer.json(), "Server-1");
    assert_eq!((answer.status, &new["state"], &new["number"]), (200, &json!("ready"), &old["number"]));
    assert_eq!((&new["restarts"], &new["last_exit"]), (&json!(1), &Value::Null), "it has not died");
    assert_ne!(new["instance"], old["instance"]);
    let leaving = balancer.rows().await.into_iter().find(|row| row.state == "leaving").expect("the old one");
    assert_eq!(leaving.instance, old["instance"].as_str().expect("an id"));
    assert_eq!(balancer.call("GET", &path, "").await.body, "1", "the new one makes no trouble");
    assert!(busy.read_to_end().await.ends_with("\r\n\r\n1"), "the old one has answered what it had");
    balancer.all_ready().await;
    until("its end is told", async || {
        kinds(&balancer, "Server-1").await == ["ready", "restarted", "ready", "gone"]
    })
    .await;
}

#[tokio::test]
async fn one_that_fails_requests_is_ejected_and_gets_its_keys_back_with_a_clean_slate() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "3", &["--eject-time", "1h"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Status(500)).await;
    let ejected = within(PATIENCE, "it is ejected", async || {
        assert_eq!(balancer.call("GET", &path, "").await.status, 200, "another answers");
        let row = row(&balancer.pool().await, "Server-1");
        (row["state"] == "ejected").then_some(row)
    })
    .await;
    let reason = ejected["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("5 requests in a row failed; ejected for 1h, until "), "{reason}");
    assert_eq!((&ejected["errors"], &ejected["retries"]), (&json!(5), &json!(5)), "{ejected}");
    let before = asked(&balancer, 1).await;
    for _ in 0..20 {
        assert_eq!(balancer.call("GET", &path, "").await.status, 200);
    }
    assert_eq!(asked(&balancer, 1).await, before, "others are preferred");
    assert_eq!(kinds(&balancer, "Server-1").await, ["ready", "ejected"]);
    assert_eq!(balancer.deaths(), [""; 0]);

    trouble(&balancer, 1, Trouble::None).await;
    assert_eq!(tell(&balancer, "Server-1", "drain").await.status, 200);
    assert_eq!(tell(&balancer, "Server-1", "restore").await.status, 200);
    assert_eq!(balancer.call("GET", &path, "").await.body, "1");
}

#[tokio::test]
async fn an_ejection_ends_by_itself_and_0_ejects_nobody() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--eject-time", "100ms", "--eject-after", "2"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Status(503)).await;
    let ends = async |balancer: &Balancer| {
        let kinds = kinds(balancer, "Server-1").await;
        kinds.iter().filter(|kind| *kind == "readmitted").count()
    };
    until("it is ejected and readmitted, and that again", async || {
        balancer.call("GET", &path, "").await;
        ends(&balancer).await >= 2
    })
    .await;

    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "2", &["--eject-after", "0"]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Status(500)).await;
    for _ in 0..50 {
        balancer.call("GET", &path, "").await;
    }
    assert_eq!(kinds(&balancer, "Server-1").await, ["ready"]);
}

#[tokio::test]
async fn who_leaves_where_nobody_is_named_is_a_setting() {
    let deployment = Deployment::of_processes();
    let balancer = start(&deployment, "3", &["--victim", "least_busy"]).await;
    let path = path_of(&balancer, 3).await;
    trouble(&balancer, 3, Trouble::Delay(LONG)).await;
    let mut busy = begin(&balancer, "Server-3", &path).await;
    assert_eq!(balancer.call("DELETE", "/rm", r#"{"n":1}"#).await.status, 200);
    assert_eq!(balancer.names().await, ["Server-1", "Server-3"], "of two alike the newest");
    busy.read_to_end().await;
}

#[tokio::test]
async fn down_lets_what_is_in_flight_end() {
    let deployment = Deployment::of_processes();
    let mut balancer = start(&deployment, "1", &[]).await;
    let path = path_of(&balancer, 1).await;
    trouble(&balancer, 1, Trouble::Delay(Duration::from_secs(1))).await;
    let mut busy = begin(&balancer, "Server-1", &path).await;
    let mut down = deployment.command("down", &[]);
    let down = tokio::task::spawn_blocking(move || down.output().expect("it runs"));
    assert!(busy.read_to_end().await.ends_with("\r\n\r\n1"));
    let down = down.await.expect("it ends");
    assert!(down.status.success(), "{}", stderr(&down));
    assert_eq!(balancer.ends().await.code(), Some(0));
}
