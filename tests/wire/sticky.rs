//! Clients that stay with their replica, by a cookie.

use std::collections::BTreeMap;

use http::{HeaderMap, Request};

use crate::{
    fixed::Upstream,
    h2::peer,
    origin,
    policies::{Upstreams, hold},
    support::{Answer, Balancer, Client, Deployment, until},
};

const SETTINGS: [&str; 4] = ["--sticky", "at", "--policy", "round-robin"];

/// A GET with this Cookie, unless it is empty.
async fn get(client: &mut Client, path: &str, cookie: &str) -> Answer {
    let mut request = Request::get(path);
    if !cookie.is_empty() {
        request = request.header("cookie", cookie);
    }
    client.send(request.body("".into()).expect("a request")).await
}

/// The number that a response has its client stay with, if it says so.
fn renewed(headers: &HeaderMap) -> Option<u64> {
    let mut cookies = headers.get_all("set-cookie").iter();
    let cookie = cookies.next()?.to_str().expect("text");
    assert!(cookies.next().is_none(), "one cookie");
    let number =
        cookie.strip_prefix("at=").and_then(|rest| rest.strip_suffix("; Path=/; HttpOnly; SameSite=Lax"));
    Some(number.unwrap_or_else(|| panic!("{cookie}")).parse().expect("a number"))
}

/// Who answered `/seen`, and which Cookie it got.
fn seen(body: &str) -> (String, Option<String>) {
    let seen: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let fields = seen["headers"].as_array().expect("fields").iter();
    let mut cookies =
        fields.filter(|field| field[0] == "cookie").map(|field| field[1].as_str().expect("text").into());
    (seen["server"].as_str().expect("a word").into(), cookies.next_back())
}

async fn of_origins(deployment: &Deployment, more: &[&str]) -> Balancer {
    let command = origin::command();
    deployment.start(&[&["--command", &command][..], &SETTINGS, more].concat()).await
}

#[tokio::test]
async fn a_client_stays_with_its_replica_whatever_the_policy() {
    for policy in ["round-robin", "least-requests", "ring", "random"] {
        let deployment = Deployment::of_processes();
        let command = origin::command();
        let settings = ["--command", &command, "--sticky", "at", "--policy", policy];
        let balancer = deployment.start(&settings).await;
        let mut client = balancer.client().await;
        for _ in 0..5 {
            let first = get(&mut client, "/seen", "").await;
            let number = renewed(&first.headers).expect("a cookie for who has none");
            assert_eq!(seen(&first.body).0, number.to_string());
            for _ in 0..20 {
                let again = get(&mut client, "/seen", &format!("a=b; at={number}; c=d")).await;
                assert_eq!(renewed(&again.headers), None, "{policy}: it has one");
                let expected = (number.to_string(), Some("a=b; c=d".to_owned()));
                assert_eq!(seen(&again.body), expected, "{policy}: and the replica does not get it");
            }
        }
    }
}

#[tokio::test]
async fn those_without_a_cookie_are_shared_out_as_ever() {
    let deployment = Deployment::of_processes();
    let balancer = of_origins(&deployment, &[]).await;
    let mut client = balancer.client().await;
    let mut counts = BTreeMap::<u64, u32>::new();
    for _ in 0..30 {
        let answer = get(&mut client, "/", "a=b").await;
        *counts.entry(renewed(&answer.headers).expect("a cookie")).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from([(1, 10), (2, 10), (3, 10)]));
}

#[tokio::test]
async fn clients_of_http_2_stay_too() {
    let deployment = Deployment::of_processes();
    let balancer = of_origins(&deployment, &[]).await;
    let mut client = peer::Client::connect(balancer.traffic).await;
    let first = client.call(peer::get("/seen")).await.expect("an answer");
    let number = renewed(&first.headers).expect("a cookie");
    for _ in 0..20 {
        let mut request = peer::get("/seen");
        for crumb in ["a=b", &format!("at={number}"), "c=d"] {
            request.headers_mut().append("cookie", crumb.parse().expect("a value"));
        }
        let again = client.call(request).await.expect("an answer");
        assert_eq!(renewed(&again.headers), None);
        assert_eq!(seen(again.text()), (number.to_string(), Some("a=b; c=d".to_owned())));
    }
}

