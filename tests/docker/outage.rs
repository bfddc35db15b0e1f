//! The engine goes and comes back.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    alone,
    engine::{Containers, End, OwnEngine},
    say,
    support::{Balancer, Deployment, Load, balancer::Row, until},
};

const CONNECTIONS: u64 = 8;
const REST: Duration = Duration::from_millis(2);

/// A balancer whose replicas are not just the first three.
async fn balancer(deployment: &Deployment) -> Balancer {
    let balancer = deployment.start(&[]).await;
    assert_eq!(balancer.call("DELETE", "/rm", r#"{"n":1,"hostnames":["Server-1"]}"#).await.status, 200);
    assert_eq!(balancer.call("POST", "/add", r#"{"n":2,"hostnames":["S5"]}"#).await.status, 200);
    until("the removed one is gone", async || balancer.rows().await.len() == 4).await;
    balancer
}

async fn is_without_engine(balancer: &Balancer) -> bool {
    balancer.pool().await["problem"].is_string()
}

/// Takes the engine away for a second, at least until the balancer has noticed, and brings it back.
async fn outage(engine: &mut OwnEngine, balancer: &Balancer, how: End, containers: Containers) {
    engine.end(how);
    until("the outage is noticed", async || is_without_engine(balancer).await).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // how long it lasts, not how long something needs
    engine.run(containers);
    until("the engine is watched again", async || !is_without_engine(balancer).await).await;
}

/// Waits until the engine has just the shown replicas, and all of them run.
async fn nothing_is_twice_or_left_over(engine: &OwnEngine, balancer: &Balancer) {
    until("the containers are those that are shown", async || {
        let rows = balancer.rows().await;
        let containers = engine.containers();
        let runs =
            |row: &Row| containers.iter().any(|shown| shown.starts_with(&format!("/{} running ", row.name)));
        containers.len() == rows.len() && rows.iter().all(|row| row.state == "ready" && runs(row))
    })
    .await;
}

/// With `--live-restore` an outage is the operators' business only: requests go on, and nothing is started anew.
async fn is_not_noticed_by_requests(engine: &mut OwnEngine, balancer: &Balancer, how: End) {
    let (rows, containers) = (balancer.rows().await, engine.containers());
    let load = Load::start(balancer.traffic, CONNECTIONS, REST);
    outage(engine, balancer, how, Containers::LiveOn).await;
    let added = balancer.call("POST", "/add", r#"{"n":1,"hostnames":["extra"]}"#).await;
    assert_eq!(added.status, 200, "what comes after it works as before: {}", added.body);
    assert_eq!(balancer.call("DELETE", "/rm", r#"{"n":1,"hostnames":["extra"]}"#).await.status, 200);
    until("it is gone", async || balancer.rows().await.len() == rows.len()).await;
    let tally = load.stop();
    say(&format!("engine {how:?}, containers live on: {tally}"));
    assert_eq!(tally.failed(), 0, "{tally}");
    assert_eq!(balancer.rows().await, rows, "the same instances, none of them restarted");
    assert_eq!(engine.containers(), containers);
}

/// Without it, containers end with the engine, or when the next one starts: then each has a successor.
async fn is_made_good(engine: &mut OwnEngine, balancer: &Balancer, how: End) {
    let before = balancer.rows().await;
    let load = Load::start(balancer.traffic, CONNECTIONS, REST);
    outage(engine, balancer, how, Containers::EndWithIt).await;
    until("each replica has a successor that is ready", async || {
        let rows = balancer.rows().await;
        let replaced = |(old, new): (&Row, &Row)| old.instance != new.instance && new.state == "ready";
        rows.len() == before.len() && before.iter().zip(&rows).all(replaced)
    })
    .await;
    let tally = load.stop();
    say(&format!("engine {how:?}, containers end with it: {tally}"));
    assert!(tally.only(&["502", "503"]), "{tally}");
    let seats = |rows: &[Row]| rows.iter().map(|row| (row.name.clone(), row.number)).collect::<Vec<_>>();
    assert_eq!(seats(&balancer.rows().await), seats(&before));
    nothing_is_twice_or_left_over(engine, balancer).await;
    let load = Load::start(balancer.traffic, CONNECTIONS, REST);
    until("the successors answer", async || balancer.call("GET", "/home", "").await.status == 200).await;
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

#[tokio::test]
async fn requests_do_not_notice_an_engine_that_is_killed_and_comes_back_to_its_containers() {
    let Some(_turn) = alone().await else { return };
    let Some(mut engine) = OwnEngine::start(Containers::LiveOn) else { return };
    let deployment = engine.deployment();
    let balancer = balancer(&deployment).await;
    is_not_noticed_by_requests(&mut engine, &balancer, End::Killed).await;
}

#[tokio::test]
async fn where_containers_end_with_the_engine_the_same_names_and_numbers_come_back() {
    let Some(_turn) = alone().await else { return };
    let Some(mut engine) = OwnEngine::start(Containers::EndWithIt) else { return };
    let deployment = engine.deployment();
    let balancer = balancer(&deployment).await;
    is_made_good(&mut engine, &balancer, End::Killed).await;
    is_made_good(&mut engine, &balancer, End::Told).await;
}

/// The machine went down: no balancer, no replica runs. It comes up, and the engine after the balancer.
#[tokio::test]
async fn after_a_reboot_the_same_names_and_numbers_come_back_though_the_engine_is_late() {
    let Some(_turn) = alone().await else { return };
    let Some(mut engine) = OwnEngine::start(Containers::EndWithIt) else { return };
    let deployment = engine.deployment();
    let mut first = balancer(&deployment).await;
    let seats = first.seats().await;
    first.kill();
    engine.end(End::Told);

    let late = async {
        tokio::time::sleep(Duration::from_millis(1500)).await; // how late it is
        engine.run(Containers::EndWithIt);
    };
    let (second, ()) = tokio::join!(deployment.launch(&[]), late);
    second.all_ready().await;
    assert_eq!(second.seats().await, seats);
    assert_eq!(second.deaths().len(), seats.len(), "none of them had lived on");
    nothing_is_twice_or_left_over(&engine, &second).await;
    assert_eq!(second.call("GET", "/home", "").await.status, 200);
}

/// Fifteen outages, of either kind, whatever the engine was told about containers.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn one_outage_after_the_other_changes_no_name_and_no_number() {
    let Some(_turn) = alone().await else { return };
    let Some(mut engine) = OwnEngine::start(Containers::LiveOn) else { return };
    let deployment = engine.deployment();
    let balancer = balancer(&deployment).await;
    let seats = balancer.seats().await;
    let mut rng = StdRng::seed_from_u64(15);
    for _ in 0..15 {
        let how = if rng.random() { End::Killed } else { End::Told };
        if rng.random() {
            is_not_noticed_by_requests(&mut engine, &balancer, how).await;
        } else {
            is_made_good(&mut engine, &balancer, how).await;
            engine.end(End::Killed); // which one that starts anew with other settings takes the containers over from
            engine.run(Containers::LiveOn);
        }
        assert_eq!(balancer.seats().await, seats);
    }
}
