//! Where replicas are looked for that are started elsewhere.

use std::{
    env,
    net::{IpAddr, SocketAddr},
};

use anyhow::{anyhow, bail, ensure};

use super::PoolArgs;
use crate::{engine::dns, name::Name};

/// Where upstreams are said, beside `--upstream`, and who knows their hosts.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DiscoveryArgs {
    /// A variable of the environment that has the upstreams, read at the start: a:1,b:2
    #[arg(long, value_name = "NAME", conflicts_with = "upstream")]
    pub upstreams_env: Option<String>,
    /// The name server that knows the upstreams' hosts [default: those of /etc/resolv.conf]
    #[arg(long, value_name = "IP[:PORT]", value_parser = server)]
    pub resolver: Option<SocketAddr>,
}

/// Whether it is said anywhere which upstreams there are.
pub(super) fn are_said(args: &PoolArgs) -> bool {
    !args.upstream.is_empty() || args.discovery.upstreams_env.is_some()
}

/// The upstreams, wherever they are said.
pub(super) fn upstreams(args: &PoolArgs) -> anyhow::Result<Vec<Name>> {
    let Some(variable) = &args.discovery.upstreams_env else { return Ok(args.upstream.clone()) };
    let value = match env::var(variable) {
        Ok(value) => value,
        Err(env::VarError::NotPresent) => {
            bail!("--upstreams-env {variable}: the environment has no such variable")
        }
        Err(env::VarError::NotUnicode(_)) => bail!("--upstreams-env {variable}: its value is no text"),
    };
    listed(&value).map_err(|why| anyhow!("--upstreams-env {variable}: {why}"))
}

/// The upstreams of a list with commas.
fn listed(text: &str) -> anyhow::Result<Vec<Name>> {
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    ensure!(
        !items.is_empty(),
        "it is empty; it is to name upstreams, such as 10.0.0.5:8080,db.internal:9000"
    );
    items.into_iter().map(|item| Name::of_source(item).map_err(|why| anyhow!("'{item}': {why}"))).collect()
}

/// The address of a name server, whose port may be left out.
fn server(text: &str) -> Result<SocketAddr, String> {
    let at_port = |ip: IpAddr| SocketAddr::new(ip, dns::PORT);
    let plain = text.trim_start_matches('[').trim_end_matches(']').parse().map(at_port);
    text.parse()
        .or(plain)
        .map_err(|_| "a name server is IP or IP:PORT, such as 10.0.0.2 or 127.0.0.1:5353".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_list_with_commas() {
        let of = |text| listed(text).map(|names| names.iter().map(Name::to_string).collect::<Vec<_>>());
        assert_eq!(of("a:1,b:2").unwrap(), ["a:1", "b:2"]);
        assert_eq!(of(" a:1, [0::1]:2 ,").unwrap(), ["a:1", "[::1]:2"]);
        assert!(of(" ,").unwrap_err().to_string().contains("it is empty"));
        assert!(of("a:1,b").unwrap_err().to_string().contains("'b': an address is HOST:PORT"));
    }

    #[test]
    fn a_name_server_is_an_address_and_may_have_a_port() {
        let shown = |text| server(text).map(|server| server.to_string());
        for (text, address) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(address));
        }
        for wrong in ["", "dns.example.org", "10.0.0.2:x"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }
}
