//! Looking for replicas at addresses, hosts and services, asking a real name server over loopback.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use dns::{NameServer, Record};
use domain::base::Rtype;
use ringkeeper::{
    engine::{
        Engine, Instance, Known,
        dns::{LookupError, Resolver},
        fixed::{FixedEngine, examine, instance_at},
    },
    name::{InstanceId, Name},
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

#[allow(dead_code, reason = "the wire tests use the rest")]
#[path = "support/dns.rs"]
mod dns;

/// How long anything may take that is to happen soon.
const SOON: Duration = Duration::from_secs(20);

struct Place {
    server: NameServer,
    engine: Arc<FixedEngine>,
}

impl Place {
    async fn new() -> Self {
        let server = NameServer::start().await;
        let engine = Arc::new(FixedEngine::new("default".into(), Resolver::new(Some(server.address))));
        Place { server, engine }
    }

    fn seek(&self, sources: &[&str]) {
        self.engine.seek(&names(sources), &[]);
    }

    async fn listed(&self) -> Vec<Instance> {
        timeout(SOON, self.engine.list()).await.expect("it comes to an end").unwrap()
    }

    /// Name and address of each.
    async fn shown(&self) -> Vec<String> {
        let shown = |instance: &Instance| format!("{} {}", instance.name, instance.address().unwrap());
        self.listed().await.iter().map(shown).collect()
    }

    async fn until_shown(&self, wanted: &[&str]) {
        let deadline = Instant::now() + SOON;
        loop {
            let shown = self.shown().await;
            if shown == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{shown:?}, not {wanted:?}");
            let _or_a_look_all_the_same = timeout(Duration::from_millis(100), self.engine.changed()).await;
        }
    }
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::of_source(text).unwrap()).collect()
}

/// One of this name and weight that was found at this address.
fn known(name: &str, address: &str, weight: u8) -> Known {
    let instance = instance_at(&names(&[address])[0]).unwrap();
    Known { name: Name::of_found(name).unwrap(), instance, source: None, weight }
}

#[tokio::test]
async fn a_host_is_each_of_its_addresses_for_as_long_as_it_has_it() {
    let place = Place::new().await;
    place.server.host("db.test", 1, &["10.0.0.2", "10.0.0.1"]);
    place.seek(&["db.test:9000", "10.0.0.9:80"]);
    let both = ["db.test:9000 10.0.0.1:9000", "db.test:9000 10.0.0.2:9000", "10.0.0.9:80 10.0.0.9:80"];
    assert_eq!(place.shown().await, both);
    let ids: Vec<InstanceId> = place.listed().await.into_iter().map(|instance| instance.id).collect();
    place.server.host("db.test", 1, &["10.0.0.3", "10.0.0.2"]);
    let begun = Instant::now();
    let moved = ["db.test:9000 10.0.0.2:9000", "db.test:9000 10.0.0.3:9000", "10.0.0.9:80 10.0.0.9:80"];
    place.until_shown(&moved).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "its TTL is a second: {:?}", begun.elapsed());
    assert_eq!(place.listed().await[0].id, ids[1], "it is the same one as before");
    assert_eq!(instance_at(&names(&["10.0.0.9:80"])[0]).as_ref(), Some(&ids[2]));
}

#[tokio::test]
async fn what_holds_for_long_is_not_asked_for_again_and_again() {
    let place = Place::new().await;
    place.server.host("short.test", 0, &["10.0.0.1"]);
    place.server.host("long.test", 600, &["10.0.0.2"]);
    place.seek(&["long.test:1"]);
    place.listed().await;
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(place.server.asked(), 2, "for its addresses of each family");
    place.seek(&["short.test:1"]);
    place.listed().await;
    sleep(Duration::from_millis(2500)).await;
    let asked = place.server.asked() - 2;
    assert!((4..=8).contains(&asked), "{asked}: once a second and not more often");
}

#[tokio::test]
async fn a_name_server_that_fails_changes_nothing_and_is_told_of() {
    let place = Place::new().await;
    place.server.host("db.test", 1, &["10.0.0.1", "10.0.0.2"]);
    place.seek(&["db.test:9000"]);
    let before = place.listed().await;
    assert_eq!(before.len(), 2);
    place.server.fail(true);
    let deadline = Instant::now() + SOON;
    while place.engine.troubles().is_empty() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(place.listed().await, before);
    let trouble = place.engine.troubles().remove(0);
    assert!(trouble.known && trouble.why.contains("SERVFAIL") && trouble.why.contains("kept"), "{trouble:?}");
    place.server.fail(false);
    place.server.host("db.test", 1, &["10.0.0.3"]);
    place.until_shown(&["db.test:9000 10.0.0.3:9000"]).await;
    assert_eq!(place.engine.troubles(), []);
}

