//! Containers that somebody else starts, here this test and compose, and that join by their labels.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    alone, beside_others,
    compose::Project,
    say,
    support::{
        Balancer, Client, Deployment, Load,
        balancer::Row,
        docker::{containers, docker, image},
        stderr, until, within,
    },
};

/// How long whatever is told by an event may take until nobody sends requests there.
const AT_ONCE: Duration = Duration::from_millis(50);
const QUICK: [&str; 4] = ["--heartbeat-interval", "100ms", "--heartbeat-timeout", "200ms"];

/// Starts a container of this deployment, with more labels.
fn start(deployment: &Deployment, name: &str, labels: &[&str]) -> String {
    let (name, image) = (format!("{}-{name}", deployment.name), image());
    let own = format!("ringkeeper.deployment={}", deployment.name);
    let labels = ["ringkeeper.enable=true", &own].into_iter().chain(labels.iter().copied());
    let labels = labels.flat_map(|label| ["--label", label]);
    let arguments: Vec<&str> =
        ["run", "--detach", "--name", &name].into_iter().chain(labels).chain([&*image]).collect();
    docker(&arguments);
    name
}

async fn until_ready(balancer: &Balancer, names: &[&str]) {
    until("just these are ready", async || {
        let mut rows = balancer.rows().await;
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows.iter().map(|row| row.name.as_str()).eq(names.iter().copied())
            && rows.iter().all(|row| row.state == "ready")
    })
    .await;
}

fn inspected(container: &str, format: &str) -> String {
    docker(&["inspect", "--format", format, container])
}

/// Ends a container's process past the engine, as a crash does.
fn crash(container: &str) {
    let pid: i32 = inspected(container, "{{.State.Pid}}").parse().expect("it runs");
    kill_process(Pid::from_raw(pid).expect("not 0"), Signal::KILL).expect("delivered");
}

/// The row of this name, if there is one that is not leaving.
async fn row(balancer: &Balancer, name: &str) -> Option<Row> {
    balancer.rows().await.into_iter().find(|row| row.name == name && row.state != "leaving")
}

#[tokio::test]
async fn what_others_start_joins_after_a_heartbeat_and_has_its_number_again_when_it_comes_back() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_labels();
    let balancer = deployment.launch(&QUICK).await;
    let one = start(&deployment, "one", &[]);
    let two = start(&deployment, "two", &["ringkeeper.port=5000", "ringkeeper.weight=3"]);
    let elsewhere = start(&deployment, "else", &["ringkeeper.pool=other"]);
    until_ready(&balancer, &[&one, &two]).await;
    let weights: Vec<u64> = balancer.pool().await["replicas"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["weight"].as_u64().expect("a number"))
        .collect();
    assert_eq!(weights.iter().sum::<u64>(), 4);
    let seats = balancer.seats().await;
    let answered = balancer.call("GET", "/home?request_id=100007", "").await;
    assert_eq!(answered.status, 200, "{}", answered.body);

    docker(&["rm", "--force", &one]);
    until_ready(&balancer, &[&two]).await;
    let three = start(&deployment, "three", &[]);
    let again = start(&deployment, "one", &[]);
    until_ready(&balancer, &[&one, &three, &two]).await;
    let now = balancer.seats().await;
    assert!(seats.iter().all(|seat| now.contains(seat)), "{seats:?} {now:?}");
    assert_eq!(again, one);

    for (method, path) in [("POST", "/add"), ("DELETE", "/rm")] {
        let refused = balancer.call(method, path, r#"{"n": 1, "hostnames": []}"#).await;
        assert_eq!(refused.status, 400);
        assert!(refused.body.contains("by their labels"), "{}", refused.body);
    }
    let down = deployment.command("down", &[]).output().expect("it runs");
    assert!(down.status.success(), "{}", stderr(&down));
    for name in [&one, &two, &three, &elsewhere] {
        assert_eq!(inspected(name, "{{.State.Status}}"), "running", "somebody else's are left alone");
    }
}

