//! The order of those who wait.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
};

/// The class of those whose request was given to a replica in vain.
const AGAIN: u8 = Priority::MOST + 1;

/// The part of an IPv6 address that one client is given whole (RFC 6177).
const NETWORK: u128 = !0 << 64;

/// How urgent a request is: from 0, which is where nobody says, to 9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

/// Those who wait, in classes, the higher first. Within a class clients have their turns one after the other, and each
/// client's requests are in the order in which they came.
///
/// Nothing takes longer than the logarithm of their number, but to look for one that fits where the first does not.
#[derive(Debug)]
pub(super) struct Line<T> {
    classes: [Class<T>; AGAIN as usize + 1],
    /// The next number, of a turn or of one who waits.
    next: u64,
}

/// Where in the line somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    class: u8,
    client: IpAddr,
    number: u64,
}

#[derive(Debug)]
struct Class<T> {
    clients: HashMap<IpAddr, Client<T>>,
    /// Whose turn it is, in this order.
    turns: BTreeMap<u64, IpAddr>,
    waiting: usize,
}

/// A client of whom somebody waits.
#[derive(Debug)]
struct Client<T> {
    turn: u64,
    waiting: BTreeMap<u64, T>,
}

impl Priority {
    /// The highest.
    pub const MOST: u8 = 9;

    /// What a header field's value means: a whole number, of which more than 9 is 9. Anything else is 0.
    pub fn of(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let add = |number: u8, digit: &u8| number.saturating_mul(10).saturating_add(digit - b'0');
        Priority(if is_number { value.iter().fold(0, add).min(Priority::MOST) } else { 0 })
    }
}

impl Ticket {
    /// A number that no other has.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl<T> Line<T> {
    /// With nobody in it.
    pub(super) fn new() -> Self {
        let class = |_| Class { clients: HashMap::new(), turns: BTreeMap::new(), waiting: 0 };
        Line { classes: std::array::from_fn(class), next: 0 }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.classes.iter().map(|class| class.waiting).sum()
    }

    /// How many wait whose request was given to a replica in vain.
    pub(super) fn len_again(&self) -> usize {
        self.classes[usize::from(AGAIN)].waiting
    }

    /// Has somebody get in line, behind all of the same client and of the same class.
    pub(super) fn enter(&mut self, client: IpAddr, class: Priority, item: T) -> Ticket {
        self.push(network(client), class.0, item)
    }

    /// The same of a request that was given to a replica in vain: it goes before all others.
    pub(super) fn enter_again(&mut self, client: IpAddr, item: T) -> Ticket {
        self.push(network(client), AGAIN, item)
    }

    fn push(&mut self, client: IpAddr, class: u8, item: T) -> Ticket {
        let number = self.next;
        self.next += 1;
        let Class { clients, turns, waiting } = &mut self.classes[usize::from(class)];
        let own = clients.entry(client).or_insert_with(|| {
            turns.insert(number, client);
            Client { turn: number, waiting: BTreeMap::new() }
        });
        own.waiting.insert(number, item);
        *waiting += 1;
        Ticket { class, client, number }
    }

    /// Who this is.
    pub(super) fn get_mut(&mut self, ticket: &Ticket) -> Option<&mut T> {
        let client = self.classes[usize::from(ticket.class)].clients.get_mut(&ticket.client)?;
        client.waiting.get_mut(&ticket.number)
    }

    /// The first of those who are accepted.
    pub(super) fn first(&self, accepts: impl Fn(&T) -> bool) -> Option<Ticket> {
        let classes = self.classes.iter().enumerate().rev().filter(|(_, class)| class.waiting > 0);
        for (class, Class { clients, turns, .. }) in classes {
            let all = turns.values().flat_map(|client| {
                let waiting = clients.get(client).map(|own| own.waiting.iter());
                waiting.into_iter().flatten().map(move |(number, item)| (*client, *number, item))
            });
            if let Some((client, number, _)) = all.into_iter().find(|(.., item)| accepts(item)) {
                return Some(Ticket { class: class as u8, client, number });
            }
        }
        None
    }

