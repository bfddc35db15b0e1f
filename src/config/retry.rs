//! The settings of what is sent again.

use std::{str::FromStr, time::Duration};

use http::StatusCode;

use super::{args::duration, value::size};
use crate::proxy::{Hedge, Rules};

/// The flags of [`Rules`].
#[derive(clap::Args, Clone, Debug)]
pub struct RetryArgs {
    /// The longest request body that is kept to be sent again to another replica, such as 64k
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "64k")]
    pub retry_body_limit: usize,
    /// The statuses of a replica's answer for which another is asked, once, where the request is idempotent; or 'none'
    #[arg(long, value_name = "STATUS,…|none", default_value = "500,502,503,504")]
    pub retry_on: Statuses,
    /// Send also what is not idempotent (POST, PATCH) again when it may have been executed: then it may be twice
    #[arg(long)]
    pub retry_non_idempotent: bool,
    /// How many of the requests of ten seconds may be sent again, in percent (at least ten a second may, unless this is 0);
    /// what was not sent at all and what leaves a dead replica does not count
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100), default_value = "20")]
    pub retry_budget: u32,
    /// How long a response of up to 16 KiB is held until it is whole, so that a replica that dies meanwhile is not noticed;
    /// 0s to send it on as it comes
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "50ms")]
    pub hold_response: Duration,
    /// How long one replica may take until its response begins, before another is asked [default: as long as
    /// --response-timeout]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub try_timeout: Option<Duration>,
    /// Ask a second replica beside one whose response does not begin in this time, or in the time that 95 of 100 of late
    /// needed (p95), and take the first answer [default: never]
    #[arg(long, value_name = "TIME|p95")]
    pub hedge_after: Option<Hedge>,
}

/// Some statuses, maybe none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(pub Vec<StatusCode>);

impl RetryArgs {
    /// The rules that these flags mean.
    pub fn rules(&self) -> Rules {
        Rules {
            body_limit: self.retry_body_limit,
            on: self.retry_on.0.clone(),
            non_idempotent: self.retry_non_idempotent,
            hold: self.hold_response,
            try_timeout: self.try_timeout,
            hedge: self.hedge_after,
            budget: self.retry_budget,
        }
    }
}

impl FromStr for Statuses {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Statuses(Vec::new()));
        }
        let status = |text: &str| {
            let status = text.trim().parse::<StatusCode>().ok()?;
            (status.is_client_error() || status.is_server_error()).then_some(status)
        };
        let all: Option<Vec<_>> = text.split(',').map(status).collect();
        all.map(Statuses).ok_or("statuses from 400 to 599, such as 502,503, or 'none'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_errors_or_none() {
        let statuses = |text: &str| text.parse::<Statuses>().map(|Statuses(all)| all.len());
        assert_eq!(statuses("none"), Ok(0));
        assert_eq!(statuses("429, 503"), Ok(2));
        for wrong in ["", "200", "503,", "600", "x"] {
            assert!(statuses(wrong).is_err(), "{wrong}");
        }
    }
}