#[tokio::test]
async fn what_was_known_before_is_there_until_the_name_server_answers() {
    let place = Place::new().await;
    place.server.be_silent(true);
    let before = [
        known("db.test:9000", "10.0.0.1:9000", 1),
        known("db.test:9000-2", "10.0.0.2:9000", 1),
        known("web.test:80", "10.0.0.3:80", 1),
    ];
    place.engine.seek(&names(&["db.test:9000"]), &before);
    let listed = place.listed().await;
    assert_eq!(
        listed.iter().map(|one| one.id.clone()).collect::<Vec<_>>(),
        [before[0].instance.clone(), before[1].instance.clone()]
    );
    place.server.host("db.test", 1, &["10.0.0.2"]);
    place.server.be_silent(false);
    place.until_shown(&["db.test:9000 10.0.0.2:9000"]).await;
}

/// A resolver that has the addresses of one family in its cache, and nobody to ask for the others.
#[tokio::test]
async fn a_look_up_that_fails_for_one_family_takes_away_nobody_of_it() {
    let place = Place::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = format!("db.test:{port}");
    place.server.host("db.test", 1, &["127.0.0.1", "::1"]);
    let provider = Record::Provider(1, 1, port, "db.test".to_owned());
    place.server.set("_db._tcp.test", 1, &[provider]);
    let here = |ip: &str| format!("{host} {ip}:{port}");
    for source in [host.as_str(), "_db._tcp.test"] {
        place.seek(&[source]);
        assert_eq!(place.shown().await, [here("127.0.0.1")]);
        place.server.fail_for(Some(Rtype::A));
        let deadline = Instant::now() + SOON;
        while place.engine.troubles().is_empty() {
            assert!(Instant::now() < deadline, "{:?}", place.shown().await);
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(place.shown().await, [here("127.0.0.1")]);
        let trouble = place.engine.troubles().remove(0);
        assert!(trouble.known && trouble.why.contains("SERVFAIL"), "{trouble:?}");
        place.server.fail_for(Some(Rtype::AAAA));
        place.server.host("db.test", 1, &["127.0.0.2", "::1"]);
        place.until_shown(&[&here("127.0.0.2")]).await; // what is said of its own family is so
        place.server.fail_for(None);
        place.server.host("db.test", 1, &["127.0.0.1", "::1"]);
    }
}

#[tokio::test]
async fn who_a_service_found_before_has_the_weight_that_it_was_told() {
    let place = Place::new().await;
    place.server.be_silent(true);
    let before = [known("a.test:80", "10.0.0.1:80", 1), known("b.test:80", "10.0.0.2:80", 2)];
    place.engine.seek(&names(&["_http._tcp.shop.test"]), &before);
    let weights: Vec<u8> = place.listed().await.into_iter().map(|one| one.found.unwrap().weight).collect();
    assert_eq!(weights, [1, 2]);
}

/// Each of two services had whom the other had found, until both were looked up.
#[tokio::test]
async fn who_one_of_two_services_found_before_is_not_taken_for_the_other_ones() {
    let place = Place::new().await;
    place.server.fail(true);
    let [web, mail] = ["_http._tcp.shop.test", "_smtp._tcp.shop.test"];
    let by = |source: &str, known: Known| Known { source: Some(names(&[source]).remove(0)), ..known };
    let before =
        [by(web, known("a.test:80", "10.0.0.1:80", 1)), by(mail, known("b.test:25", "10.0.0.2:25", 1))];
    place.engine.seek(&names(&[web, mail]), &before);
    let listed = place.listed().await;
    let found_by: Vec<String> = listed.into_iter().map(|one| one.found.unwrap().source.to_string()).collect();
    assert_eq!(found_by, [web, mail]);
    place.seek(&[web]);
    assert_eq!(place.shown().await, ["a.test:80 10.0.0.1:80"]);
}

/// The replicas of a host lived on under a service of nobody, and that this has nobody was not told.
#[tokio::test]
async fn a_service_is_not_taken_to_have_found_who_a_host_did() {
    let place = Place::new().await;
    place.server.fail(true);
    let before = [known("db.test:9000", "10.0.0.1:9000", 1), known("db.test:9000-2", "10.0.0.2:9000", 1)];
    place.engine.seek(&names(&["db.test:9000", "_http._tcp.shop.test"]), &before);
    assert_eq!(place.listed().await.len(), 2);
    let service = names(&["_http._tcp.shop.test"]).remove(0);
    let troubles = place.engine.troubles();
    let trouble = troubles.iter().find(|trouble| trouble.source == service).expect("it is told of");
    assert!(!trouble.known, "{trouble:?}");
    place.seek(&["_http._tcp.shop.test"]);
    assert_eq!(place.listed().await, []);
}

#[tokio::test]
async fn a_host_that_is_not_known_is_told_of_and_found_when_it_comes() {
    let place = Place::new().await;
    place.seek(&["db.test:9000"]);
    assert_eq!(place.listed().await, []);
    let trouble = place.engine.troubles().remove(0);
    assert_eq!((trouble.source.as_str(), trouble.known), ("db.test:9000", false));
    assert!(trouble.why.contains("nothing of this name"), "{trouble:?}");
    place.server.host("db.test", 1, &["10.0.0.1"]);
    place.until_shown(&["db.test:9000 10.0.0.1:9000"]).await;
}

/// One slip of a name server does not empty a pool; what it says again and again is so.
#[tokio::test]
async fn that_there_is_nothing_any_more_is_believed_when_it_is_said_three_times() {
    let place = Place::new().await;
    place.server.host("db.test", 1, &["10.0.0.1"]);
    place.seek(&["db.test:9000"]);
    assert_eq!(place.listed().await.len(), 1);
    place.server.forget("db.test");
    let asked = place.server.asked();
    place.until_shown(&[]).await;
    assert!(place.server.asked() - asked >= 3 * 2);
}

#[tokio::test]
async fn a_service_is_those_that_provide_it_first_with_their_shares() {
    let place = Place::new().await;
    let provider =
        |priority, weight, port, host: &str| Record::Provider(priority, weight, port, host.to_owned());
    let providers = [
        provider(10, 20, 8080, "a.test"),
        provider(10, 60, 8081, "b.test"),
        provider(20, 50, 8082, "spare.test"),
        provider(10, 20, 8083, "gone.test"),
    ];
    place.server.set("_http._tcp.shop.test", 1, &providers);
    place.server.host("a.test", 1, &["10.0.0.1"]);
    place.server.host("b.test", 1, &["10.0.0.2", "10.0.0.3"]);
    place.server.host("spare.test", 1, &["10.0.0.4"]);
    place.seek(&["_http._tcp.shop.test"]);
    assert_eq!(
        place.shown().await,
        ["a.test:8080 10.0.0.1:8080", "b.test:8081 10.0.0.2:8081", "b.test:8081 10.0.0.3:8081"]
    );
    let weights: Vec<u8> = place.listed().await.into_iter().map(|one| one.found.unwrap().weight).collect();
    assert_eq!(weights, [1, 3, 3]);
    place.server.set("_http._tcp.shop.test", 1, &providers[2..3]);
    place.until_shown(&["spare.test:8082 10.0.0.4:8082"]).await;
    place.server.set("_http._tcp.shop.test", 1, &[provider(0, 0, 0, ".")]);
    place.until_shown(&[]).await;
}

#[tokio::test]
async fn an_address_that_several_sources_have_is_there_once() {
    let place = Place::new().await;
    place.server.host("a.test", 60, &["10.0.0.1"]);
    place.server.host("b.test", 60, &["10.0.0.1", "10.0.0.2"]);
    place.seek(&["a.test:80", "b.test:80"]);
    assert_eq!(place.shown().await, ["a.test:80 10.0.0.1:80", "b.test:80 10.0.0.2:80"]);
    place.seek(&["b.test:80"]);
    assert_eq!(place.shown().await, ["b.test:80 10.0.0.1:80", "b.test:80 10.0.0.2:80"]);
}

#[tokio::test]
async fn aliases_are_followed_and_long_answers_come_over_tcp() {
    let server = NameServer::start().await;
    server.set("www.test", 600, &[Record::Alias("real.test".into())]);
    server.host("real.test", 7, &["10.0.0.1"]);
    let lookup = Resolver::new(Some(server.address)).begin();
    let found = lookup.addresses("www.test").await.unwrap();
    assert_eq!((found.found, found.ttl), (vec!["10.0.0.1".parse().unwrap()], Duration::from_secs(7)));
    server.truncate(true);
    let many: Vec<String> = (0..200).map(|last| format!("10.0.1.{last}")).collect();
    server.host("many.test", 7, &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(lookup.addresses("many.test").await.unwrap().found.len(), 200);
    assert!(server.over_tcp() > 0);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_from_a_server_that_does_not_say() {
    let server = NameServer::start().await;
    let lookup = Resolver::new(Some(server.address)).begin();
    assert!(matches!(lookup.addresses("no.test").await, Err(LookupError::Nothing(_))));
    server.set("empty.test", 5, &[]);
    assert!(matches!(lookup.addresses("empty.test").await, Err(LookupError::Nothing(_))));
    server.fail(true);
    assert!(matches!(lookup.addresses("no.test").await, Err(LookupError::Silent(_))));
    let local = lookup.addresses("localhost").await.unwrap();
    assert!(!local.found.is_empty(), "this machine knows it");
}

#[tokio::test]
async fn the_doctor_tells_who_accepts_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    let closed: SocketAddr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = NameServer::start().await;
    server.host("two.test", 5, &["127.0.0.1"]);
    let list =
        [open.to_string(), format!("two.test:{}", open.port()), closed.to_string(), "no.test:1".to_owned()];
    let list = names(&list.each_ref().map(String::as_str));
    let found: Vec<_> = examine(&list, &Resolver::new(Some(server.address))).await;
    let found: Vec<_> = found.into_iter().map(|finding| finding.found).collect();
    assert_eq!(found[0], Ok(format!("{open} accepts connections")));
    assert_eq!(found[1], Ok(format!("two.test:{} ({open}) accepts connections", open.port())));
    let wrong = found[2].clone().unwrap_err();
    assert!(
        wrong.contains(&format!("{closed} accepts no connection")) && wrong.contains("--upstream"),
        "{wrong}"
    );
    assert!(found[3].clone().unwrap_err().contains("'no.test:1' cannot be looked up"), "{found:?}");
}
