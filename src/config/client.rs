//! The settings of what clients may send, and how slowly.

use std::time::Duration;

use super::{
    args::{at_least_one, duration},
    value::size,
};
use crate::proxy::Limits;

/// The flags of [`Limits`], and of the times beside them.
#[derive(clap::Args, Clone, Debug)]
pub struct ClientArgs {
    /// How long a client may take for a request's header
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub header_timeout: Duration,
    /// How long a client may pause within a body, as it sends or takes it
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub body_timeout: Duration,
    /// The longest header of a request or a response, such as 64k
    #[arg(long, value_name = "BYTES", value_parser = limit, default_value = "64k")]
    pub max_header_bytes: usize,
    /// The fields that a header may have, at most 512
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=512), default_value = "128")]
    pub max_header_fields: u16,
    /// The longest URL of a request, such as 16k
    #[arg(long, value_name = "BYTES", value_parser = limit, default_value = "16k")]
    pub max_url_bytes: usize,
    /// Requests that a client may have under way at a time over one connection of HTTP/2
    #[arg(long, value_name = "COUNT", value_parser = at_least_one, default_value = "100")]
    pub max_concurrent_streams: u32,
}

impl ClientArgs {
    /// The limits that these flags mean.
    pub fn limits(&self) -> Limits {
        let fields = usize::from(self.max_header_fields);
        Limits { head: self.max_header_bytes, fields, target: self.max_url_bytes }
    }
}

/// The least that a limit may be, in bytes: hardly any request has less.
const LEAST: usize = 64;

fn limit(text: &str) -> Result<usize, &'static str> {
    match size(text)? {
        small if small < LEAST => Err("at least 64 bytes: hardly any request has less"),
        limit => Ok(limit),
    }
}
