//! Where the requests with a key go, and why. Pure.

use ringkeeper::ring;
use ringkeeper_tools::{
    client::{By, Pool, Replica},
    forecast,
};
use serde::Serialize;

use super::layout::Layout;

/// Where requests with a key go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The key as it was given.
    pub key: String,
    /// The request's id, which the key stands for.
    pub id: u64,
    /// Whether the id is the number that the key shows, and no hash of it.
    pub literal: bool,
    /// The slot that the id falls into.
    pub slot: u32,
    /// How many slots there are.
    pub slots: u32,
    /// Who gets the requests; `None` where nobody is ready.
    pub replica: Option<String>,
    /// Everyone on the ring, in the order in which they are tried.
    pub route: Vec<Stop>,
    /// Who is wanted and not on the ring, since it was never ready.
    pub not_on_ring: Vec<String>,
}

/// What can be said of a key where requests do not go by the ring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unforeseen {
    /// The key as it was given.
    pub key: String,
    /// What shares the requests out.
    pub policy: String,
    /// Whether the key decides, by another rule than the ring.
    pub by_key: bool,
    /// Who gets the requests, where the key decides; by load that is decided then.
    pub replica: Option<String>,
    /// Those whom it may be at this moment, in the order of joining.
    pub candidates: Vec<String>,
}

/// One that a request may try.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stop {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// Its state.
    pub state: String,
    /// Why it is in that state, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is to these requests.
    pub part: Part,
}

/// What a replica is to the requests with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It would come earlier, but takes no requests, or others are preferred.
    Skipped,
    /// It gets them.
    Takes,
    /// It gets them if all before it are away.
    Next,
}

impl Explanation {
    /// Of this key on this ring.
    pub fn of(key: &str, layout: &Layout) -> Self {
        let id = ring::id_of_key(key.as_bytes());
        let route: Vec<&Replica> = layout.route(id).collect();
        let taker = (0..route.len()).filter(|at| route[*at].serves()).min_by_key(|at| rank(route[*at]));
        Explanation {
            key: key.to_owned(),
            id,
            literal: key.bytes().all(|byte| byte.is_ascii_digit()) && key.parse() == Ok(id),
            slot: layout.ring().slot(id),
            slots: layout.ring().spec().slots,
            replica: taker.map(|at| route[at].name.clone()),
            route: route.iter().enumerate().map(|(at, replica)| stop(replica, at, taker)).collect(),
            not_on_ring: layout.waiting().iter().map(|replica| replica.name.clone()).collect(),
        }
    }
}

impl Unforeseen {
    /// Of this key in this pool.
    pub fn of(key: &str, pool: &Pool) -> Self {
        let serving = || pool.replicas.iter().filter(|replica| replica.serves() && !replica.is_leaving());
        let best = serving().map(rank).min();
        let candidates: Vec<_> = serving().filter(|replica| Some(rank(replica)) == best).collect();
        let by_key = pool.shares_by() == By::Key;
        let replica = by_key.then(|| by_rendezvous(key, &candidates)).flatten();
        Unforeseen {
            key: key.to_owned(),
            policy: pool.policy.clone(),
            by_key,
            replica: replica.map(|replica| replica.name.clone()),
            candidates: candidates.iter().map(|replica| replica.name.clone()).collect(),
        }
    }
}

/// Who of these this key leads to by rendezvous hashing, if their numbers and weights are understood.
fn by_rendezvous<'a>(key: &str, candidates: &[&'a Replica]) -> Option<&'a Replica> {
    let id = ring::id_of_key(key.as_bytes());
    let cost = |replica: &'a Replica| {
        let member = forecast::member(replica).ok()?;
        Some((ring::rendezvous_cost(id, &member), member.number, replica))
    };
    let costs = candidates.iter().copied().map(cost).collect::<Option<Vec<_>>>()?;
    let least = costs.into_iter().min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    least.map(|(.., replica)| replica)
}

/// What is preferred among those that serve: who nothing speaks against, then who fails requests, then who could not be
/// reached.
fn rank(replica: &Replica) -> usize {
    ["ready", "ejected"].iter().position(|state| replica.state == *state).unwrap_or(2)
}

