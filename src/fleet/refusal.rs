//! Why a set does not change. Pure.

use crate::{
    name::{Name, NameError},
    ring::Weight,
};

/// Why the set cannot change as asked. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// More names than replicas to add.
    #[error("Length of hostname list is more than newly added instances")]
    TooManyToAdd,
    /// Fewer addresses than replicas to add that somebody else starts.
    #[error(
        "Cannot add {asked} replicas with {given} addresses: they are started elsewhere, so call /add with the address of each in 'hostnames', such as 10.0.0.5:8080"
    )]
    NeedsAddresses {
        /// How many were to come.
        asked: usize,
        /// How many addresses were given.
        given: usize,
    },
    /// More names than replicas to remove.
    #[error("Length of hostname list is more than removable instances")]
    TooManyToRemove,
    /// More to remove than there are.
    #[error("Cannot remove {asked} replicas: there are only {there}")]
    Fewer {
        /// How many were to go.
        asked: usize,
        /// How many there are.
        there: usize,
    },
    /// No room left on the ring.
    #[error("Cannot add {asked} replicas: there is room for {room} more")]
    NoRoom {
        /// How many were to come.
        asked: usize,
        /// How many may.
        room: usize,
    },
    /// Not a name.
    #[error("'{name}' cannot be a hostname: {why}")]
    Invalid {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: NameError,
    },
    /// Already there.
    #[error("There is already a replica named '{0}'")]
    Exists(Name),
    /// A weight that the ring cannot hold.
    #[error("Cannot give '{name}' the weight {weight}: the ring has room for {most} at most")]
    Heavy {
        /// Whose weight.
        name: Name,
        /// What it was to be.
        weight: Weight,
        /// What it can be.
        most: usize,
    },
    /// Found by a source that finds others too.
    #[error("Cannot remove '{name}' alone: it is found by '{source_name}', so remove that, or drain it")]
    FoundBy {
        /// Who was to go.
        name: Name,
        /// Where it is found.
        source_name: Name,
    },
    /// Whoever joins says so itself.
    #[error(
        "Cannot add or remove replicas: containers join this pool by their labels and leave it as they end; start or stop those"
    )]
    ByLabels,
    /// Not ours to restart.
    #[error("Cannot restart '{0}': it is started elsewhere, so it is restarted there; drain it before")]
    Elsewhere(Name),
    /// Not ours to read.
    #[error("Cannot read the logs of '{0}': it is started elsewhere, so they are read there")]
    Unheard(Name),
    /// Not there.
    #[error("There is no replica named '{0}'")]
    Unknown(String),
    /// Twice in one call.
    #[error("The hostname '{0}' is given twice")]
    Twice(Name),
}

/// Refuses a call that names one of them twice.
pub(super) fn refuse_twice(names: &[Name]) -> Result<(), ChangeError> {
    match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        Some((_, twice)) => Err(ChangeError::Twice(twice.clone())),
        None => Ok(()),
    }
}
