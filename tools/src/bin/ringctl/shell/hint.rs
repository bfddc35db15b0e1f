//! What is shown, faintly, behind the cursor. Pure.

use clap::{Arg, Command, CommandFactory};

use super::completion::{Names, choices};
use crate::args::Line;

/// What could follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// What the right arrow types.
    Rest(String),
    /// What there is to type, in the words of the help.
    Usage(String),
}

/// What to show behind this line; `past` is the last line of the history that starts like it.
pub fn hint(line: &str, past: Option<&str>) -> Option<Hint> {
    if line.trim().is_empty() {
        return None;
    }
    if let Some(usage) = usage(line) {
        return Some(Hint::Usage(usage));
    }
    if let Some(rest) = past.and_then(|past| past.strip_prefix(line)).filter(|rest| !rest.is_empty()) {
        return Some(Hint::Rest(rest.to_owned()));
    }
    let (start, choices) = choices(line, Names::default);
    match choices.as_slice() {
        [only] => only
            .word
            .strip_prefix(&line[start..])
            .filter(|rest| !rest.is_empty())
            .map(|rest| Hint::Rest(rest.to_owned())),
        _ => None,
    }
}

/// What a command takes, when nothing of it is there yet.
fn usage(line: &str) -> Option<String> {
    if !line.ends_with(' ') {
        return None;
    }
    let root = Line::command();
    let mut command: &Command = &root;
    for word in line.split_whitespace() {
        command = command.find_subcommand(word)?;
    }
    Some(takes(command)).filter(|usage| !usage.is_empty())
}

/// What a command takes, in the words of the help; empty where that is nothing.
pub fn takes(command: &Command) -> String {
    if command.has_subcommands() {
        let words = command.get_subcommands().map(Command::get_name).filter(|name| *name != "help");
        let words = format!("{} …", words.collect::<Vec<_>>().join("|"));
        return if command.is_subcommand_required_set() { words } else { format!("[{words}]") };
    }
    command.get_positionals().map(shown).collect::<Vec<_>>().join(" ")
}

fn shown(arg: &Arg) -> String {
    let name = arg
        .get_value_names()
        .and_then(|names| names.first())
        .map_or_else(|| arg.get_id().to_string(), ToString::to_string);
    let many = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    format!("{}{}", name.to_uppercase(), if many { " …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_what_it_takes() {
        for (line, usage) in [
            ("add ", "N|NAME …"),
            ("weight ", "REPLICA WEIGHT"),
            ("simulate rm ", "REPLICA …"),
            ("explain ", "KEY"),
            ("simulate ", "add|rm …"),
            ("routes ", "[add|rm …]"),
            ("pools add ", "NAME SETTING=VALUE …"),
        ] {
            assert_eq!(hint(line, None), Some(Hint::Usage(usage.into())), "{line}");
        }
        assert_eq!(hint("rep ", None), None);
    }

    #[test]
    fn a_line_goes_on_as_it_did_before_or_as_the_only_command_that_it_can_be() {
        assert_eq!(hint("add 2", Some("add 2 s4 s5")), Some(Hint::Rest(" s4 s5".into())));
        assert_eq!(hint("stat", None), Some(Hint::Rest("us".into())));
        assert_eq!(hint("e", None), None);
        assert_eq!(hint("", Some("rep")), None);
        assert_eq!(hint("status", None), None);
    }
}