/// From the engine's event that it is told to end until it is out of the table, for three containers of four; and for
/// each less than `bound`. No heartbeat finds it out meanwhile.
async fn told_to_end(bound: Duration) -> Vec<Duration> {
    let deployment = Deployment::of_labels();
    let balancer = deployment.launch(&["--heartbeat-interval", "20s"]).await;
    let names: Vec<String> = ["a", "b", "c", "d"].map(|name| start(&deployment, name, &[])).to_vec();
    until_ready(&balancer, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut took = Vec::new();
    for (name, end) in names.iter().zip(["kill", "stop", "kill"]) {
        let begun = SystemTime::now();
        let mut command =
            Command::new("docker").args([end, name]).stdout(Stdio::null()).spawn().expect("it runs");
        until("it is out", async || row(&balancer, name).await.is_none()).await;
        command.wait().expect("a child");
        let gone = left_at(&balancer, name).await;
        took.push(gone.duration_since(told_at(name, begun)).unwrap_or_default());
    }
    say(&format!("out of the table after the event of kill, stop, kill: {took:?}"));
    assert!(took.iter().all(|took| *took < bound), "{took:?}");
    took
}

/// When this one left the table.
async fn left_at(balancer: &Balancer, name: &str) -> SystemTime {
    let mut admin = Client::connect(balancer.admin).await;
    let events = admin.call("GET", "/v1/pools/default/events", "").await.json();
    let mut events = events["events"].as_array().expect("events").iter();
    let left = events.find(|event| event["name"] == name && event["kind"] == "removed").expect("it left");
    humantime::parse_rfc3339(left["at"].as_str().expect("a text")).expect("a time")
}

/// When the engine told of the first signal to this container since then.
fn told_at(container: &str, since: SystemTime) -> SystemTime {
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64().to_string()
    };
    let (since, until) = (seconds(since), seconds(SystemTime::now()));
    let container = format!("container={container}");
    let events = docker(&[
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        &container,
        "--filter",
        "event=kill",
        "--format",
        "{{.TimeNano}}",
    ]);
    let first = events.lines().next().expect("the engine told of it").parse().expect("nanoseconds");
    SystemTime::UNIX_EPOCH + Duration::from_nanos(first)
}

#[tokio::test]
async fn one_that_is_told_to_end_gets_no_requests_at_once() {
    let Some(_turn) = alone().await else { return };
    told_to_end(Duration::from_secs(2)).await;
}

#[tokio::test]
#[ignore = "a time on a quiet machine: make test-long"]
async fn one_that_is_told_to_end_gets_no_requests_after_50_ms() {
    let Some(_turn) = alone().await else { return };
    let mut took = told_to_end(Duration::from_secs(2)).await;
    took.sort();
    assert!(took[1] <= AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn only_those_that_ask_for_it_are_started_again_and_not_those_that_were_stopped_on_purpose() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_labels();
    let balancer = deployment.launch(&QUICK).await;
    let healed = start(&deployment, "healed", &["ringkeeper.heal=true"]);
    let plain = start(&deployment, "plain", &[]);
    let stopped = start(&deployment, "stopped", &["ringkeeper.heal=true"]);
    until_ready(&balancer, &[&healed, &plain, &stopped]).await;
    let seats = balancer.seats().await;
    let number = |name: &str| seats.iter().find(|seat| seat.0 == name).cloned().expect("it is there").1;

    crash(&plain);
    crash(&healed);
    docker(&["stop", &stopped]);
    let back = within(Duration::from_secs(20), "it is back", async || {
        row(&balancer, &healed).await.filter(|row| row.state == "ready" && row.restarts == 1)
    })
    .await;
    assert_eq!(back.number, number(&healed));
    until_ready(&balancer, &[&healed]).await;
    for name in [&plain, &stopped] {
        assert_eq!(inspected(name, "{{.State.Status}}"), "exited");
    }

    docker(&["start", &plain]);
    until("the other one is ready again", async || {
        row(&balancer, &plain).await.is_some_and(|row| row.state == "ready" && row.number == number(&plain))
    })
    .await;
}

#[tokio::test]
async fn one_that_runs_and_does_not_answer_is_started_again_where_it_asks_for_that() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_labels();
    let settings: Vec<&str> = QUICK.into_iter().chain(["--probe", "http", "--stop-timeout", "1s"]).collect();
    let balancer = deployment.launch(&settings).await;
    let healed = start(&deployment, "healed", &["ringkeeper.heal=true"]);
    let plain = start(&deployment, "plain", &[]);
    until_ready(&balancer, &[&healed, &plain]).await;
    let freeze = |name: &str| {
        let pid: i32 = inspected(name, "{{.State.Pid}}").parse().expect("it runs");
        kill_process(Pid::from_raw(pid).expect("not 0"), Signal::STOP).expect("delivered");
    };
    freeze(&plain);
    freeze(&healed);
    within(Duration::from_secs(30), "it is back", async || {
        row(&balancer, &healed).await.filter(|row| row.state == "ready" && row.restarts == 1)
    })
    .await;
    assert_eq!(row(&balancer, &plain).await.map(|row| row.state).as_deref(), Some("down"));
    assert_eq!(balancer.deaths(), [""; 0], "nobody is replaced");
}

