//! Answers as text or JSON. Pure but for `print`: a value goes in, a text comes out.

pub mod drawing;
pub mod events;
pub mod explanation;
pub mod findings;
pub mod moves;
pub mod pools;
pub mod routes;
pub mod status;
pub mod traffic;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use anstyle::{AnsiColor, Color, Style};
use ringkeeper_tools::client::{Answer, Replicas};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Format, Options};

/// Beside what matters.
pub const FAINT: Style = Style::new().dimmed();
/// What is good.
pub const GOOD: Style = colour(AnsiColor::Green);
/// What is wrong.
pub const BAD: Style = colour(AnsiColor::Red).bold();
/// What is on its way: it comes or goes.
pub const CHANGING: Style = colour(AnsiColor::Yellow);
/// What an operator took out.
pub const DRAINED: Style = colour(AnsiColor::Blue);

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// Writes to standard output: without colour where it is no terminal or `NO_COLOR` is set. A reader that has gone, such
/// as `head`, is no error.
pub fn print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    match writeln!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// One line of JSON.
pub fn one_line(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("numbers and texts are JSON")
}

/// The text in this style.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// The text in lines of at most this width, broken at blanks; those after the first are indented like a hint.
pub fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let mut words = text.split(' ');
    let mut lines = words.next().unwrap_or_default().to_owned();
    let mut used = console::measure_text_width(&lines);
    for word in words {
        let needed = 1 + console::measure_text_width(word);
        if used + needed > width {
            lines.push_str("\n ");
            used = 1;
        }
        lines.push(' ');
        lines.push_str(word);
        used += needed;
    }
    lines
}

/// A line that others wrote, without what would move the cursor or change colours.
pub fn tame(line: &str) -> String {
    console::strip_ansi_codes(line).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How a replica in this state is shown, in the colours of HAProxy's statistics page: yellow is also who is on its way
/// down, such as one that is ejected or leaves.
pub fn of_state(state: &str) -> Style {
    match state {
        "ready" => GOOD,
        "down" | "crash-looping" => BAD,
        "drained" => DRAINED,
        _ => CHANGING,
    }
}

/// A part of the whole, in per cent.
pub fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// `1 replica`, `2 replicas`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The replicas' names.
pub fn replicas(replicas: &Replicas, options: &Options) -> String {
    match options.format() {
        Format::Json => one_line(replicas),
        Format::Text if options.quiet => replicas.replicas.join("\n"),
        Format::Text => std::iter::once(counted(replicas.count, "replica"))
            .chain(replicas.replicas.iter().map(|name| format!("  {name}")))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// The replicas after a change, with what is new and what is gone. Quiet, nothing.
pub fn change(before: &[String], after: &Replicas, options: &Options) -> String {
    match options.format() {
        Format::Json => return one_line(after),
        Format::Text if options.quiet => return String::new(),
        Format::Text => {}
    }
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.replicas.iter().collect());
    let mut lines = vec![counted(after.count, "replica")];
    lines.extend(after.replicas.iter().map(|name| match old.contains(name) {
        true => format!("  {name}"),
        false => styled(GOOD, &format!("+ {name}")),
    }));
    let gone = before.iter().filter(|name| !new.contains(name));
    lines.extend(gone.map(|name| styled(BAD.effects(anstyle::Effects::new()), &format!("- {name}"))));
    lines.join("\n")
}

/// What the replicas answered to a path: as text the message, or the body where it is of another form.
pub fn answer(answer: &Answer, options: &Options) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    match options.format() {
        Format::Text => answer.message().unwrap_or_else(|| text.trim_end().to_owned()),
        Format::Json => {
            let body =
                serde_json::from_slice(&answer.body).unwrap_or_else(|_| Value::String(text.into_owned()));
            json!({"status": answer.status.as_u16(), "body": body}).to_string()
        }
    }
}

/// How long ago, in its two largest units.
pub fn age(since: &str, now: SystemTime) -> String {
    let Ok(since) = humantime::parse_rfc3339(since) else { return since.to_owned() };
    let seconds = now.duration_since(since).unwrap_or(Duration::ZERO).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_age_has_two_units() {
        let now = humantime::parse_rfc3339("2024-01-02T03:04:05Z").expect("a time");
        assert_eq!(age("2024-01-01T00:00:00.000Z", now), "1d 3h");
        assert_eq!(age("2024-01-02T03:02:01Z", now), "2m 4s");
        assert_eq!(age("2024-01-02T03:04:01Z", now), "4s");
        assert_eq!(age("2025-01-01T00:00:00Z", now), "0s");
        assert_eq!(age("yesterday", now), "yesterday");
    }

    #[test]
    fn a_change_shows_what_came_and_what_went() {
        let after = Replicas { count: 2, replicas: names(&["S1", "S3"]) };
        let text = |options: &Options| plain(&change(&names(&["S1", "S2"]), &after, options));
        assert_eq!(text(&Options::default()), "2 replicas\n  S1\n+ S3\n- S2");
        assert_eq!(text(&Options { quiet: true, ..Options::default() }), "");
        let json = Options { output: Some(Format::Json), ..Options::default() };
        assert_eq!(text(&json), r#"{"N":2,"replicas":["S1","S3"]}"#);
    }

    #[test]
    fn a_long_message_is_broken_at_blanks() {
        assert_eq!(wrapped("one two three four", Some(9)), "one two\n  three\n  four");
        assert_eq!(wrapped("one two three", Some(13)), "one two three");
        assert_eq!(wrapped("  a hint that is long", Some(10)), "  a hint\n  that is\n  long");
        assert_eq!(wrapped("one two three", None), "one two three");
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(tame("\u{1b}[31mred\u{1b}[0m\tand\u{7}\u{1b}[2Jgone"), "red and gone");
    }

    #[test]
    fn names_alone_when_quiet() {
        let two = Replicas { count: 2, replicas: names(&["S1", "S3"]) };
        assert_eq!(replicas(&two, &Options { quiet: true, ..Options::default() }), "S1\nS3");
        let one = Replicas { count: 1, replicas: names(&["S1"]) };
        assert_eq!(replicas(&one, &Options::default()), "1 replica\n  S1");
    }

    #[test]
    fn a_message_is_shown_alone_and_anything_else_as_it_came() {
        let answer_of =
            |body: &'static str| Answer { status: http::StatusCode::OK, body: body.into(), date: None };
        let hello = answer_of(r#"{"message":"Hello from Server: 2","status":"successful"}"#);
        assert_eq!(answer(&hello, &Options::default()), "Hello from Server: 2");
        let page = answer_of("<html>\n");
        assert_eq!(answer(&page, &Options::default()), "<html>");
        let json = Options { output: Some(Format::Json), ..Options::default() };
        assert_eq!(answer(&page, &json), r#"{"body":"<html>\n","status":200}"#);
    }
}