fn stop(replica: &Replica, at: usize, taker: Option<usize>) -> Stop {
    let part = match taker {
        Some(taker) if at == taker => Part::Takes,
        Some(taker) if at > taker && replica.serves() => Part::Next,
        _ => Part::Skipped,
    };
    let reason = replica.reason.clone().filter(|_| part == Part::Skipped);
    Stop { name: replica.name.clone(), number: replica.number, state: replica.state.clone(), reason, part }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::layout::tests::pool;

    /// The key 132574 among three, of whom its first choice is down.
    pub fn explanation() -> Explanation {
        let mut pool = pool("xxh3", &["ready", "ready", "ready", "starting"]);
        let first = Explanation::of("132574", &Layout::of(&pool).expect("a ring")).route[0].number;
        let replica = &mut pool.replicas[usize::from(first) - 1];
        replica.state = "down".into();
        replica.reason = Some("exited with code 1".into());
        Explanation::of("132574", &Layout::of(&pool).expect("a ring"))
    }

    #[test]
    fn the_next_one_takes_what_is_skipped() {
        let explanation = explanation();
        let parts: Vec<_> = explanation.route.iter().map(|stop| stop.part).collect();
        assert_eq!(parts, [Part::Skipped, Part::Takes, Part::Next]);
        assert_eq!(explanation.route[0].reason.as_deref(), Some("exited with code 1"));
        assert_eq!(explanation.replica.as_ref(), Some(&explanation.route[1].name));
        assert_eq!(explanation.not_on_ring, ["Server-4"]);
    }

    #[test]
    fn who_is_ejected_takes_only_what_nobody_else_can() {
        let taken = |states: &[&str]| {
            let mut pool = pool("xxh3", &["ready"; 3]);
            let route = Explanation::of("132574", &Layout::of(&pool).expect("a ring")).route;
            for (stop, state) in route.iter().zip(states) {
                pool.replicas[usize::from(stop.number) - 1].state = (*state).to_owned();
            }
            let route = Explanation::of("132574", &Layout::of(&pool).expect("a ring")).route;
            route.iter().map(|stop| stop.part).collect::<Vec<_>>()
        };
        assert_eq!(taken(&["ejected", "drained", "ready"]), [Part::Skipped, Part::Skipped, Part::Takes]);
        assert_eq!(taken(&["suspected", "ejected", "down"]), [Part::Skipped, Part::Takes, Part::Skipped]);
    }

    #[test]
    fn digits_are_an_id_and_words_are_hashed() {
        let layout = Layout::of(&pool("xxh3", &["ready"])).expect("a ring");
        let number = Explanation::of("132574", &layout);
        assert_eq!((number.id, number.literal), (132_574, true));
        let word = Explanation::of("user-77", &layout);
        assert!(!word.literal && word.id == ring::id_of_key(b"user-77"));
    }

    #[test]
    fn by_load_it_may_be_any_that_nothing_speaks_against() {
        let mut pool = pool("xxh3", &["ready", "ejected", "down", "ready", "leaving"]);
        pool.policy = "random".into();
        let unforeseen = Unforeseen::of("7", &pool);
        assert_eq!((unforeseen.by_key, unforeseen.replica), (false, None));
        assert_eq!(unforeseen.candidates, ["Server-1", "Server-4"]);
        pool.policy = "rendezvous".into();
        pool.replicas.retain(|replica| replica.state != "ready");
        let unforeseen = Unforeseen::of("7", &pool);
        assert!(unforeseen.by_key && unforeseen.candidates == ["Server-2"], "{unforeseen:?}");
        assert_eq!(unforeseen.replica.as_deref(), Some("Server-2"));
        pool.replicas.clear();
        assert_eq!(Unforeseen::of("7", &pool).replica, None);
    }

    #[test]
    fn by_rendezvous_each_key_has_its_replica_and_keeps_it_while_others_come_and_go() {
        let takers = |pool: &Pool| -> Vec<String> {
            let taker = |id: u32| Unforeseen::of(&id.to_string(), pool).replica.expect("one is named");
            (0..300).map(taker).collect()
        };
        let share = |takers: &[String], name: &str| takers.iter().filter(|taker| *taker == name).count();
        let mut pool = pool("xxh3", &["ready"; 3]);
        pool.policy = "rendezvous".into();
        let all = takers(&pool);
        assert!((1..=3).all(|number| share(&all, &format!("Server-{number}")) > 60), "{all:?}");
        pool.replicas[2].state = "down".into();
        let two = takers(&pool);
        assert_eq!(share(&two, "Server-3"), 0);
        assert!(all.iter().zip(&two).all(|(was, is)| was == is || was == "Server-3"));
        pool.replicas[2].state = "ready".into();
        pool.replicas[0].weight = Some(8);
        let heavy = takers(&pool);
        assert!(share(&heavy, "Server-1") > 200, "{heavy:?}");
        assert!(all.iter().zip(&heavy).all(|(was, is)| was == is || is == "Server-1"));
    }

    #[test]
    fn nobody_ready_means_nobody() {
        let layout = Layout::of(&pool("prime", &["down", "down"])).expect("a ring");
        assert_eq!(Explanation::of("1", &layout).replica, None);
    }
}