/// The lines of a project with one service, which joins a deployment.
fn service(deployment: &Deployment) -> String {
    let lines = [
        "version: \"3.5\"".to_owned(),
        "services:".to_owned(),
        "  ml:".to_owned(),
        format!("    image: {}", image()),
        "    labels:".to_owned(),
        "      ringkeeper.enable: \"true\"".to_owned(),
        format!("      ringkeeper.deployment: {}", deployment.name),
        "networks:".to_owned(),
        "  default:".to_owned(),
        format!("    name: {}", deployment.name),
    ];
    lines.join("\n") + "\n"
}

pub async fn until_count(balancer: &Balancer, count: usize) {
    until("as many are ready", async || {
        let rows = balancer.rows().await;
        rows.len() == count && rows.iter().all(|row| row.state == "ready")
    })
    .await;
}

#[tokio::test]
async fn compose_scales_up_and_down_and_recreates_under_load_and_nothing_fails() {
    let Some(_turn) = alone().await else { return };
    let deployment = Deployment::of_labels();
    let Some(project) = Project::new(&deployment, &service(&deployment), &[]) else { return };
    let balancer = deployment.launch(&QUICK).await;
    project.scale("ml", 3);
    until_count(&balancer, 3).await;
    let seats = balancer.seats().await;
    let load = Load::start(balancer.traffic, 8, Duration::from_millis(2));
    let begun = Instant::now();
    project.scale("ml", 6);
    until_count(&balancer, 6).await;
    let six = balancer.seats().await;
    assert!(seats.iter().all(|seat| six.contains(seat)), "those that were there stay who they are");
    project.scale("ml", 2);
    until_count(&balancer, 2).await;
    project.scale("ml", 6);
    until_count(&balancer, 6).await;
    let mut again = balancer.seats().await;
    let mut before = six.clone();
    again.sort();
    before.sort();
    assert_eq!(again, before, "who comes back has its number again");
    let (lasted, tally) = (begun.elapsed(), load.stop());
    say(&format!("3, 6, 2 and 6 by compose within {lasted:.0?}: {tally}"));
    assert_eq!(tally.failed(), 0, "{tally}");
    // this stops all of them before it starts others: there is nobody to answer meanwhile
    project.compose(&["up", "--detach", "--scale", "ml=6", "--force-recreate"]);
    until("each is another container of the same name and number", async || {
        let rows = balancer.rows().await;
        let mut seats: Vec<_> = rows.iter().map(|row| (row.name.clone(), row.number)).collect();
        seats.sort();
        let fresh = containers(&deployment.name);
        seats == before
            && rows
                .iter()
                .all(|row| row.state == "ready" && fresh.iter().any(|one| one.id.starts_with(&row.instance)))
    })
    .await;
}
