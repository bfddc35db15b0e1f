//! What decides where a request goes: each source of a key, in both protocols, as `ringkeeper ring` says.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use ringkeeper::ring::id_of_key;

use crate::{
    h2::peer,
    support::{Balancer, Client, Deployment, predicted, stderr},
};

/// A request in either protocol.
#[derive(Clone, Debug)]
struct Question {
    target: String,
    host: String,
    fields: Vec<(&'static str, String)>,
    body: String,
}

/// The id that a request had, and the number of the replica that answered.
type Went = (u64, u64);

impl Question {
    fn get(target: impl Into<String>) -> Self {
        Question { target: target.into(), host: "a".into(), fields: Vec::new(), body: String::new() }
    }

    fn of_host(host: String) -> Self {
        Question { host, ..Question::get("/") }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn json(self, body: String) -> Self {
        Question { body, ..self.with("content-type", "application/json") }
    }

    fn head(&self, uri: &str) -> http::request::Builder {
        let method = if self.body.is_empty() { "GET" } else { "PUT" };
        Request::builder().method(method).uri(uri)
    }

    async fn by_http1(&self, client: &mut Client) -> Went {
        let mut head = self.head(&self.target).header("host", &self.host);
        for (name, value) in &self.fields {
            head = head.header(*name, value);
        }
        let answer = client.send(head.body(Full::<Bytes>::from(self.body.clone())).expect("a request")).await;
        went(&answer.headers)
    }

    /// Cookies go in crumbs.
    async fn by_http2(&self, client: &mut peer::Client) -> Went {
        let mut head = self.head(&format!("http://{}{}", self.host, self.target));
        for (name, value) in &self.fields {
            for value in if *name == "cookie" { value.split("; ").collect() } else { vec![value.as_str()] } {
                head = head.header(*name, value);
            }
        }
        let answer = match self.body.len() {
            0 => client.call(head.body(()).expect("a request")).await,
            length => {
                let request = head.header("content-length", length).body(()).expect("a request");
                client.send(request, self.body.as_bytes(), None).await
            }
        };
        went(&answer.expect("an answer").headers)
    }
}

fn went(headers: &http::HeaderMap) -> Went {
    let text = |name: &str| headers[name].to_str().expect("text");
    let number = text("x-ringkeeper-replica").strip_prefix("Server-").expect("a name with a number");
    (text("x-ringkeeper-key").parse().expect("an id"), number.parse().expect("a number"))
}

async fn with_key(deployment: &Deployment, key: &str) -> Balancer {
    deployment.start(&["--key", key, "--debug-headers", "--threads", "1"]).await
}

/// What keys are made of: words, and numbers, which are ids themselves.
fn words() -> Vec<String> {
    (0..12).flat_map(|index| [format!("u{index}"), format!("{}", 100_000 + index * 71_317)]).collect()
}

/// Asks these of a balancer with this key in both protocols, and has each be of this id and go where the ring says.
async fn go_where_the_ring_says(key: &str, questions: Vec<(Question, u64)>) {
    let deployment = Deployment::of_processes();
    let balancer = with_key(&deployment, key).await;
    let (mut http1, mut http2) = (balancer.client().await, peer::Client::connect(balancer.traffic).await);
    let ids: Vec<u64> = questions.iter().map(|(_, id)| *id).collect();
    for ((question, id), order) in questions.iter().zip(predicted(&ids, &[])) {
        assert_eq!(question.by_http1(&mut http1).await, (*id, order[0]), "{key} {question:?}");
        assert_eq!(question.by_http2(&mut http2).await, (*id, order[0]), "{key} {question:?} by HTTP/2");
    }
}

/// The same of one question for each word, whose id is the word's.
async fn each_word_is_a_key(key: &str, ask: impl Fn(&str) -> Question) {
    let questions = words().iter().map(|word| (ask(word), id_of_key(word.as_bytes()))).collect();
    go_where_the_ring_says(key, questions).await;
}

#[tokio::test]
async fn a_header_a_cookie_and_the_query_are_keys() {
    each_word_is_a_key("header:X-User", |word| Question::get("/").with("x-user", word)).await;
    each_word_is_a_key("query:user", |word| Question::get(format!("/?xuser=1&user={word}&user=2"))).await;
    each_word_is_a_key("cookie:sid", |word| {
        Question::get("/").with("cookie", format!("xsid=1; sid={word}; SID=2; sid=3"))
    })
    .await;
}

#[tokio::test]
async fn the_path_its_segments_and_the_host_are_keys() {
    let paths = words().into_iter().flat_map(|word| {
        let id = id_of_key(format!("/users/{word}").as_bytes());
        let spellings =
            [format!("/users/{word}?x=1"), format!("/%75sers/./{word}"), format!("/x/../users/{word}")];
        spellings.map(|target| (Question::get(target), id))
    });
    go_where_the_ring_says("path", paths.collect()).await;
    each_word_is_a_key("segment:2", |word| Question::get(format!("/users/{word}/cart?x=1"))).await;
    let hosts = words().into_iter().map(|word| {
        let id = id_of_key(format!("{word}.example.org").as_bytes());
        (Question::of_host(format!("{}.Example.ORG:8080", word.to_uppercase())), id)
    });
    go_where_the_ring_says("host", hosts.collect()).await;
}

#[tokio::test]
async fn a_member_of_a_small_json_body_is_a_key() {
    each_word_is_a_key("json:user", |word| {
        let body = if word.starts_with('u') {
            format!(r#"{{"user":"{word}"}}"#)
        } else {
            format!(r#"{{"user":{word}}}"#)
        };
        Question::get("/").json(body)
    })
    .await;
    each_word_is_a_key("json:a.b.c", |word| {
        Question::get("/").json(format!(r#"{{"c":1,"a":{{"c":2,"b":{{"c":"{word}"}}}}}}"#))
    })
    .await;
}

#[tokio::test]
async fn a_client_s_network_is_a_key() {
    for (key, networks) in [
        ("client/24", [("192.0.2.7", "192.0.2.0"), ("2001:db8:1:2::7", "2001:db8:1:2::7")]),
        ("client/16/64", [("192.0.2.7", "192.0.0.0"), ("2001:db8:1:2::7", "2001:db8:1:2::")]),
    ] {
        let deployment = Deployment::of_processes();
        let settings = ["--key", key, "--debug-headers", "--trusted-proxies", "127.0.0.1"];
        let balancer = deployment.start(&settings).await;
        for (client, network) in networks {
            let question = Question::get("/").with("x-forwarded-for", client);
            let id = id_of_key(network.as_bytes());
            let order = &predicted(&[id], &[])[0];
            assert_eq!(
                question.by_http1(&mut balancer.client().await).await,
                (id, order[0]),
                "{key} {client}"
            );
        }
    }
}

#[tokio::test]
async fn of_several_keys_the_first_that_a_request_has_counts() {
    let key = "header:X-User,cookie:sid,json:user.id,query:user,client";
    let all = |user: &str, sid: &str, id: &str, query: &str| {
        Question::get(format!("/?user={query}"))
            .with("x-user", user)
            .with("cookie", format!("a=b; sid={sid}"))
            .json(format!(r#"{{"user":{{"id":"{id}"}}}}"#))
    };
    let questions = [
        (all("1", "2", "3", "4"), 1),
        (all("", "2", "3", "4"), 2),
        (all("", "", "3", "4"), 3),
        (all("", "", "", "4"), 4),
        (all("", "", "", ""), id_of_key(b"127.0.0.1")),
        (Question::get("/"), id_of_key(b"127.0.0.1")),
    ];
    go_where_the_ring_says(key, questions.into()).await;
}

#[tokio::test]
async fn a_request_that_has_none_of_them_goes_anywhere() {
    let deployment = Deployment::of_processes();
    let balancer = with_key(&deployment, "header:X-User,segment:2,cookie:sid").await;
    let mut client = balancer.client().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..120 {
        let (id, number) = Question::get("/a/").with("cookie", "sid=; b=1").by_http1(&mut client).await;
        assert!((100_000..=999_999).contains(&id), "{id}");
        seen.insert(number);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn what_is_no_key_is_refused_with_what_is_accepted() {
    let deployment = Deployment::of_processes();
    for (key, says) in [
        ("user", "'user' is no key: accepted are request_id, random, path, segment:N, host, client"),
        ("header:X-User,cookie", "'cookie' is no key: accepted are"),
        ("client/64", "'client/64' is no key: of an address of IPv4 the first 1 to 32 bits count"),
        ("segment:0", "counted from 1"),
        (
            "client,header:X-User",
            "--key: 'header:x-user' comes after 'client', so no request ever goes by it",
        ),
    ] {
        let output = deployment.serve_in_vain(&["--key", key]);
        assert!(!output.status.success() && stderr(&output).contains(says), "{}", stderr(&output));
    }
}
