//! Why a call has not done what it was to do.

use std::io;

use http::StatusCode;

use crate::base::Base;

/// Why a call has not done what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection.
    #[error("no balancer answers on {base}: {}", in_words(why))]
    Unreachable {
        /// Where it was looked for.
        base: Base,
        /// What the system says.
        why: io::Error,
    },
    /// The connection broke, or its time was up. Whether the call was carried out is not known.
    #[error("the balancer on {base} broke off: {why}")]
    Broken {
        /// Where it is.
        base: Base,
        /// What happened.
        why: String,
    },
    /// The balancer said no, and nothing was changed.
    #[error("{message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its reason.
        message: String,
    },
    /// The answer is not of a balancer's control API.
    #[error("what answers on {base} is no Ringkeeper: {why}")]
    Foreign {
        /// Where it is.
        base: Base,
        /// What is wrong with the answer.
        why: String,
    },
}

/// What the system says, without its number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_needs_the_systems_numbers() {
        assert_eq!(in_words(&io::Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(in_words(&io::ErrorKind::TimedOut.into()), "timed out");
    }
}
