//! The settings of a route.

use std::net::SocketAddr;

use http::Method;

use crate::proxy::{Header, Host, Prefix, Route};

/// A table of `[[routes]]`, or an entry of the control API's list.
#[derive(clap::Args, Clone, Debug)]
pub struct RouteArgs {
    /// The pool that it leads to
    #[arg(long, default_value = "default")]
    pub pool: Box<str>,
    /// The address where requests have to come in, which is listened at for it
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// The host that they are for; *.example.org is every host below example.org
    #[arg(long)]
    pub host: Option<Host>,
    /// What their path begins with, by whole segments
    #[arg(long)]
    pub path: Option<Prefix>,
    /// A header that they have, NAME or NAME:VALUE; several of them
    #[arg(long)]
    pub header: Vec<Header>,
    /// Their method, or a list of methods
    #[arg(long, value_delimiter = ',', value_parser = method)]
    pub method: Vec<Method>,
    /// Take what their path begins with away
    #[arg(long)]
    pub strip_prefix: bool,
    /// Put this before their path
    #[arg(long)]
    pub add_prefix: Option<Prefix>,
}

impl RouteArgs {
    /// The route that these mean, or what is wrong with them.
    pub fn route(self) -> Result<Route, String> {
        if self.strip_prefix && self.path.is_none() {
            return Err("--strip-prefix: there is no path to take away".to_owned());
        }
        Ok(Route {
            pool: self.pool,
            listen: self.listen,
            host: self.host,
            path: self.path,
            headers: self.header,
            methods: self.method,
            strip_prefix: self.strip_prefix,
            add_prefix: self.add_prefix,
        })
    }
}

fn method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|_| format!("'{text}' is no method"))
}