    /// Takes out who has a turn: the client's next turn comes after all others'.
    pub(super) fn take(&mut self, ticket: &Ticket) -> Option<T> {
        let item = self.remove(ticket)?;
        let Class { clients, turns, .. } = &mut self.classes[usize::from(ticket.class)];
        if let Some(own) = clients.get_mut(&ticket.client) {
            turns.remove(&own.turn);
            own.turn = self.next;
            turns.insert(self.next, ticket.client);
            self.next += 1;
        }
        Some(item)
    }

    /// Takes out who does not wait any more: the client's turn is that of the next.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        let Class { clients, turns, waiting } = &mut self.classes[usize::from(ticket.class)];
        let own = clients.get_mut(&ticket.client)?;
        let item = own.waiting.remove(&ticket.number)?;
        *waiting -= 1;
        if own.waiting.is_empty() {
            turns.remove(&own.turn);
            clients.remove(&ticket.client);
        }
        Some(item)
    }

    /// Who has to make room in a full line for one of this client and class: the last of the lowest class, if that is
    /// lower; in the same class the last of the client that has most in it, if that is more than this one then has. So no
    /// client keeps the others out by filling the line.
    pub(super) fn last(&self, client: IpAddr, class: Priority) -> Option<Ticket> {
        let lowest = self.classes.iter().position(|class| class.waiting > 0)?;
        let clients = &self.classes[lowest].clients;
        let (greediest, own) = clients.iter().max_by_key(|(_, own)| (own.waiting.len(), own.turn))?;
        let its = clients.get(&network(client)).map_or(0, |own| own.waiting.len());
        let makes_room = match lowest.cmp(&usize::from(class.0)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => own.waiting.len() > its + 1,
            std::cmp::Ordering::Greater => false,
        };
        let (number, _) = own.waiting.last_key_value().filter(|_| makes_room)?;
        Some(Ticket { class: lowest as u8, client: *greediest, number: *number })
    }
}

