//! What the balancer can tell of the container that it may be in.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

/// The gateway of the container's network, where calls to a port that is published on loopback come from; `None` outside
/// of a container, where the gateway is somebody else.
pub(super) fn gateway() -> Option<IpAddr> {
    let inside = Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists();
    let routes = inside.then(|| fs::read_to_string("/proc/net/route").ok()).flatten()?;
    default_gateway(&routes)
}

/// The gateway of the default route in a table such as `/proc/net/route`, which has addresses in hexadecimal, least
/// significant byte first.
fn default_gateway(routes: &str) -> Option<IpAddr> {
    let mut fields = routes.lines().skip(1).map(|line| line.split_whitespace().skip(1));
    let gateway =
        fields.find_map(|mut fields| (fields.next()? == "00000000").then(|| fields.next()).flatten())?;
    let bits = u32::from_str_radix(gateway, 16).ok()?;
    Some(Ipv4Addr::from(bits.to_le_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_routes_gateway_is_found() {
        let table = "Iface\tDestination\tGateway \tFlags\neth0\t000013AC\t00000000\t0001\neth0\t00000000\t010013AC\t0003\n";
        assert_eq!(default_gateway(table), Some("172.19.0.1".parse().unwrap()));
        assert_eq!(default_gateway("Iface\tDestination\n"), None);
    }
}
