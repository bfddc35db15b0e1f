//! Where a key goes, in words.

use super::{CHANGING, FAINT, GOOD, one_line, styled};
use crate::{
    args::{Format, Options},
    explanation::{Explanation, Part, Stop, Unforeseen},
};

/// How many are shown that come after the one who takes it.
const NEXT: usize = 3;

/// The way from the key to the replica.
pub fn explanation(explanation: &Explanation, options: &Options) -> String {
    match options.format() {
        Format::Json => one_line(explanation),
        Format::Text if options.quiet => explanation.replica.clone().unwrap_or_default(),
        Format::Text => text(explanation),
    }
}

/// Where a key goes that does not go by the ring; or why there is no telling, and where it may.
pub fn unforeseen(unforeseen: &Unforeseen, options: &Options) -> String {
    match options.format() {
        Format::Json => return one_line(unforeseen),
        Format::Text if options.quiet => {
            return unforeseen.replica.clone().unwrap_or_else(|| unforeseen.candidates.join("\n"));
        }
        Format::Text => {}
    }
    let Unforeseen { key, policy, by_key, replica, candidates } = unforeseen;
    let (why, which) = match by_key {
        true => ("by the key, and not by the ring", "always the same of these"),
        false => ("by load: the key does not matter", "any of these"),
    };
    let which = match replica {
        _ if candidates.is_empty() => styled(super::BAD, "nobody: no replica is ready"),
        Some(name) => styled(GOOD, name),
        None => styled(GOOD, which),
    };
    let head = [
        format!("key      {key}"),
        format!("policy   {policy}  {}", styled(FAINT, why)),
        format!("goes to  {which}"),
    ];
    let rows = candidates.iter().filter(|_| replica.is_none()).map(|name| format!("  {name}"));
    let blank = rows.clone().next().map(|_| String::new());
    head.into_iter().chain(blank).chain(rows).collect::<Vec<_>>().join("\n")
}

fn text(explanation: &Explanation) -> String {
    let how = if explanation.literal { "the number itself" } else { "a hash of the text" };
    let goes_to = match &explanation.replica {
        Some(name) => styled(GOOD, name),
        None => styled(super::BAD, "nobody: no replica on the ring is ready"),
    };
    let mut lines = vec![
        format!("key      {}", explanation.key),
        format!("id       {}  {}", explanation.id, styled(FAINT, how)),
        format!("slot     {} of {}", explanation.slot, explanation.slots),
        format!("goes to  {goes_to}"),
        String::new(),
    ];
    let taken = explanation.route.iter().position(|stop| stop.part == Part::Takes);
    let shown = taken.map_or(explanation.route.len(), |at| at + 1 + NEXT);
    let width = explanation.route.iter().take(shown).map(|stop| stop.name.len()).max().unwrap_or(0);
    lines.extend(
        (1..).zip(explanation.route.iter().take(shown)).map(|(place, stop)| line(place, stop, width)),
    );
    if explanation.route.len() > shown {
        lines.push(styled(FAINT, &format!("     and {} more", explanation.route.len() - shown)));
    }
    lines.extend(
        explanation.not_on_ring.iter().map(|name| {
            styled(FAINT, &format!("     {name:width$}  not on the ring before it was ready once"))
        }),
    );
    lines.join("\n")
}

fn line(place: usize, stop: &Stop, width: usize) -> String {
    let (style, what) = match (stop.part, &stop.reason) {
        (Part::Takes, _) => (GOOD, "takes it".to_owned()),
        (Part::Next, _) => (FAINT, "next, while those above are away".to_owned()),
        (Part::Skipped, None) => (CHANGING, format!("skipped: {}", stop.state)),
        (Part::Skipped, Some(reason)) => (CHANGING, format!("skipped: {}, {reason}", stop.state)),
    };
    format!("{place:3}  {:width$}  {}", stop.name, styled(style, &what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{explanation::tests, show::tests::plain};

    #[test]
    fn the_way_is_told_from_the_key_to_who_is_next() {
        let explained = tests::explanation();
        let text = plain(&explanation(&explained, &Options::default()));
        let [first, second, third] = [0, 1, 2].map(|at| &explained.route[at].name);
        assert_eq!(
            text,
            format!(
                "key      132574\nid       132574  the number itself\nslot     {slot} of 262147\ngoes to  {second}\n\n  \
                 1  {first}  skipped: down, exited with code 1\n  2  {second}  takes it\n  \
                 3  {third}  next, while those above are away\n     \
                 Server-4  not on the ring before it was ready once",
                slot = explained.slot
            )
        );
    }

    #[test]
    fn by_load_no_owner_is_named() {
        let mut pool = crate::layout::tests::pool("xxh3", &["ready", "ready"]);
        pool.policy = "least-requests".into();
        let text = |pool: &_| plain(&unforeseen(&Unforeseen::of("user-77", pool), &Options::default()));
        assert_eq!(
            text(&pool),
            "key      user-77\npolicy   least-requests  by load: the key does not matter\n\
             goes to  any of these\n\n  Server-1\n  Server-2"
        );
        pool.policy = "rendezvous".into();
        pool.replicas[1].state = "down".into();
        assert_eq!(
            text(&pool),
            "key      user-77\npolicy   rendezvous  by the key, and not by the ring\ngoes to  Server-1"
        );
        pool.replicas.clear();
        assert!(text(&pool).ends_with("goes to  nobody: no replica is ready"));
    }

    #[test]
    fn quiet_it_is_the_name_alone() {
        let explained = tests::explanation();
        let text = explanation(&explained, &Options { quiet: true, ..Options::default() });
        assert_eq!(Some(text), explained.replica);
    }
}
