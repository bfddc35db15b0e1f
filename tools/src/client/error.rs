//! Why a call has not done what it was to do.

use std::io;

use http::StatusCode;

use crate::base::Base;

/// Why a call has not done what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection.
    #[error("no balancer answers on {base}: {why}")]
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
