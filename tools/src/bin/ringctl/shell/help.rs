//! What can be typed, on one page. Pure.

use anstyle::{AnsiColor, Style};
use clap::CommandFactory;

use super::hint;
use crate::{
    args::Line,
    show::{FAINT, styled},
};

/// What asks for it; before a command's name, for what there is to say of that one.
pub const WORD: &str = "help";

const COMMAND: Style = AnsiColor::Green.on_default();

/// Each command with what it takes, then what there is beside commands.
pub fn all() -> String {
    let line = Line::command();
    let commands = line.get_subcommands().filter(|command| command.get_name() != "completions"); // a shell's, and this is one
    let mut rows: Vec<(String, String, String)> = commands.map(row).collect();
    let of_the_shell = [(WORD, "COMMAND", "Say more about one"), ("exit", "", "Leave, as Ctrl-D does")];
    rows.extend(of_the_shell.map(|(name, takes, about)| (name.into(), takes.into(), about.into())));
    let width = rows.iter().map(|(name, takes, _)| name.len() + 1 + takes.chars().count()).max().unwrap_or(0);
    let shown = rows.iter().map(|(name, takes, about)| {
        let rest = width - name.len() - 1;
        format!("  {} {takes:rest$}  {about}", styled(COMMAND, name))
    });
    let beside = [
        String::new(),
        format!("Any other word is a path to request: {}", styled(COMMAND, "hello/world")),
        "Behind every command: -o json, -q, and --watch=1s where it only looks".into(),
        styled(FAINT, "Tab completes, the right arrow takes a hint, Ctrl-R searches the history,"),
        styled(FAINT, "Ctrl-C breaks off what runs or clears the line, Ctrl-D leaves"),
    ];
    shown.chain(beside).collect::<Vec<_>>().join("\n")
}

/// A command, what it takes, and what it does.
fn row(command: &clap::Command) -> (String, String, String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let also: Vec<_> = command.get_visible_aliases().collect();
    let also = if also.is_empty() { String::new() } else { format!(" (also: {})", also.join(", ")) };
    (command.get_name().to_owned(), hint::takes(command), about + &also)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_and_no_line_is_too_long() {
        let text = anstream::adapter::strip_str(&all()).to_string();
        for part in [
            "  rep ",
            "  add N|NAME …",
            "  weight REPLICA WEIGHT",
            "  simulate add|rm …",
            "  pools [add|set|rm …]",
            "  pool POOL",
            "(also: del)",
            "  exit ",
        ] {
            assert!(text.contains(part), "no '{part}' in\n{text}");
        }
        let long = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{text}");
    }
}
