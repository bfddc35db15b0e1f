//! Answers as text or JSON.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use anstyle::{AnsiColor, Style};
use ringkeeper_tools::{
    client::{Answer, Pool, Replica, Replicas},
    table,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::OutputFormat;

/// Writes to standard output: without colour where it is no terminal or `NO_COLOR` is set. A reader that has gone, such
/// as `head`, is no error.
pub fn print(text: &str) -> io::Result<()> {
    match writeln!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The replicas' names.
pub fn replicas(replicas: &Replicas, output: OutputFormat) -> String {
    match output {
        OutputFormat::Json => one_line(replicas),
        OutputFormat::Text => {
            let count = replicas.count;
            let noun = if count == 1 { "replica" } else { "replicas" };
            std::iter::once(format!("{count} {noun}"))
                .chain(replicas.replicas.clone())
                .collect::<Vec<_>>()
                .join("\n  ")
        }
    }
}

/// What the replicas answered to a path: as text the message, or the body where it is of another form.
pub fn answer(answer: &Answer, output: OutputFormat) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    match output {
        OutputFormat::Text => answer.message().unwrap_or_else(|| text.trim_end().to_owned()),
        OutputFormat::Json => {
            let body =
                serde_json::from_slice(&answer.body).unwrap_or_else(|_| Value::String(text.into_owned()));
            json!({"status": answer.status.as_u16(), "body": body}).to_string()
        }
    }
}

/// The pool: its ring, then a line for each replica.
pub fn pool(pool: &Pool, output: OutputFormat) -> String {
    if output == OutputFormat::Json {
        return one_line(pool);
    }
    let ring = &pool.ring;
    let mut lines =
        vec![format!("{} slots, virtual {}, hash {}", ring.slots, ring.placement, ring.hash), String::new()];
    let header = ["NAME", "NUMBER", "STATE", "SINCE", "RESTARTS", "ADDRESS"];
    let rows = pool.replicas.iter().map(row).collect();
    let mut table = table::lines(&header, &["NUMBER", "RESTARTS"], rows).into_iter();
    lines.extend(table.next());
    lines.extend(pool.replicas.iter().zip(table).map(|(replica, line)| coloured(replica, &line)));
    for replica in &pool.replicas {
        lines.extend(replica.reason.as_ref().map(|reason| format!("\n{} is down: {reason}", replica.name)));
    }
    lines.extend(pool.problem.as_ref().map(|problem| format!("\n{problem}")));
    lines.join("\n")
}

fn one_line(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("numbers and texts are JSON")
}

fn row(replica: &Replica) -> Vec<String> {
    vec![
        replica.name.clone(),
        replica.number.to_string(),
        replica.state.clone(),
        age(&replica.since, SystemTime::now()),
        replica.restarts.to_string(),
        replica.address.clone().unwrap_or_else(|| "-".into()),
    ]
}

fn coloured(replica: &Replica, line: &str) -> String {
    let style = match replica.state.as_str() {
        "ready" => Style::new(),
        "down" => AnsiColor::Red.on_default(),
        _ => AnsiColor::Yellow.on_default(),
    };
    format!("{style}{line}{style:#}")
}

/// How long ago, in its two largest units.
fn age(since: &str, now: SystemTime) -> String {
    let Ok(since) = humantime::parse_rfc3339(since) else { return since.to_owned() };
    let seconds = now.duration_since(since).unwrap_or_default().as_secs();
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units() {
        let now = humantime::parse_rfc3339("2024-01-02T03:04:05Z").expect("a time");
        assert_eq!(age("2024-01-01T00:00:00.000Z", now), "1day 3h");
        assert_eq!(age("2024-01-02T03:04:01Z", now), "4s");
        assert_eq!(age("2025-01-01T00:00:00Z", now), "0s");
        assert_eq!(age("yesterday", now), "yesterday");
    }

    #[test]
    fn a_message_is_shown_alone_and_anything_else_as_it_came() {
        let answer_of = |body: &'static str| Answer { status: http::StatusCode::OK, body: body.into() };
        let hello = answer_of(r#"{"message":"Hello from Server: 2","status":"successful"}"#);
        assert_eq!(answer(&hello, OutputFormat::Text), "Hello from Server: 2");
        let page = answer_of("<html>\n");
        assert_eq!(answer(&page, OutputFormat::Text), "<html>");
        assert_eq!(answer(&page, OutputFormat::Json), r#"{"body":"<html>\n","status":200}"#);
    }
}
