//! What is relayed between a client and a replica: bodies, header fields, connections.

use http::{Method, Request};
use serde_json::Value;

use crate::{
    origin,
    support::{Balancer, Client, Deployment, raw::Raw},
};

/// One replica that shows what reaches it, behind one thread.
async fn one(deployment: &Deployment) -> Balancer {
    deployment.start(&["--replicas", "1", "--threads", "1", "--command", &origin::command()]).await
}

async fn seen(client: &mut Client) -> Value {
    client.call("GET", "/seen", "").await.json()
}

#[tokio::test]
async fn a_body_of_megabytes_goes_up_and_comes_back_unchanged() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let body: String = (0..700_000).map(|number| format!("{number:07};")).collect();
    let mut client = balancer.client().await;
    for method in [Method::POST, Method::PUT] {
        let request = Request::builder().method(method).uri("/echo").body(body.clone().into()).unwrap();
        let answer = client.send(request).await;
        assert_eq!((answer.status, answer.body == body), (200, true));
    }
}

/// Half of the body is back before the other half is sent: it is not gathered anywhere on either way.
#[tokio::test]
async fn bodies_are_passed_on_as_they_come() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    for (head, first, second, ends) in [
        ("Content-Length: 10", "12345", "67890", "67890"),
        ("Transfer-Encoding: chunked", "5\r\n12345\r\n", "5\r\n67890\r\n0\r\n\r\n", "0\r\n\r\n"),
        // What might be a key's body, but is of unknown length, is not waited for.
        (
            "Content-Type: application/json\r\nTransfer-Encoding: chunked",
            "5\r\n12345\r\n",
            "0\r\n\r\n",
            "0\r\n\r\n",
        ),
    ] {
        let mut client = Raw::connect(balancer.traffic).await;
        client.write(&format!("POST /echo HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n{first}")).await;
        client.read_to("\r\n\r\n").await;
        client.read_to("12345").await;
        client.write(second).await;
        client.read_to(ends).await;
    }
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let mut client = balancer.client().await;
    let port = seen(&mut client).await["port"].clone();
    for _ in 0..10 {
        assert_eq!(seen(&mut client).await["port"], port);
    }
    let mut other = balancer.client().await;
    assert_eq!(seen(&mut other).await["port"], port, "another client's request goes over it too");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_its_answer_and_the_end() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let mut client = Raw::connect(balancer.traffic).await;
    client.write("GET /seen HTTP/1.0\r\nHost: test\r\n\r\n").await;
    let answer = client.read_to_end().await;
    // a version is the sender's own (RFC 9110, section 6.2), and what matters to the client is the end
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nConnection: close\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn requests_written_at_once_are_answered_in_their_order() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let mut client = Raw::connect(balancer.traffic).await;
    let requests: String = (0..5).map(|n| format!("GET /seen?{n} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    client.write(&requests).await;
    for n in 0..5 {
        client.read_to(&format!("\"uri\":\"/seen?{n}\"")).await;
    }
}

#[tokio::test]
async fn fields_for_one_connection_do_not_reach_the_replica() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let request = Request::get("/seen")
        .header("connection", "x-for-one-hop, keep-alive")
        .header("x-for-one-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("te", "trailers")
        .header("x-for-all", "2");
    let seen = balancer.client().await.send(request.body("".into()).unwrap()).await.json();
    let mut names: Vec<_> =
        seen["headers"].as_array().unwrap().iter().map(|field| field[0].as_str().unwrap()).collect();
    names.sort_unstable();
    // Trailers are passed on, so the balancer itself says that it takes them (RFC 9110, section 10.1.4).
    let ours = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];
    let expected = [&["connection", "forwarded", "host", "te", "x-for-all"][..], &ours].concat();
    assert_eq!(names, expected);
    let fields = seen["headers"].as_array().unwrap();
    assert!(fields.contains(&serde_json::json!(["connection", "te"])), "{seen}");
}

#[tokio::test]
async fn fields_for_one_connection_do_not_reach_the_client() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let answer = balancer.call("GET", "/hops", "").await;
    assert_eq!((answer.status, &*answer.body, answer.header("x-for-all")), (200, "hops", Some("2")));
    for name in ["connection", "x-for-one-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn the_replica_is_told_who_the_client_is_and_not_what_the_client_says_of_that() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let request = Request::post("/seen?x=%20y")
        .header("host", "shop.example")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https");
    let seen = balancer.client().await.send(request.body("".into()).unwrap()).await.json();
    let field = |name: &str| {
        let fields = seen["headers"].as_array().unwrap();
        let values: Vec<_> = fields.iter().filter(|field| field[0] == name).map(|field| &field[1]).collect();
        assert_eq!(values.len(), 1, "{name}: {seen}");
        values[0].clone()
    };
    assert_eq!(field("host"), "shop.example");
    assert_eq!(field("x-forwarded-for"), "127.0.0.1");
    assert_eq!(field("x-forwarded-host"), "shop.example");
    assert_eq!(field("x-forwarded-proto"), "http");
    assert_eq!(field("forwarded"), "for=127.0.0.1;proto=http;host=shop.example");
    assert_eq!((&seen["method"], &seen["uri"]), (&"POST".into(), &"/seen?x=%20y".into()));
}

/// A small JSON body is read whole for its key, and reaches the replica all the same.
#[tokio::test]
async fn the_body_that_had_the_key_reaches_the_replica() {
    let deployment = Deployment::of_processes();
    let balancer = one(&deployment).await;
    let body = r#"{"request_id": 123456, "more": "ü"}"#;
    let answer = balancer.call("POST", "/echo", body).await;
    assert_eq!((answer.status, &*answer.body), (200, body));
}