#[tokio::test]
async fn what_a_client_makes_up_chooses_among_the_replicas_and_no_more() {
    let deployment = Deployment::of_processes();
    let balancer = of_origins(&deployment, &[]).await;
    let mut client = balancer.client().await;
    let long = "9".repeat(5000);
    for forged in [
        "",
        "0",
        "4",
        "65535",
        "65536",
        "-1",
        "+1",
        "01",
        "1 ",
        "Server-1",
        "127.0.0.1:1",
        "1, 2",
        "%31",
        "x\t",
        &long,
    ] {
        let answer = get(&mut client, "/seen", &format!("at=\"{forged}\"; at={forged}x")).await;
        assert!(answer.status == 200 && renewed(&answer.headers).is_some(), "{forged}");
        if forged != "1 " {
            let answer = get(&mut client, "/seen", &format!("a=b; at={forged}; c=d")).await;
            let number = renewed(&answer.headers).expect("a cookie that is right");
            assert_eq!(seen(&answer.body), (number.to_string(), Some("a=b; c=d".to_owned())), "{forged}");
        }
    }
    for number in 1..=3 {
        let answer = get(&mut client, "/seen", &format!("at={number}")).await;
        assert_eq!((renewed(&answer.headers), seen(&answer.body)), (None, (number.to_string(), None)));
    }
}

#[tokio::test]
async fn where_its_replica_is_gone_a_client_stays_with_another() {
    let mut upstreams = [Upstream::start("1").await, Upstream::start("2").await, Upstream::start("3").await];
    let deployment = Deployment::of_upstreams();
    let names: Vec<String> = upstreams.iter().map(Upstream::name).collect();
    let upstream = names.join(",");
    let balancer = deployment.start(&[&["--upstream", &upstream][..], &SETTINGS].concat()).await;
    let mut client = balancer.client().await;
    let first = get(&mut client, "/seen", "").await;
    let number = renewed(&first.headers).expect("a cookie");
    let at = usize::try_from(number).expect("small") - 1;
    let old = format!("at={number}");
    upstreams[at].end();
    for _ in 0..10 {
        let answer = get(&mut client, "/seen", &old).await;
        let other = renewed(&answer.headers).expect("another cookie");
        assert_ne!(other, number);
        assert_eq!(seen(&answer.body).0, other.to_string());
        let cookie = format!("at={other}");
        for _ in 0..5 {
            let again = get(&mut client, "/seen", &cookie).await;
            assert_eq!((renewed(&again.headers), seen(&again.body).0), (None, other.to_string()));
        }
    }
    upstreams[at].begin().await;
    until("it serves again", async || balancer.row(&names[at]).await.state == "ready").await;
    until("it is not suspected any more", async || {
        renewed(&get(&mut client, "/", &old).await.headers).is_none()
    })
    .await;
    let drain = format!("/v1/pools/default/replicas/{}/drain", names[at]);
    assert_eq!(Client::connect(balancer.admin).await.call("POST", &drain, "").await.status, 200);
    let answer = get(&mut client, "/seen", &old).await;
    let other = renewed(&answer.headers).expect("another cookie");
    assert_eq!((other == number, seen(&answer.body).0), (false, other.to_string()));
}

#[tokio::test]
async fn a_client_whose_replica_is_full_comes_back_to_it() {
    let (upstreams, deployment) = (Upstreams::start().await, Deployment::of_upstreams());
    let balancer =
        upstreams.balancer(&deployment, &[&SETTINGS[..], &["--max-in-flight", "1"]].concat()).await;
    let held = hold(&balancer, 1);
    let full = *upstreams.held(1).await.first().expect("one is held");
    let cookie = format!("at={}", full + 1);
    let mut client = balancer.client().await;
    for _ in 0..10 {
        let answer = get(&mut client, "/", &cookie).await;
        assert_eq!((answer.status, renewed(&answer.headers)), (200, None), "its cookie stays");
        assert_ne!(answer.body, full.to_string());
    }
    upstreams.open();
    let held = held.await.expect("no panic");
    assert_eq!(renewed(&held.headers), Some(full as u64 + 1));
    until("it serves its client", async || get(&mut client, "/", &cookie).await.body == full.to_string())
        .await;
}

#[tokio::test]
async fn only_a_replica_s_own_response_has_the_cookie() {
    let (one, deployment) = (Upstream::absent("1"), Deployment::of_upstreams());
    let balancer = deployment.launch(&[&["--upstream", &one.name()][..], &SETTINGS].concat()).await;
    for (path, status) in [("/", 503), ("/rep", 200)] {
        let answer = get(&mut balancer.client().await, path, "").await;
        assert_eq!((answer.status, renewed(&answer.headers)), (status, None), "{path}");
    }
}

#[tokio::test]
async fn without_the_setting_cookies_are_nobodys_business() {
    let deployment = Deployment::of_processes();
    let command = origin::command();
    let balancer = deployment.start(&["--command", &command, "--policy", "round-robin"]).await;
    let mut client = balancer.client().await;
    for _ in 0..6 {
        let answer = get(&mut client, "/seen", "at=1;  b=2").await;
        assert_eq!((renewed(&answer.headers), seen(&answer.body).1), (None, Some("at=1;  b=2".to_owned())));
    }
}
