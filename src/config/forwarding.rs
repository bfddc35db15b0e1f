//! The settings of what replicas and clients are told about a request, and who is believed about it.

use crate::proxy::{Network, Tells};

/// The flags of those.
#[derive(clap::Args, Clone, Debug)]
pub struct ForwardingArgs {
    /// Proxies that are believed what they say about clients (X-Forwarded-For, -Proto, -Host, Forwarded), such as
    /// 10.0.0.0/8,192.0.2.7 [default: nobody is]
    #[arg(long, value_name = "NETWORK,…", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
    /// Proxies whose connections begin with a PROXY header (version 1 or 2), such as 10.0.0.0/8 [default: nobody's do]
    #[arg(long, value_name = "NETWORK,…", value_delimiter = ',')]
    pub proxy_protocol_from: Vec<Network>,
    /// Which fields tell replicas about clients: x-forwarded (X-Forwarded-For, -Proto, -Host), rfc7239 (Forwarded) or both
    #[arg(long, value_name = "FIELDS", default_value = "both")]
    pub forwarded: Tells,
    /// Have responses tell how they came about: X-Ringkeeper-Replica, -Attempts, -Key and X-Request-Id
    #[arg(long)]
    pub debug_headers: bool,
}
