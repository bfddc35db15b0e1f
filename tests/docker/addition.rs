//! What an addition costs, beside the same by hand.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    alone, say,
    support::{
        Balancer, Deployment,
        docker::{containers, docker, image},
        until,
    },
};

const REPLICAS: usize = 20;
const ROUNDS: usize = 3;

/// What a replica's container is given by default.
const SETTINGS: [&str; 9] = [
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--tmpfs=/tmp:rw,nosuid,nodev,noexec,size=64m",
    "--memory=512m",
    "--cpus=1",
    "--pids-limit=512",
    "--restart=no",
    "--env=SERVER_ID=1",
];

/// From the start of that many `docker run -d SETTINGS…` at once to the end of the last one.
fn by_hand(deployment: &Deployment, settings: &[&str]) -> Duration {
    let label = format!("--label=ringkeeper.test={}", deployment.name);
    let run = |_| {
        let mut command = Command::new("docker");
        command.args(["run", "--detach", &label]).args(settings).arg(image());
        command.stdout(Stdio::null()).spawn().expect("there is a docker command")
    };
    let begun = Instant::now();
    let mut running: Vec<_> = (0..REPLICAS).map(run).collect();
    assert!(running.iter_mut().all(|command| command.wait().expect("a child").success()));
    let lasted = begun.elapsed();
    let ids =
        docker(&["ps", "--all", "--quiet", &format!("--filter=label=ringkeeper.test={}", deployment.name)]);
    docker(&["rm", "--force"].into_iter().chain(ids.lines()).collect::<Vec<_>>());
    lasted
}

/// How long `/add` takes, at the end of which they answer.
async fn by_the_balancer(deployment: &Deployment, balancer: &Balancer) -> Duration {
    let begun = Instant::now();
    let added = balancer.call("POST", "/add", &format!(r#"{{"n":{REPLICAS},"hostnames":[]}}"#)).await;
    let lasted = begun.elapsed();
    assert_eq!(added.status, 200, "{}", added.body);
    let removed = balancer.call("DELETE", "/rm", &format!(r#"{{"n":{REPLICAS},"hostnames":[]}}"#)).await;
    assert_eq!(removed.status, 200, "{}", removed.body);
    until("they are gone", async || containers(&deployment.name).len() == 1).await;
    lasted
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// How much longer an addition takes than plain commands, and than commands with the same settings.
async fn ratios() -> Option<(f64, f64)> {
    let _turn = alone().await?;
    let deployment = Deployment::of_containers();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let network = format!("--network={}", deployment.name);
    let same: Vec<&str> = SETTINGS.into_iter().chain([network.as_str()]).collect();
    let [mut plain_runs, mut same_runs, mut additions] = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        plain_runs.push(by_hand(&deployment, &[]));
        same_runs.push(by_hand(&deployment, &same));
        additions.push(by_the_balancer(&deployment, &balancer).await);
    }
    let [plain, same, added] = [plain_runs, same_runs, additions].map(median);
    let [to_plain, to_same] = [plain, same].map(|bare| added.as_secs_f64() / bare.as_secs_f64());
    say(&format!(
        "{REPLICAS} replicas: /add {added:.2?}, docker run -d {plain:.2?} (ratio {to_plain:.2}), with the same settings \
         {same:.2?} (ratio {to_same:.2})"
    ));
    Some((to_plain, to_same))
}

/// The same work by hand has the network and the limits.
#[tokio::test]
async fn adding_twenty_replicas_takes_hardly_longer_than_twenty_docker_runs_with_the_same_settings() {
    let Some((_, to_same)) = ratios().await else { return };
    assert!(to_same <= 1.5, "{to_same:.2}");
}

/// The plain command does less; so it needs a machine that does nothing else.
#[tokio::test]
#[ignore = "measures: make test-long"]
async fn adding_twenty_replicas_takes_at_most_half_as_long_again_as_twenty_plain_docker_runs() {
    let Some((to_plain, _)) = ratios().await else { return };
    assert!(to_plain <= 1.5, "{to_plain:.2}");
}
