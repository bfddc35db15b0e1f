//! Containers that are killed again and again, as fast as they come back.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use crate::{
    alone, say,
    support::{
        Balancer, Deployment, Load,
        docker::{Container, containers, docker, has_network},
        process::children,
        until,
    },
};

const KILLS: usize = 500;
/// The kills after which the balancer has whatever memory it needs for more of them.
const WARM_UP: usize = 100;
const CONNECTIONS: u64 = 8;

/// Kills up to `most` containers at once, in whatever state they are, but not the last one that can answer. Returns how
/// many of them were alive.
async fn strike(deployment: &Deployment, balancer: &Balancer, most: usize, rng: &mut StdRng) -> usize {
    let rows = balancer.rows().await;
    let mut running = containers(&deployment.name);
    running.retain(|container| container.state == "running");
    let answers = |container: &&Container| {
        rows.iter().any(|row| row.instance == container.instance && row.state == "ready")
    };
    let Some(spared) =
        running.iter().filter(answers).collect::<Vec<_>>().choose(rng).map(|spared| spared.id.clone())
    else {
        return 0;
    };
    running.retain(|container| container.id != spared);
    running.shuffle(rng);
    running.truncate(rng.random_range(1..=4).min(most));
    if running.is_empty() {
        return 0;
    }
    let ids = running.iter().map(|container| &container.id);
    let killed = Command::new("docker").arg("kill").args(ids).output().expect("there is a docker command");
    String::from_utf8_lossy(&killed.stdout).lines().count() // it names those that it killed
}

/// Kills so many containers at random moments.
async fn kill(deployment: &Deployment, balancer: &Balancer, count: usize, rng: &mut StdRng) {
    let mut killed = 0;
    while killed < count {
        killed += strike(deployment, balancer, count - killed, rng).await;
        let moment = rng.random_range(0..300);
        tokio::time::sleep(Duration::from_millis(moment)).await;
    }
}

/// The volumes that have no name of anyone's choice.
fn nameless_volumes() -> Vec<String> {
    let volumes = docker(&["volume", "ls", "--quiet"]);
    volumes.lines().filter(|volume| volume.len() == 64).map(str::to_owned).collect()
}

/// Under load, five hundred kills at random moments of the lives of five replicas, of which at least one always answers.
#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn five_hundred_kills_leave_the_same_names_and_numbers_and_nothing_else() {
    let Some(_turn) = alone().await else { return };
    let volumes = nameless_volumes();
    let deployment = Deployment::of_containers();
    let settings = ["--replicas", "5", "--restart-pause", "0s", "--idle-timeout", "1s"];
    let balancer = deployment.start(&settings).await;
    let (seats, descriptors) = (balancer.seats().await, balancer.descriptors());
    let load = Load::start(balancer.traffic, CONNECTIONS, Duration::from_millis(5));
    let mut rng = StdRng::seed_from_u64(5);

    let begun = Instant::now();
    kill(&deployment, &balancer, WARM_UP, &mut rng).await;
    let warm = balancer.resident_kib();
    kill(&deployment, &balancer, KILLS - WARM_UP, &mut rng).await;
    let lasted = begun.elapsed();
    until("each kill was noticed", async || balancer.deaths().len() >= KILLS).await;
    until("the containers are those that are shown, and ready", async || {
        let (rows, containers) = (balancer.rows().await, containers(&deployment.name));
        rows.len() == 5 && containers.len() == 5 && rows.iter().all(|row| row.state == "ready")
    })
    .await;
    let tally = load.stop();

    let restarts: u64 = balancer.rows().await.iter().map(|row| row.restarts).sum();
    let (resident, deaths) = (balancer.resident_kib(), balancer.deaths());
    say(&format!(
        "{KILLS} kills of 5 containers within {lasted:.0?}: {tally}; {restarts} restarts, resident {warm} KiB after {WARM_UP} \
         kills, {resident} KiB at the end"
    ));
    assert_eq!(balancer.seats().await, seats);
    assert_eq!(
        (restarts, deaths.len()),
        (KILLS as u64, KILLS),
        "each kill is accounted for, and nothing else died"
    );
    assert!(tally.only(&["502", "broken"]), "others were ready: {tally}");
    assert!(tally.failed() <= KILLS as u64 * CONNECTIONS, "more than there were in flight: {tally}");
    assert!(resident <= warm + 8 * 1024, "{warm} KiB grew to {resident} KiB");
    assert_eq!(children(balancer.pid()), []);
    until("it has no more descriptors than before", async || balancer.descriptors() <= descriptors).await;
    let left: Vec<_> = nameless_volumes().into_iter().filter(|volume| !volumes.contains(volume)).collect();
    assert_eq!(left, [""; 0]);
    drop(balancer);
    let down = deployment.command("down", &[]).output().expect("it runs");
    assert!(down.status.success());
    assert_eq!((containers(&deployment.name), has_network(&deployment.name)), (vec![], false));
}
