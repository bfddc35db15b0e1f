//! The files of one's own: what the shell remembers, and a token.

use std::{env, ffi::OsString, path::PathBuf};

/// The shell's history (XDG base directories); `None` where there is no home.
pub fn history() -> Option<PathBuf> {
    below("XDG_STATE_HOME", ".local/state", "history")
}

/// The token that is used where none is given.
pub fn token() -> Option<PathBuf> {
    below("XDG_CONFIG_HOME", ".config", "token")
}

fn below(variable: &str, usual: &str, file: &str) -> Option<PathBuf> {
    chosen(env::var_os(variable), env::var_os("HOME"), usual).map(|base| base.join("ringctl").join(file))
}

/// What is set, if it is an absolute path as that specification wants, else the usual folder at home.
fn chosen(set: Option<OsString>, home: Option<OsString>, usual: &str) -> Option<PathBuf> {
    let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(set).or_else(|| absolute(home).map(|home| home.join(usual)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_comes_before_home_and_has_to_be_absolute() {
        let chosen =
            |set: &str, home: Option<&str>| chosen(Some(set.into()), home.map(Into::into), ".config");
        assert_eq!(chosen("/x", Some("/h")), Some("/x".into()));
        assert_eq!(chosen("x", Some("/h")), Some("/h/.config".into()));
        assert_eq!(chosen("", None), None);
    }
}
