//! What a line could go on with. Pure.

use clap::{Arg, Command, CommandFactory};

use crate::args::Line;

/// What ends the shell; no command outside of it.
pub const EXIT: &str = "exit";

/// The names that a balancer knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of its replicas.
    pub replicas: Vec<String>,
    /// Of its pools.
    pub pools: Vec<String>,
}

/// A word that could stand at the end of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The word.
    pub word: String,
    /// What it means, where that is not plain.
    pub about: Option<String>,
}

/// What the last word of `line`, which may be empty, could become, and where it starts. `names` is asked only where a name
/// could stand.
pub fn choices(line: &str, names: impl FnOnce() -> Names) -> (usize, Vec<Choice>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = line.split_at(start);
    let before: Vec<&str> = before.split_whitespace().collect();
    let mut root = Line::command();
    root.build();
    let place = Place::after(&before, &root);
    let mut choices = place.choices(word, names);
    choices.retain(|choice| {
        choice.word.starts_with(word) && (choice.about.is_some() || !before.contains(&&*choice.word))
    });
    (start, choices)
}

/// Where in the grammar a word stands.
struct Place<'a> {
    command: &'a Command,
    /// How many words stood before it that are no options.
    position: usize,
    /// The option whose value it is.
    option: Option<&'a Arg>,
    first: bool,
}

impl<'a> Place<'a> {
    fn after(words: &[&str], root: &'a Command) -> Self {
        let mut place = Place { command: root, position: 0, option: None, first: words.is_empty() };
        for word in words {
            if place.option.take().is_some() {
                continue;
            }
            if word.starts_with('-') {
                place.option = option(place.command, word);
            } else if let Some(command) = place.command.find_subcommand(word) {
                place.command = command;
            } else {
                place.position += 1;
            }
        }
        place
    }

    fn choices(&self, word: &str, names: impl FnOnce() -> Names) -> Vec<Choice> {
        if let Some(option) = self.option {
            return values(option, names);
        }
        if word.starts_with('-') {
            return options(self.command);
        }
        if self.command.has_subcommands() {
            return if self.position == 0 { commands(self.command, self.first) } else { Vec::new() };
        }
        let mut positionals = self.command.get_positionals();
        let last = || self.command.get_positionals().last().filter(|arg| takes_many(arg));
        positionals.nth(self.position).or_else(last).map(|arg| values(arg, names)).unwrap_or_default()
    }
}

/// The option that this word is, if the next word is its value.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg
            .get_short()
            .is_some_and(|short| word.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
    };
    let takes_value = |arg: &&Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    command.get_opts().find(is).filter(takes_value)
}

fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn values(arg: &Arg, names: impl FnOnce() -> Names) -> Vec<Choice> {
    let named =
        |part: &str| arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.contains(part)));
    let words: Vec<String> = if named("REPLICA") {
        names().replicas
    } else if named("POOL") {
        names().pools
    } else {
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
    };
    words.into_iter().map(|word| Choice { word, about: None }).collect()
}

fn commands(command: &Command, first: bool) -> Vec<Choice> {
    let choice = |name: &str, about: String| Choice { word: name.to_owned(), about: Some(about) };
    let subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    let mut choices: Vec<_> = subcommands
        .flat_map(|subcommand| {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            subcommand
                .get_name_and_visible_aliases()
                .into_iter()
                .map(move |name| choice(name, about.clone()))
                .collect::<Vec<_>>()
        })
        .collect();
    if first {
        choices.push(choice(EXIT, "Leave".into()));
    }
    choices
}

fn options(command: &Command) -> Vec<Choice> {
    let options = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    let choice = |arg: &Arg| {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some(Choice { word: format!("--{}", arg.get_long()?), about: Some(about) })
    };
    options.filter_map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let names = || Names {
            replicas: ["Server-1", "Server-2", "s4"].map(ToOwned::to_owned).to_vec(),
            pools: ["default", "web"].map(ToOwned::to_owned).to_vec(),
        };
        choices(line, names).1.into_iter().map(|choice| choice.word).collect()
    }

    #[test]
    fn the_first_word_is_a_command() {
        assert_eq!(words("st"), ["status"]);
        assert_eq!(words("e"), ["events", "explain", "exit"]);
        let all = words("");
        for command in ["rep", "home", "add", "rm", "del", "scale", "top", "help", "exit"] {
            assert!(all.iter().any(|word| word == command), "{command}: {all:?}");
        }
        assert!(words("hello/").is_empty());
    }

    #[test]
    fn replicas_stand_where_replicas_are_meant_and_each_once() {
        for line in
            ["logs S", "rm 2 S", "del S", "weight S", "simulate rm S", "logs -f S", "drain S", "restart S"]
        {
            assert_eq!(words(line), ["Server-1", "Server-2"], "{line}");
        }
        assert_eq!(words("rm 2 Server-1 "), ["Server-2", "s4"]);
        assert!(
            words("add 2 S").is_empty() && words("weight Server-1 S").is_empty() && words("rep S").is_empty()
        );
    }

    #[test]
    fn options_and_their_values_are_known() {
        assert_eq!(
            words("add 2 --"),
            ["--wait", "--detach", "--output", "--quiet", "--watch", "--pool", "--help"]
        );
        assert_eq!(words("status -o "), ["text", "json"]);
        for line in ["status --pool ", "pool ", "pools rm ", "pools set ", "routes add "] {
            assert_eq!(words(line), ["default", "web"], "{line}");
        }
        assert!(words("pools add ").is_empty() && words("pools rm web x").is_empty());
        assert_eq!(words("pools "), ["add", "set", "rm", "del", "help"]);
        assert_eq!(words("completions b"), ["bash"]);
        assert_eq!(words("simulate "), ["add", "rm", "del", "help"]);
        assert_eq!(words("help expl"), ["explain"]);
    }

    #[test]
    fn the_word_at_the_end_is_what_is_completed() {
        assert_eq!(choices("rm 2 Ser", Names::default).0, 5);
        assert_eq!(choices("rm ", Names::default).0, 3);
    }
}
