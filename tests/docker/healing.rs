//! How soon a replica that dies, or says nothing any more, is replaced.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    alone, say,
    support::{
        Balancer, Deployment, PATIENCE,
        balancer::Row,
        docker::{container_of, containers, docker, image},
        within,
    },
};

/// How long a bare `docker run -d` takes here and now: the slowest of three.
fn bare_run(deployment: &Deployment) -> Duration {
    let label = format!("ringkeeper.test={}", deployment.name);
    let timed = |_| {
        let begun = Instant::now();
        docker(&["run", "--detach", "--label", &label, &image()]);
        begun.elapsed()
    };
    (0..3).map(timed).max().expect("three")
}

/// Runs `docker ARGUMENTS… CONTAINER` on this replica and returns how long from the command's start it took until it
/// was out of the table, and until another instance was ready in its stead.
async fn strike(
    deployment: &Deployment,
    balancer: &Balancer,
    old: &Row,
    arguments: &[&str],
) -> [Duration; 2] {
    let container = container_of(&deployment.name, &old.instance).id;
    let begun = Instant::now();
    let mut command = Command::new("docker");
    command.args(arguments).arg(&container).stdout(Stdio::null());
    let mut struck = command.spawn().expect("there is a docker command");
    let out = within(PATIENCE, "it is out of the table", async || {
        let row = balancer.row(&old.name).await;
        (row.instance != old.instance || row.state != "ready").then(|| begun.elapsed())
    })
    .await;
    let new = balancer.replaced(old, PATIENCE).await;
    let ready = begun.elapsed();
    assert!(struck.wait().expect("a child").success());
    assert_eq!((new.number, new.restarts), (old.number, old.restarts + 1));
    [out, ready]
}

#[tokio::test]
async fn a_killed_replica_is_ready_again_within_a_second_or_three_bare_starts() {
    let Some(_turn) = alone().await else { return };
    let deployment = Deployment::of_containers();
    let balancer = deployment.start(&[]).await;
    let bare = bare_run(&deployment);
    let limit = (3 * bare).max(Duration::from_secs(1));
    for name in ["Server-1", "Server-2", "Server-3"] {
        let old = balancer.row(name).await;
        let [out, ready] = strike(&deployment, &balancer, &old, &["kill"]).await;
        say(&format!(
            "docker kill of {name}: out after {out:.0?}, ready again after {ready:.0?} (a bare docker run: {bare:.0?})"
        ));
        assert!(ready <= limit, "{ready:?}, but at most {limit:?}");
    }
    balancer.all_ready().await;
    assert_eq!(containers(&deployment.name).len(), 3);
}

#[tokio::test]
async fn a_frozen_replica_is_replaced_within_its_heartbeats_and_a_second() {
    let Some(_turn) = alone().await else { return };
    let deployment = Deployment::of_containers();
    let balancer = deployment.start(&[]).await;
    let [paused, stopped] = [balancer.row("Server-1").await, balancer.row("Server-2").await];
    let untouched = balancer.row("Server-3").await;
    let limit = Duration::from_secs(3 + 1 + 1); // max_fail_count × interval + timeout + 1 s
    // one after the other, as the silent are replaced
    let pause = strike(&deployment, &balancer, &paused, &["pause"]).await;
    let stop = strike(&deployment, &balancer, &stopped, &["kill", "--signal=STOP"]).await;
    for (what, [out, ready]) in [("docker pause", pause), ("docker kill -s STOP", stop)] {
        say(&format!("{what}: out after {out:.2?}, replaced after {ready:.2?}"));
        assert!(ready <= limit, "{what}: {ready:?}, but at most {limit:?}");
    }
    balancer.all_ready().await;
    assert_eq!(balancer.row("Server-3").await, untouched);
    let instances: Vec<String> = containers(&deployment.name).into_iter().map(|it| it.instance).collect();
    assert!(
        instances.len() == 3
            && !instances.contains(&paused.instance)
            && !instances.contains(&stopped.instance)
    );
}
