//! What holds of a set as it is changed by calls, by deaths and by its configuration.

use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn three() -> (Desired, StdRng) {
    let mut rng = StdRng::seed_from_u64(1);
    (Desired::fresh(Owner::from_bits(1), 3, &mut rng), rng)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn shown(desired: &Desired) -> Vec<(String, u16)> {
    desired.wants().iter().map(|want| (want.name.to_string(), want.number.get())).collect()
}

#[test]
fn a_fresh_set_is_server_1_to_n() {
    let (desired, _) = three();
    assert_eq!(shown(&desired), [("Server-1".into(), 1), ("Server-2".into(), 2), ("Server-3".into(), 3)]);
}

#[test]
fn added_ones_come_last_with_the_lowest_free_numbers_and_drawn_names_for_the_rest() {
    let (mut desired, mut rng) = three();
    desired.remove(1, &names(&["Server-2"]), &[]).unwrap();
    let added = desired.add(3, &names(&["S5", "S4"]), 54, 42, &mut rng).unwrap();
    assert_eq!(added[..2], [name("S5"), name("S4")]);
    let drawn = added[2].as_str();
    assert!(drawn.starts_with("Server-") && drawn.ends_with("-042") && drawn.len() == 14, "{drawn}");
    let numbers: Vec<u16> = desired.wants().iter().map(|want| want.number.get()).collect();
    assert_eq!(numbers, [1, 3, 2, 4, 5]);
}

#[test]
fn drawn_names_are_never_the_same() {
    let (mut desired, mut rng) = three();
    desired.add(900, &[], 997, 7, &mut rng).unwrap();
    let distinct: std::collections::HashSet<_> = shown(&desired).into_iter().map(|(name, _)| name).collect();
    assert_eq!(distinct.len(), 903);
}

#[test]
fn a_change_that_cannot_be_made_changes_nothing() {
    let (mut desired, mut rng) = three();
    let before = desired.clone();
    let add =
        |d: &mut Desired, n, list: &[&str], rng: &mut StdRng| d.add(n, &names(list), 2, 0, rng).unwrap_err();
    assert_eq!(add(&mut desired, 1, &["S4", "S5"], &mut rng), ChangeError::TooManyToAdd);
    assert_eq!(add(&mut desired, 2, &["S4", "server-1"], &mut rng), ChangeError::Exists(name("Server-1")));
    assert_eq!(add(&mut desired, 2, &["S4", "s4"], &mut rng), ChangeError::Twice(name("S4")));
    let invalid = ChangeError::Invalid { name: "a/b".into(), why: NameError::Character };
    assert_eq!(add(&mut desired, 1, &["a/b"], &mut rng), invalid);
    assert_eq!(add(&mut desired, 3, &[], &mut rng), ChangeError::NoRoom { asked: 3, room: 2 });
    let rm = |d: &mut Desired, n, list: &[&str]| d.remove(n, &names(list), &[]).unwrap_err();
    assert_eq!(rm(&mut desired, 4, &[]), ChangeError::Fewer { asked: 4, there: 3 });
    assert_eq!(rm(&mut desired, 1, &["Server-1", "Server-2"]), ChangeError::TooManyToRemove);
    assert_eq!(rm(&mut desired, 1, &["S9"]), ChangeError::Unknown("S9".into()));
    assert_eq!(rm(&mut desired, 2, &["Server-1", "Server-1"]), ChangeError::Twice(name("Server-1")));
    assert_eq!(desired, before);
}

#[test]
fn named_ones_go_and_beside_them_the_first_in_the_order() {
    let order = ["Server-2", "Server-3", "Server-1"].map(name);
    let (mut desired, _) = three();
    let gone = desired.remove(2, &names(&["server-2"]), &order).unwrap();
    assert_eq!(gone.len(), 2);
    assert_eq!(shown(&desired), [("Server-1".into(), 1)]);
    let (mut desired, _) = three();
    desired.remove(2, &[], &order).unwrap();
    assert_eq!(shown(&desired), [("Server-1".into(), 1)]);
}

#[test]
fn who_is_drained_stays_so_through_replacements() {
    let (mut desired, mut rng) = three();
    assert_eq!(desired.drain("server-2", true), Ok(true));
    assert_eq!(desired.drain("Server-2", true), Ok(false), "is no news");
    let old = desired.wants()[1].instance.clone();
    assert!(desired.replace(&old, &mut rng).unwrap().drained);
    assert_eq!(desired.members().len(), 0);
    assert_eq!(desired.drain("Server-2", false), Ok(true));
    assert!(desired.wants().iter().all(|want| !want.drained));
    assert_eq!(desired.drain("S9", true), Err(ChangeError::Unknown("S9".into())));
    assert_eq!(desired.drain("a/b", true), Err(ChangeError::Unknown("a/b".into())));
}

#[test]
fn a_replacement_keeps_name_number_and_seat_on_the_ring() {
    let (mut desired, mut rng) = three();
    let old = desired.wants()[1].clone();
    assert!(desired.mark_up(&old.instance));
    assert!(!desired.mark_up(&old.instance));
    let new = desired.replace(&old.instance, &mut rng).unwrap().clone();
    assert_ne!(new.instance, old.instance);
    assert_eq!((new.name, new.number, new.joined, new.up), (old.name, old.number, true, false));
}

#[test]
fn a_weight_is_taken_if_the_ring_has_room_for_it() {
    let (mut desired, _) = three();
    let weight = |weight| Weight::new(weight).unwrap();
    desired.weigh("server-2", weight(3), 5).unwrap();
    assert_eq!((desired.weight(), desired.wants()[1].weight), (5, weight(3)));
    let heavy = ChangeError::Heavy { name: name("Server-2"), weight: weight(4), most: 3 };
    assert_eq!(desired.weigh("Server-2", weight(4), 5), Err(heavy));
    assert_eq!(desired.weigh("S9", weight(1), 5), Err(ChangeError::Unknown("S9".into())));
    assert_eq!(desired.weight(), 5);
}

#[test]
fn the_stored_set_follows_only_a_changed_count() {
    let (mut desired, mut rng) = three();
    desired.add(2, &names(&["S4", "S5"]), 53, 0, &mut rng).unwrap();
    desired.reconfigure(3, 0, &mut rng);
    assert_eq!(desired.wants().len(), 5, "3 is what was configured before");
    desired.reconfigure(2, 0, &mut rng);
    assert_eq!(shown(&desired), [("Server-1".into(), 1), ("Server-2".into(), 2)]);
    desired.reconfigure(3, 0, &mut rng);
    assert_eq!(shown(&desired)[2], ("Server-3".into(), 3));
}