/// What counts as one client: an IPv4 address, or a network of IPv6.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn client(number: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, number])
    }

    /// All of them, in the order in which they have their turns.
    fn order<T>(line: &mut Line<T>) -> Vec<T> {
        std::iter::from_fn(|| line.first(|_| true).and_then(|first| line.take(&first))).collect()
    }

    #[test]
    fn a_priority_is_a_number_from_0_to_9_and_anything_else_is_0() {
        for (value, priority) in
            [("0", 0), (" 7 ", 7), ("9", 9), ("10", 9), ("99999999999", 9), ("009", 9), ("00", 0)]
        {
            assert_eq!(Priority::of(value.as_bytes()), Priority(priority), "{value}");
        }
        for value in ["", "-1", "+1", "1.5", "u=1", "high", "1 2"] {
            assert_eq!(Priority::of(value.as_bytes()), Priority(0), "{value}");
        }
    }

    #[test]
    fn clients_have_their_turns_one_after_the_other_and_keep_their_own_order() {
        let mut line = Line::new();
        for (who, item) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            line.enter(client(who), Priority(0), item);
        }
        assert_eq!(order(&mut line), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn who_comes_again_and_again_gets_no_more_than_who_has_many_in_line() {
        let mut line = Line::new();
        (0..5).for_each(|_| _ = line.enter(client(1), Priority(0), 'a'));
        let mut served = String::new();
        for _ in 0..8 {
            if !served.ends_with('a') {
                line.enter(client(2), Priority(0), 'b');
            }
            let first = line.first(|_| true).unwrap();
            served.extend(line.take(&first));
        }
        assert!(!served.contains("bb") && !served.contains("aa"), "{served}");
    }

    #[test]
    fn higher_classes_go_first_and_those_who_come_again_before_all() {
        let mut line = Line::new();
        for (class, item) in [(0, "low"), (9, "high"), (3, "middle"), (9, "high too")] {
            line.enter(client(1), Priority(class), item);
        }
        line.enter_again(client(1), "again");
        assert_eq!(line.len_again(), 1);
        assert_eq!(order(&mut line), ["again", "high", "high too", "middle", "low"]);
    }

    #[test]
    fn who_leaves_costs_its_client_no_turn() {
        let mut line = Line::new();
        let first = line.enter(client(1), Priority(0), "a1");
        line.enter(client(2), Priority(0), "b1");
        line.enter(client(1), Priority(0), "a2");
        assert_eq!(line.remove(&first), Some("a1"));
        assert!(line.remove(&first).is_none() && line.get_mut(&first).is_none() && line.len() == 2);
        assert_eq!(order(&mut line), ["a2", "b1"]);
    }

    #[test]
    fn who_is_not_accepted_is_passed_over_and_stays_first() {
        let mut line = Line::new();
        [1, 2, 3].into_iter().for_each(|item| _ = line.enter_again(client(1), item));
        let two = line.first(|item| *item > 1).unwrap();
        assert_eq!((line.take(&two), line.first(|item| *item > 3)), (Some(2), None));
        assert_eq!(order(&mut line), [1, 3]);
    }

    #[test]
    fn a_full_line_has_room_for_who_has_less_in_it_and_for_who_is_more_urgent() {
        let mut line = Line::new();
        let many: Vec<_> = (0..3).map(|_| line.enter(client(1), Priority(5), ())).collect();
        assert_eq!(line.last(client(2), Priority(5)), Some(many[2]), "the last of the greediest");
        assert_eq!(line.last(client(1), Priority(5)), None, "not for its own");
        assert_eq!(line.last(client(2), Priority(4)), None, "not for what is less urgent");
        assert_eq!(line.last(client(1), Priority(6)), Some(many[2]));
        line.remove(&many[2]);
        line.enter(client(2), Priority(5), ());
        assert_eq!(line.last(client(2), Priority(5)), None, "one each is fair");
        line.enter_again(client(1), ());
        assert!(line.last(client(3), Priority(9)).is_some_and(|last| last.class == 5));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let mut line = Line::new();
        for (who, item) in [("2001:db8::1", 1), ("2001:db8::2", 2), ("2001:db8:0:1::1", 3)] {
            line.enter(who.parse().unwrap(), Priority(0), item);
        }
        assert_eq!(order(&mut line), [1, 3, 2]);
    }

    /// Whatever comes, goes and is served: nobody is lost, numbers agree, each client's own order is kept, and between two
    /// turns of one client that waits all along every other of its class has had one.
    #[test]
    fn the_line_is_fair_and_loses_nobody_whatever_happens() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut line = Line::new();
            let mut there: Vec<(Ticket, u8, u8, u32)> = Vec::new();
            let mut since: HashMap<(u8, u8), Vec<u8>> = HashMap::new();
            for item in 0..500u32 {
                match rng.random_range(0..10) {
                    0..5 => {
                        let (who, class) = (rng.random_range(0..4), rng.random_range(0..3));
                        let ticket = line.enter(client(who), Priority(class), (who, class, item));
                        there.push((ticket, who, class, item));
                    }
                    5 if !there.is_empty() => {
                        let (ticket, who, class, item) = there.swap_remove(rng.random_range(0..there.len()));
                        assert_eq!(line.remove(&ticket), Some((who, class, item)));
                    }
                    _ => {
                        let Some(first) = line.first(|_| true) else {
                            assert!(there.is_empty());
                            continue;
                        };
                        let (who, class, item) = line.take(&first).unwrap();
                        let at = there.iter().position(|(ticket, ..)| *ticket == first).unwrap();
                        there.swap_remove(at);
                        assert!(there.iter().all(|other| other.2 <= class), "{seed}: the higher first");
                        let own = there.iter().filter(|other| (other.1, other.2) == (who, class));
                        assert!(own.into_iter().all(|other| other.3 > item), "{seed}: its own order");
                        let others = since.entry((class, who)).or_default();
                        assert!(others.is_empty(), "{seed}: {others:?} waited through two turns of {who}");
                        *others = (0..4)
                            .filter(|other| {
                                *other != who && there.iter().any(|(_, a, b, _)| (*a, *b) == (*other, class))
                            })
                            .collect();
                        let served = |others: &mut Vec<u8>| others.retain(|other| *other != who);
                        since.iter_mut().filter(|((of, _), _)| *of == class).for_each(|(_, o)| served(o));
                    }
                }
                // who has nobody in line any more waits for no turn
                since.iter_mut().for_each(|((class, _), others)| {
                    others.retain(|who| there.iter().any(|(_, a, b, _)| (a, b) == (who, class)));
                });
                assert_eq!(line.len(), there.len(), "{seed}");
            }
            assert_eq!(order(&mut line).len(), there.len(), "{seed}");
            assert!(line.classes.iter().all(|class| class.clients.is_empty() && class.turns.is_empty()));
        }
    }
}
