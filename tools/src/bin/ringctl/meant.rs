//! The command that a mistyped word was meant to be. Pure.

use clap::CommandFactory;

use super::args::Line;

/// How alike two words are that may have been meant for each other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The command that is most like this word, if one is; a path with a slash or a dot is meant as one.
pub fn command(word: &str) -> Option<String> {
    if word.contains(['/', '.', '?']) {
        return None;
    }
    let alike = |name: &String| {
        strsim::damerau_levenshtein(word, name) == 1 || strsim::jaro_winkler(word, name) > ALIKE
    };
    let names = names().into_iter().filter(alike);
    names.max_by(|a, b| strsim::jaro_winkler(word, a).total_cmp(&strsim::jaro_winkler(word, b)))
}

/// Every command.
fn names() -> Vec<String> {
    let line = Line::command();
    line.get_subcommands()
        .flat_map(|command| command.get_name_and_visible_aliases())
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognized() {
        for (typed, meant) in [
            ("stauts", "status"),
            ("statsu", "status"),
            ("explian", "explain"),
            ("tpo", "top"),
            ("simulat", "simulate"),
            ("docter", "doctor"),
        ] {
            assert_eq!(command(typed).as_deref(), Some(meant), "{typed}");
        }
    }

    #[test]
    fn what_is_like_no_command_is_a_path() {
        for path in ["hello/world", "index.html", "api", "users", "x"] {
            assert_eq!(command(path), None, "{path}");
        }
    }
}
