//! What a replica finds in its environment.

use std::{fmt, str::FromStr};

/// A variable of a replica's environment. Its value may be secret, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name: not empty, no `=` in it.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FromStr for Variable {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            None | Some(("", _)) => Err("a variable is NAME=VALUE"),
            Some(("SERVER_ID", _)) => Err("SERVER_ID is the replica's number, which the balancer gives it"),
            Some((name, value)) if !name.contains('\0') && !value.contains('\0') => {
                Ok(Variable { name: name.to_owned(), value: value.to_owned() })
            }
            Some(_) => Err("a variable has no NUL in it"),
        }
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=***", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_and_keeps_its_value_to_itself() {
        let variable: Variable = "A=x=1, y".parse().unwrap();
        assert_eq!((variable.name.as_str(), variable.value.as_str()), ("A", "x=1, y"));
        assert_eq!(format!("{variable:?}"), "A=***");
        for wrong in ["A", "=1", "", "SERVER_ID=7"] {
            assert!(wrong.parse::<Variable>().is_err(), "{wrong}");
        }
    }
}
