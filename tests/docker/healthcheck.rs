//! Replicas that are asked by the HEALTHCHECK of their image.

use std::process::Command;

use crate::{
    beside_others,
    support::{
        Deployment, PATIENCE,
        docker::{build, container_of, docker, image},
        stderr, until,
    },
};

/// The sample replica's image with a HEALTHCHECK. Removed when this is dropped.
struct Checked(String);

impl Checked {
    fn build() -> Self {
        let built = Checked(format!("rktest-{}:checked", std::process::id()));
        let check =
            r#"HEALTHCHECK --interval=500ms --timeout=1s --retries=1 CMD ["/ringkeeper-server", "check"]"#;
        build(&built.0, &format!("FROM {}\n{check}\n", image()));
        built
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        let _best_effort = Command::new("docker").args(["rmi", "--force", &self.0]).output();
    }
}

#[tokio::test]
async fn replicas_live_and_die_by_their_images_healthcheck() {
    let Some(_turn) = beside_others().await else { return };
    let image = Checked::build();
    let deployment = Deployment::of_containers(); // which goes first
    let balancer = deployment.start(&["--image", &image.0, "--probe", "image", "--replicas", "2"]).await;
    for row in balancer.rows().await {
        let container = container_of(&deployment.name, &row.instance).id;
        let health = docker(&["inspect", "--format", "{{.State.Health.Status}}", &container]);
        assert_eq!(health, "healthy", "{} is ready", row.name);
    }
    let old = balancer.row("Server-1").await;
    let container = container_of(&deployment.name, &old.instance).id;
    docker(&["kill", "--signal=STOP", &container]); // still running to the engine, and silent to its check
    let new = balancer.replaced(&old, PATIENCE).await;
    assert_eq!((new.number, new.restarts), (1, 1));
    until("the frozen one is gone", async || balancer.rows().await.len() == 2).await;
}

#[tokio::test]
async fn an_image_without_a_healthcheck_is_refused_before_anything_is_touched() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let output = deployment.serve_in_vain(&["--probe", "image"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&format!("the image '{}' has no HEALTHCHECK", image())), "{said}");
    let doctor = deployment.command("doctor", &["--probe", "image"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && said.contains("has no HEALTHCHECK"), "{said}");
}
