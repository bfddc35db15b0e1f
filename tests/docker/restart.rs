//! The balancer goes and comes back; the containers stay.

use serde_json::json;

use crate::{
    beside_others,
    support::{
        Balancer, Client, Deployment, PATIENCE,
        docker::{container_of, containers, docker, has_network, image},
        stderr, until, within,
    },
};

/// The instances of the desired replicas, in the order of joining.
async fn instances(balancer: &Balancer) -> Vec<String> {
    balancer.rows().await.into_iter().map(|row| row.instance).collect()
}

/// Waits until the containers of the deployment are exactly those that the balancer shows, and run.
async fn nothing_is_twice_or_left_over(deployment: &Deployment, balancer: &Balancer) {
    until("the containers are those that are shown", async || {
        let mut shown = instances(balancer).await;
        let containers = containers(&deployment.name);
        let all_run = containers.iter().all(|container| container.state == "running");
        let mut there: Vec<String> = containers.into_iter().map(|container| container.instance).collect();
        shown.sort();
        there.sort();
        all_run && there == shown
    })
    .await;
}

#[tokio::test]
async fn after_a_kill_the_same_names_and_numbers_are_there_once() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let mut balancer = deployment.start(&[]).await;
    balancer.call("DELETE", "/rm", r#"{"n":1,"hostnames":["Server-1"]}"#).await;
    assert_eq!(balancer.call("POST", "/add", r#"{"n":2,"hostnames":["S5"]}"#).await.status, 200);
    let (seats, before) = (balancer.seats().await, instances(&balancer).await);
    balancer.kill();
    let lost = container_of(&deployment.name, &before[1]);
    docker(&["rm", "--force", &lost.id]);

    let balancer = deployment.start(&[]).await;
    assert_eq!(balancer.seats().await, seats);
    let after = instances(&balancer).await;
    for (position, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(before == after, position != 1, "only the removed one is another: {position}");
    }
    nothing_is_twice_or_left_over(&deployment, &balancer).await;
}

#[tokio::test]
async fn a_lost_state_directory_is_refused_until_the_replicas_are_adopted_and_nothing_is_stopped() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let mut balancer = deployment.start(&[]).await;
    assert_eq!(balancer.call("POST", "/add", r#"{"n":1,"hostnames":["S4"]}"#).await.status, 200);
    let (seats, before) = (balancer.seats().await, instances(&balancer).await);
    balancer.kill();
    let there = running_since(&deployment);
    std::fs::remove_dir_all(&deployment.state).unwrap();

    let refused = deployment.serve_in_vain(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("--adopt") && stderr(&refused).contains("4 replicas"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(running_since(&deployment), there);

    let mut balancer = deployment.start(&["--adopt"]).await;
    assert_eq!((balancer.seats().await, instances(&balancer).await), (seats.clone(), before.clone()));
    assert_eq!(running_since(&deployment), there);
    balancer.kill();
    let balancer = deployment.start(&[]).await;
    assert_eq!(
        (balancer.seats().await, instances(&balancer).await),
        (seats, before),
        "they are its own from then on"
    );
    assert_eq!(running_since(&deployment), there);
}

/// What calls say of a pool is in the state directory alone: without it, nobody missed the pool, or said that its containers
/// were there.
#[tokio::test]
async fn what_is_left_of_a_pool_of_a_call_is_told_of_and_adopted_once_that_is_made_again() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let mut balancer = deployment.start(&["--replicas", "1"]).await;
    let settings = json!({ "engine": "docker", "image": image(), "replicas": 1 }).to_string();
    let ready_again = async |balancer: &Balancer| {
        let mut operator = Client::connect(balancer.admin).await;
        let put = operator.call("PUT", "/v1/pools/extra", &settings).await;
        assert_eq!(put.status, 200, "{}", put.body);
        within(PATIENCE, "it is ready", async || {
            let shown = operator.call("GET", "/v1/pools/extra", "").await.json();
            let row = &shown["replicas"][0];
            (row["state"] == "ready").then(|| row["instance"].as_str().expect("a text").to_owned())
        })
        .await
    };
    let instance = ready_again(&balancer).await;
    balancer.kill();
    let (there, name) = (running_since(&deployment), container_of(&deployment.name, &instance).name);
    std::fs::remove_dir_all(&deployment.state).unwrap();

    let balancer = deployment.start(&["--replicas", "1", "--adopt"]).await;
    let told = within(PATIENCE, "it is told", async || {
        balancer.log().into_iter().find(|line| line.contains("there is no pool 'extra'"))
    })
    .await;
    assert!(told.contains("PUT /v1/pools/extra"), "{told}");
    assert!(told.contains(&format!("`docker rm --force {name}`")), "{told}");
    assert_eq!(ready_again(&balancer).await, instance);
    assert_eq!(running_since(&deployment), there);
}

/// Each container's id and when it was started.
fn running_since(deployment: &Deployment) -> String {
    let ids: Vec<String> = containers(&deployment.name).into_iter().map(|container| container.id).collect();
    let mut arguments =
        vec!["inspect", "--format", "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.Name}}"];
    arguments.extend(ids.iter().map(String::as_str));
    docker(&arguments)
}

#[tokio::test]
async fn a_changed_count_scales_the_stored_set_and_the_others_run_on() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let mut balancer = deployment.start(&["--replicas", "1"]).await;
    assert_eq!(balancer.call("POST", "/add", r#"{"n":1,"hostnames":["S9"]}"#).await.status, 200);
    let before = instances(&balancer).await;
    for (replicas, names) in
        [("1", &["Server-1", "S9"][..]), ("3", &["Server-1", "S9", "Server-3"]), ("1", &["Server-1"])]
    {
        balancer.terminate();
        balancer.ends().await;
        balancer = deployment.start(&["--replicas", replicas]).await;
        assert_eq!(balancer.names().await, names);
        let after = instances(&balancer).await;
        assert!(before.iter().zip(&after).all(|(before, after)| before == after), "{before:?} {after:?}");
        nothing_is_twice_or_left_over(&deployment, &balancer).await;
    }
}

#[tokio::test]
async fn down_leaves_nothing_whether_the_balancer_runs_or_not() {
    let Some(_turn) = beside_others().await else { return };
    for runs in [true, false] {
        let deployment = Deployment::of_containers();
        let mut balancer = deployment.start(&["--replicas", "2"]).await;
        assert!(has_network(&deployment.name));
        if !runs {
            balancer.kill();
        }
        let output = deployment.command("down", &[]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        if runs {
            assert_eq!(balancer.ends().await.code(), Some(0), "{}", balancer.log().join("\n"));
        }
        assert_eq!(containers(&deployment.name), []);
        assert!(!has_network(&deployment.name));
        assert!(!deployment.state.join("state.json").exists());
    }
}
