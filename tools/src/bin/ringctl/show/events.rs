//! What happened, a line each.

use anstyle::Style;
use ringkeeper_tools::client::{Event, Events};

use super::{BAD, CHANGING, DRAINED, FAINT, GOOD, one_line, styled, tame};
use crate::args::{Format, Options};

/// The width that names are given where lines come one by one.
const NAME: usize = 8;

/// All of these; where there are none, that.
pub fn all(events: &Events, options: &Options) -> String {
    match options.format() {
        Format::Json => one_line(events),
        Format::Text if events.events.is_empty() && !options.quiet => "nothing has happened yet".into(),
        Format::Text => {
            let names = events.events.iter().map(|event| event.name.len());
            let width = names.max().unwrap_or_default();
            events.events.iter().map(|event| line(event, width)).collect::<Vec<_>>().join("\n")
        }
    }
}

/// One of them, as it comes.
pub fn one(event: &Event, options: &Options) -> String {
    match options.format() {
        Format::Json => one_line(event),
        Format::Text => line(event, NAME),
    }
}

/// An event with the log that it came with.
fn line(event: &Event, width: usize) -> String {
    let style = of_kind(&event.kind);
    let at = styled(FAINT, &moment(&event.at));
    let line = format!("{at}  {:width$}  {}", event.name, styled(style, &tame(&event.text)));
    let log = event.log.iter().map(|line| styled(FAINT, &format!("    {}", tame(line))));
    std::iter::once(line).chain(log).collect::<Vec<_>>().join("\n")
}

fn of_kind(kind: &str) -> Style {
    match kind {
        "ready" | "readmitted" | "restored" => GOOD,
        "died" | "refused" | "silent" | "ejected" => BAD,
        "added" | "removed" | "reweighted" | "restarted" => CHANGING,
        "drained" => DRAINED,
        _ => Style::new(),
    }
}

/// `2026-11-21T10:00:00.123Z` without its year and fractions.
fn moment(at: &str) -> String {
    match (at.get(5..10), at.get(11..19)) {
        (Some(day), Some(time)) if at.ends_with('Z') => format!("{day} {time}Z"),
        _ => at.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::plain;

    fn event() -> Event {
        Event {
            seq: 17,
            at: "2026-11-21T10:00:00.123Z".into(),
            name: "Server-1".into(),
            instance: "0a".into(),
            kind: "died".into(),
            text: "dead, replacing it: exited with code 1".into(),
            log: vec!["cannot open /data".into()],
        }
    }

    #[test]
    fn an_event_says_when_who_and_what_with_the_last_words_below() {
        assert_eq!(
            plain(&one(&event(), &Options::default())),
            "11-21 10:00:00Z  Server-1  dead, replacing it: exited with code 1\n    cannot open /data"
        );
        assert_eq!(moment("yesterday"), "yesterday");
    }

    #[test]
    fn no_events_are_said_to_be_none() {
        let none = Events { events: vec![], last: 0 };
        assert_eq!(all(&none, &Options::default()), "nothing has happened yet");
        assert_eq!(all(&none, &Options { quiet: true, ..Options::default() }), "");
    }
}
