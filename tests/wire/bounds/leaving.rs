//! Clients that leave while somebody else is waited for.

use tokio::io::AsyncWriteExt;

use super::{Origin, balance, get, send, told};
use crate::support::{Deployment, until};

#[tokio::test]
async fn who_breaks_off_is_not_waited_for_any_more() {
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
    let upload = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
    for (round, (name, sent, ends)) in [
        ("a request", get("/hold"), false),
        ("a request and another behind it", get("/hold") + &get("/"), false),
        ("a request and its end", get("/hold"), true),
        ("half a request", upload.to_owned(), false),
        ("a request whose response has begun", get("/pause"), false),
        ("such a one and its end", get("/pause"), true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = send(balancer.traffic, &sent).await;
        if ends {
            client.stream.shutdown().await.expect("a socket");
        }
        until(name, async || origin.held() == round + 1).await;
        assert_eq!(told(&balancer).await, (1, 0), "{name}");
        client.reset();
        until(name, async || origin.left() == round + 1 && told(&balancer).await == (0, 0)).await;
    }
}

#[tokio::test]
async fn who_only_sends_no_more_is_answered() {
    let (deployment, origin) = (Deployment::of_upstreams(), Origin::start().await);
    let balancer = balance(&deployment, &[origin.address], &[]).await;
    let mut client = send(balancer.traffic, &get("/hold")).await;
    client.stream.shutdown().await.expect("a socket");
    until("it has come", async || origin.held() == 1).await;
    // longer than between two looks at whether it is still there
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!((origin.left(), told(&balancer).await), (0, (1, 0)));
    origin.release();
    assert_eq!(client.response().await.body, b"ok");
}
