//! An engine that is away when the balancer starts.

use serde_json::{Value, json};

use crate::{
    pools::{File, admin},
    support::{Deployment, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_engine_is_away_keeps_no_other_from_beginning() {
    let deployment = Deployment::of_processes();
    let state = deployment.state.join("pools/late");
    std::fs::create_dir_all(&state).expect("a new directory");
    let stored =
        json!({ "version": "1", "engine": "docker", "owner": "a1", "configured": 0, "replicas": [] });
    std::fs::write(state.join("state.json"), stored.to_string()).expect("a new file");
    let file = File::of(&deployment, "[pools.late]\nengine = \"docker\"\nreplicas = 0\n");
    let nowhere = format!("unix://{}", deployment.state.join("docker.sock").display());
    let arguments = ["--config", file.path(), "--replicas", "1"];
    let balancer = deployment.launch_in(&[("DOCKER_HOST", nowhere)], &arguments).await;
    balancer.all_ready().await;
    assert_eq!(balancer.call("GET", "/home", "").await.status, 200);
    until("the outage is shown", async || {
        admin(&balancer, "GET", "/v1/pools/late", &Value::Null).await.json()["problem"].is_string()
    })
    .await;
    let other = json!({ "engine": "process", "replicas": 0 });
    let made = admin(&balancer, "PUT", "/v1/pools/other", &other).await;
    assert_eq!(made.status, 200, "calls are answered: {}", made.body);
}
