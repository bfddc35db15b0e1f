//! What holds of a set that follows who is there, whoever comes and goes.

use std::{collections::BTreeMap, net::SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::{
    engine::{Found, State},
    name::NameError,
};

const ROOM: Room = Room { replicas: 50, weight: 100 };

fn sources(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::of_source(text).unwrap()).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn set(list: &[&str]) -> Desired {
    Desired::of_sources(Owner::from_bits(1), &sources(list))
}

fn called(desired: &Desired) -> Vec<&str> {
    desired.wants().iter().map(|want| want.name.as_str()).collect()
}

fn seats(desired: &Desired) -> Vec<(&str, u16)> {
    desired.wants().iter().map(|want| (want.name.as_str(), want.number.get())).collect()
}

/// One that is found under this name.
fn found(name: &str, id: u64, weight: u8) -> Instance {
    let name = Name::of_found(name).unwrap();
    Instance {
        id: InstanceId::from_bits(id),
        owner: Owner::from_bits(0),
        pool: "default".into(),
        name: name.clone(),
        number: Number::new(1).unwrap(),
        state: State::Running(Some(SocketAddr::from(([10, 0, 0, 1], 80)))),
        holds_name: true,
        checked: None,
        found: Some(Found { source: name, weight, heals: false, host: None, path: None }),
    }
}

#[test]
fn addresses_are_members_at_once_and_hosts_when_they_are_found() {
    let mut desired = set(&["10.0.0.5:80", "db:9000"]);
    assert_eq!(seats(&desired), [("10.0.0.5:80", 1)]);
    let address = Instance { id: desired.wants()[0].instance.clone(), ..found("10.0.0.5:80", 0, 1) };
    let met = desired.meet(&[address, found("db:9000", 7, 1), found("db:9000", 8, 1)], ROOM);
    assert_eq!(met.came, [InstanceId::from_bits(7), InstanceId::from_bits(8)]);
    assert_eq!(seats(&desired), [("10.0.0.5:80", 1), ("db:9000", 2), ("db:9000-2", 3)]);
}

#[test]
fn who_comes_in_the_place_of_one_that_went_has_its_name_and_number() {
    let mut desired = set(&["db:9000"]);
    let three = [1, 2, 3].map(|id| found("db:9000", id, 1));
    desired.meet(&three, ROOM);
    let before: Vec<_> = desired.wants().iter().map(|want| (want.instance.clone(), want.number)).collect();
    let met = desired.meet(&[three[2].clone(), found("db:9000", 9, 1), three[0].clone()], ROOM);
    assert_eq!((met.came.len(), met.went.len()), (1, 1));
    let seated = desired.wants().iter().find(|want| want.instance == InstanceId::from_bits(9)).unwrap();
    assert_eq!((seated.name.as_str(), seated.number.get()), ("db:9000-2", 2));
    for want in desired.wants().iter().filter(|want| want.instance != seated.instance) {
        assert!(before.contains(&(want.instance.clone(), want.number)), "those that stay are what they were");
    }
}

#[test]
fn one_that_comes_back_has_its_number_again_and_nobody_took_it_meanwhile() {
    let mut desired = Desired::from_wants(Owner::from_bits(1), Configured::Labels, vec![]);
    let (one, two) = (found("shop_ml_1", 1, 1), found("shop_ml_2", 2, 1));
    desired.meet(&[one.clone(), two.clone()], ROOM);
    desired.meet(std::slice::from_ref(&two), ROOM);
    desired.meet(&[two.clone(), found("other", 3, 1)], ROOM);
    desired.meet(&[two, found("other", 3, 1), found("shop_ml_1", 4, 1)], ROOM);
    assert_eq!(seats(&desired), [("shop_ml_2", 2), ("other", 3), ("shop_ml_1", 1)]);
}

/// It got requests as soon as it was restarted for the maintenance that it was drained for.
#[test]
fn one_that_was_drained_is_so_when_it_comes_back() {
    let mut desired = Desired::from_wants(Owner::from_bits(1), Configured::Labels, vec![]);
    let (one, two) = (found("web-1", 1, 1), found("web-2", 2, 1));
    let drained = |desired: &Desired| {
        desired.wants().iter().map(|want| (want.name.to_string(), want.drained)).collect::<Vec<_>>()
    };
    desired.meet(&[one.clone(), two.clone()], ROOM);
    assert_eq!(desired.drain("web-1", true), Ok(true));
    desired.meet(std::slice::from_ref(&two), ROOM);
    desired.meet(&[two.clone(), one.clone()], ROOM);
    assert_eq!(drained(&desired), [("web-2".into(), false), ("web-1".into(), true)]);

    desired.meet(std::slice::from_ref(&two), ROOM);
    assert_eq!(desired.drain("web-1", false), Ok(true), "it is away");
    assert_eq!(desired.drain("web-1", false), Ok(false), "is no news");
    desired.meet(&[two, found("web-1", 3, 1)], ROOM);
    assert_eq!(drained(&desired), [("web-2".into(), false), ("web-1".into(), false)]);
    assert_eq!(desired.drain("web-3", true), Err(ChangeError::Unknown("web-3".into())));
}

#[test]
fn those_that_went_are_not_remembered_for_ever() {
    let mut desired = Desired::from_wants(Owner::from_bits(1), Configured::Labels, vec![]);
    for id in 0..1000 {
        desired.meet(&[found(&format!("job-{id}"), id, 1)], ROOM);
    }
    assert_eq!(desired.departed.len(), MOST_DEPARTED);
    assert!(usize::from(desired.wants()[0].number.get()) <= MOST_DEPARTED + 2);
}

#[test]
fn a_weight_is_followed_when_it_changes_and_what_an_operator_said_stays_till_then() {
    let mut desired = set(&["db:9000"]);
    let weight = |desired: &Desired| desired.wants()[0].weight.get();
    desired.meet(&[found("db:9000", 1, 5)], ROOM);
    assert_eq!(weight(&desired), 5);
    desired.weigh("db:9000", Weight::new(9).unwrap(), 100).unwrap();
    assert!(desired.meet(&[found("db:9000", 1, 5)], ROOM).reweighted.is_empty());
    assert_eq!(weight(&desired), 9);
    assert_eq!(desired.meet(&[found("db:9000", 1, 6)], ROOM).reweighted.len(), 1);
    assert_eq!(weight(&desired), 6);
    desired.meet(&[found("db:9000", 1, 90)], Room { weight: 50, ..ROOM });
    assert_eq!(weight(&desired), 6, "the ring has no room for it");
}

#[test]
fn there_are_no_more_than_there_is_room_for() {
    let mut desired = set(&["db:9000"]);
    let listed: Vec<_> = (0..5).map(|id| found("db:9000", id, 10)).collect();
    let met = desired.meet(&listed, Room { replicas: 3, weight: 100 });
    assert_eq!((met.came.len(), met.turned_away), (3, 2));
    let met = desired.meet(&listed, Room { replicas: 9, weight: 40 });
    assert_eq!((met.came.len(), met.turned_away, desired.weight()), (1, 1, 40));
}

#[test]
fn sources_are_added_and_removed_and_what_cannot_be_changes_nothing() {
    let mut desired = set(&["a:1", "[::1]:2"]);
    desired.meet(&[found("a:1", 1, 1), found("a:1", 2, 1)], ROOM);
    let before = desired.clone();
    let add = |desired: &mut Desired, count, names: &[&str]| {
        desired.add_sources(count, &texts(names), 9).unwrap_err()
    };
    assert_eq!(add(&mut desired, 2, &["b:1"]), ChangeError::NeedsAddresses { asked: 2, given: 1 });
    assert_eq!(add(&mut desired, 1, &["b:1", "c:1"]), ChangeError::TooManyToAdd);
    let invalid = ChangeError::Invalid { name: "S4".into(), why: NameError::NoPort };
    assert_eq!(add(&mut desired, 1, &["S4"]), invalid);
    assert_eq!(add(&mut desired, 1, &["[0::1]:2"]), ChangeError::Exists(Name::of_source("[::1]:2").unwrap()));
    assert_eq!(add(&mut desired, 2, &["b:1", "B:1"]), ChangeError::Twice(Name::of_source("b:1").unwrap()));
    let one_of_two = ChangeError::FoundBy {
        name: Name::of_found("a:1-2").unwrap(),
        source_name: Name::of_source("a:1").unwrap(),
    };
    assert_eq!(desired.remove_sources(1, &texts(&["a:1-2"]), &[]), Err(one_of_two));
    let unknown = ChangeError::Unknown("x:1".into());
    assert_eq!(desired.remove_sources(1, &texts(&["x:1"]), &[]), Err(unknown));
    let fewer = ChangeError::Fewer { asked: 3, there: 2 };
    assert_eq!(desired.remove_sources(3, &[], &[]), Err(fewer));
    assert_eq!(desired, before);
    desired.add_sources(1, &texts(&["_http._tcp.x.org"]), 9).unwrap();
    assert_eq!(desired.remove_sources(1, &texts(&["[0::1]:2"]), &[]), Ok(sources(&["[::1]:2"])));
    assert_eq!(desired.sources(), sources(&["a:1", "_http._tcp.x.org"]));
}

/// At a start nobody knew which of two services had found whom before.
#[test]
fn which_source_found_a_member_is_known_for_as_long_as_it_is_sought() {
    let [web, mail, host] = ["_http._tcp.test", "_smtp._tcp.test", "a:80"];
    let mut desired = set(&[web, mail, host]);
    let by = |source: &str, instance: Instance| {
        let found =
            instance.found.clone().map(|found| Found { source: sources(&[source]).remove(0), ..found });
        Instance { found, ..instance }
    };
    let of_web = by(web, found("a:80", 1, 1));
    desired.meet(&[of_web.clone(), by(mail, found("b:25", 2, 1)), found("a:80", 3, 1)], ROOM);
    let told = |desired: &Desired| -> Vec<(String, Option<String>)> {
        let source = |want| desired.source_of(want).map(Name::to_string);
        desired.wants().iter().map(|want| (want.name.to_string(), source(want))).collect()
    };
    let is = |name: &str, source: &str| (name.to_owned(), Some(source.to_owned()));
    assert_eq!(told(&desired), [is("a:80", web), is("b:25", mail), is("a:80-2", host)]);
    assert_eq!(desired.remove_sources(1, &texts(&["b:25"]), &[]), Ok(sources(&[mail])));
    desired.meet(&[by(host, of_web), found("a:80", 3, 1)], ROOM);
    assert_eq!(told(&desired), [is("a:80", host), is("a:80-2", host)], "another one has it now");
    let mut labelled = Desired::from_wants(Owner::from_bits(1), Configured::Labels, vec![]);
    labelled.meet(&[by("web-1:1", found("web-1-2", 1, 1))], ROOM);
    assert_eq!(labelled.wants()[0].source, None, "there are none");
}

#[test]
fn where_nobody_is_named_the_source_of_the_first_in_the_order_goes() {
    let mut desired = set(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]);
    let order = sources(&["10.0.0.2:1", "10.0.0.1:1"]);
    let gone = desired.remove_sources(2, &texts(&["10.0.0.3:1"]), &order);
    assert_eq!(gone, Ok(sources(&["10.0.0.3:1", "10.0.0.2:1"])));
}

