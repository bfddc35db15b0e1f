//! Where requests go, and what comes back from there.

use crate::{
    origin,
    support::{Deployment, predicted},
};

/// Ids of six digits, spread over all.
fn ids() -> Vec<u64> {
    (0..60).map(|index| 100_000 + (index * 7_919_317) % 900_000).collect()
}

#[tokio::test]
async fn home_is_the_replicas_own_answer() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let answer = balancer.call("GET", "/home", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"{"message":"Hello from Server: 1","status":"successful"}"#);
}

#[tokio::test]
async fn the_request_id_of_body_or_query_decides_as_the_ring_says() {
    for spec in [&[][..], &["--preset", "assignment"], &["--preset", "assignment", "--hash", "sha256"]] {
        let deployment = Deployment::of_processes();
        let balancer = deployment.start(spec).await;
        let mut client = balancer.client().await;
        for (id, order) in ids().into_iter().zip(predicted(&ids(), spec)) {
            let by_body = client.call("GET", "/home", &format!(r#"{{"request_id": {id}}}"#)).await.server();
            let by_query = client.call("GET", &format!("/home?a=1&request_id={id}"), "").await.server();
            assert_eq!((by_body, by_query), (order[0], order[0]), "{id} {spec:?}");
            let both = client.call("GET", "/home?request_id=1", &format!(r#"{{"request_id":"{id}"}}"#)).await;
            assert_eq!(both.server(), order[0], "the body goes before the query");
        }
    }
}

#[tokio::test]
async fn a_request_without_an_id_goes_anywhere() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&[]).await;
    let mut client = balancer.client().await;
    let mut seen = [0; 4];
    for _ in 0..120 {
        seen[client.call("GET", "/home", "").await.server() as usize] += 1;
    }
    assert!(seen[1..].iter().all(|count| *count > 0), "{seen:?}");
}

#[tokio::test]
async fn other_keys_keep_what_belongs_together_on_one_replica() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--key", "header:X-User"]).await;
    let mut client = balancer.client().await;
    let mut servers = std::collections::BTreeSet::new();
    for user in 0..40 {
        let mut answers = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let request = http::Request::get("/home").header("x-user", format!("user {user}"));
            answers.insert(client.send(request.body("".into()).unwrap()).await.server());
        }
        assert_eq!(answers.len(), 1, "user {user}");
        servers.extend(answers);
    }
    assert_eq!(servers.len(), 3);
}

#[tokio::test]
async fn a_path_that_no_replica_serves_is_the_assignments_400_where_that_is_asked_for() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--unknown-path", "assignment", "--threads", "1"]).await;
    let mut client = balancer.client().await;
    for path in ["/other", "/other?request_id=5"] {
        let answer = client.call("GET", path, "").await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/json")));
        let said =
            r#"{"message":"<Error> '/other' endpoint does not exist in server replicas","status":"failure"}"#;
        assert_eq!(answer.body, said);
    }
    let posted = client.call("POST", "/other", "{}").await;
    assert_eq!(
        (posted.status, &*posted.body),
        (404, r#"{"message":"<Error> no such endpoint","status":"failure"}"#)
    );
    assert_eq!(client.call("GET", "/home", "").await.status, 200);
}

#[tokio::test]
async fn a_replicas_404_passes_otherwise() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let answer = balancer.call("GET", "/other", "").await;
    assert_eq!(
        (answer.status, &*answer.body),
        (404, r#"{"message":"<Error> no such endpoint","status":"failure"}"#)
    );
}

#[tokio::test]
async fn head_has_a_header_and_no_body() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "1"]).await;
    let mut client = balancer.client().await;
    let length = client.call("GET", "/home", "").await.body.len().to_string();
    let answer = client.call("HEAD", "/home", "").await;
    assert_eq!((answer.status, &*answer.body), (200, ""));
    assert_eq!(answer.header("content-length"), Some(&*length));
    assert_eq!(client.call("GET", "/home", "").await.status, 200, "the connection goes on");
}

/// The next in the route's order has the request where no connection to the first can be opened.
#[tokio::test]
async fn the_next_candidate_answers_when_no_connection_to_the_first_can_be_opened() {
    let deployment = Deployment::of_processes();
    let command = origin::command();
    // However often heartbeats fail, it is not dead: the table goes on naming it.
    let settings = ["--command", &command, "--max-fail-count", "1000000"];
    let balancer = deployment.start(&settings).await;
    let routes = predicted(&ids(), &[]);
    let deaf = routes[0][0];
    let first = format!("request_id={}", ids()[0]);
    let mut client = balancer.client().await;
    assert_eq!(client.call("POST", &format!("/deaf?{first}"), "").await.status, 200);
    let address = balancer.row(&format!("Server-{deaf}")).await.address.expect("an address");
    crate::support::until("it is deaf", async || tokio::net::TcpStream::connect(address).await.is_err())
        .await;
    for (id, order) in ids().into_iter().zip(routes) {
        for method in ["GET", "POST"] {
            let answer = client.call(method, &format!("/seen?request_id={id}"), r#"{"a":1}"#).await;
            let expected = if order[0] == deaf { order[1] } else { order[0] };
            assert_eq!(answer.json()["server"], expected.to_string(), "{id}");
        }
    }
    assert_eq!(balancer.row(&format!("Server-{deaf}")).await.state, "suspected");
}

#[tokio::test]
async fn nobody_to_connect_to_is_a_503_that_says_when_to_try_again() {
    let deployment = Deployment::of_processes();
    let command = origin::command();
    let settings = ["--replicas", "1", "--command", &command, "--max-fail-count", "1000000"];
    let balancer = deployment.start(&settings).await;
    let address = balancer.row("Server-1").await.address.expect("an address");
    balancer.call("POST", "/deaf", "").await;
    crate::support::until("it is deaf", async || tokio::net::TcpStream::connect(address).await.is_err())
        .await;
    let answer = balancer.call("GET", "/seen", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.json()["message"].as_str().expect("a message").starts_with("<Error> "));
}

#[tokio::test]
async fn a_replica_that_breaks_off_before_it_answers_is_a_502() {
    let deployment = Deployment::of_processes();
    let command = origin::command();
    let balancer = deployment.start(&["--replicas", "1", "--command", &command]).await;
    let mut client = balancer.client().await;
    let answer = client.call("POST", "/break", "").await;
    assert_eq!((answer.status, &answer.json()["status"]), (502, &"failure".into()));
    assert_eq!(client.call("GET", "/seen", "").await.status, 200, "the client's connection goes on");
}
