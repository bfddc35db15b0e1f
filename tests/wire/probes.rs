//! Replicas of the balancer's own that are asked otherwise than by HTTP.

use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::{ServingStatus, server::health_reporter};

use crate::{origin, support::Deployment};

/// Serves the health service at `$BIND:$PORT` for ever: `shop.Cart` is SERVING, and the server as a whole is not. Returns at
/// once where nobody says which replica this is.
pub fn serve() {
    let setting = |name| std::env::var(name).ok();
    let (Some(bind), Some(port)) = (setting("BIND"), setting("PORT")) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (reporter, health) = health_reporter();
        reporter.set_service_status("", ServingStatus::NotServing).await;
        reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
        let incoming = TcpIncoming::bind(format!("{bind}:{port}").parse().expect("an address"));
        let incoming = incoming.expect("a free port");
        Server::builder().add_service(health).serve_with_incoming(incoming).await.expect("it serves");
    });
}

#[tokio::test]
async fn a_grpc_replica_is_ready_by_its_health_service() {
    let deployment = Deployment::of_processes();
    let command = origin::command().replace(" replica ", " grpc_replica ");
    let settings = ["--command", &command, "--replicas", "1", "--probe", "grpc"];
    let balancer = deployment.start(&[&settings[..], &["--probe-service", "shop.Cart"]].concat()).await;
    assert_eq!(balancer.row("Server-1").await.state, "ready");
    drop(balancer);
    let balancer = deployment.launch(&[&settings[..], &["--add-timeout", "500ms"]].concat()).await;
    let late = balancer.call("POST", "/add", r#"{"n":1}"#).await;
    assert_eq!(late.status, 504, "the server as a whole does not serve: {}", late.body);
}

/// It speaks HTTP/2 alone, so that no heartbeat of the default kind is ever answered.
#[tokio::test]
async fn a_replica_may_be_asked_for_a_connection_alone() {
    let deployment = Deployment::of_processes();
    let command = origin::command().replace(" replica ", " grpc_replica ");
    let settings = ["--command", &command, "--replicas", "1"];
    let mut balancer = deployment.start(&[&settings[..], &["--probe", "tcp"]].concat()).await;
    assert_eq!(balancer.row("Server-1").await.state, "ready");
    balancer.kill();
    let balancer = deployment.launch(&[&settings[..], &["--add-timeout", "500ms"]].concat()).await;
    assert_eq!(balancer.call("POST", "/add", r#"{"n":1}"#).await.status, 504);
}