#[test]
fn where_containers_say_where_they_belong_nobody_adds_or_removes() {
    let mut desired = Desired::from_wants(Owner::from_bits(1), Configured::Labels, vec![]);
    assert_eq!(desired.add_sources(1, &texts(&["a:1"]), 9), Err(ChangeError::ByLabels));
    assert_eq!(desired.remove_sources(0, &[], &[]), Err(ChangeError::ByLabels));
}

#[test]
fn the_stored_set_follows_a_changed_list_and_keeps_what_was_added_by_a_call() {
    let [a, b, c, d, x] = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1", "10.0.0.9:1"];
    let mut desired = set(&[a, b, c]);
    desired.add_sources(1, &texts(&[x]), 9).unwrap();
    desired.remove_sources(1, &texts(&[b]), &[]).unwrap();
    desired.take(|want| want.name.as_str() == b);
    desired.follow(&sources(&[c, b, a]));
    assert_eq!(called(&desired), [a, c, x], "the list has not changed");
    let kept = desired.wants()[0].clone();
    desired.follow(&sources(&[a, b, d]));
    assert_eq!(desired.wants()[0], kept);
    assert_eq!(seats(&desired), [(a, 1), (x, 4), (b, 2), (d, 3)]);
    assert_eq!(desired.sources(), sources(&[a, x, b, d]));
}

proptest! {
    /// Names and numbers are each somebody's alone; who stays keeps both; who comes back under a name that was its own
    /// alone has its number again.
    #[test]
    fn whoever_comes_and_goes_those_that_stay_are_who_they_were(
        lists in prop::collection::vec(prop::collection::btree_set(0u64..12, 0..12), 1..30)
    ) {
        let mut desired = Desired::from_wants(Owner::from_bits(1), Configured::Labels, vec![]);
        let mut numbers: BTreeMap<u64, Number> = BTreeMap::new();
        for list in lists {
            let before = desired.clone();
            // even ones have names of their own, odd ones share two
            let name = |id: &u64| if id.is_multiple_of(2) { format!("own-{id}") } else { format!("shared-{}", id % 4) };
            let listed: Vec<_> = list.iter().map(|id| found(&name(id), *id, 1)).collect();
            desired.meet(&listed, ROOM);
            prop_assert_eq!(desired.wants().len(), listed.len());
            for (at, want) in desired.wants().iter().enumerate() {
                for other in &desired.wants()[..at] {
                    prop_assert!(want.name != other.name && want.number != other.number);
                }
                if let Some(was) = before.wants().iter().find(|was| was.instance == want.instance) {
                    prop_assert_eq!(was, want);
                }
            }
            for id in list.iter().filter(|id| *id % 2 == 0) {
                let want = desired.wants().iter().find(|want| want.instance == InstanceId::from_bits(*id)).unwrap();
                prop_assert_eq!(*numbers.entry(*id).or_insert(want.number), want.number);
            }
        }
    }
}
