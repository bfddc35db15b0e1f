//! On which of its networks a container is reached.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use crate::name::Deployment;

/// The network that comes first, and what this machine (or the balancer's container) is connected to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    first: String,
    connected: Vec<Subnet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subnet {
    network: u32,
    mask: u32,
}

impl Reach {
    /// What the system's routes say; nothing where it does not tell.
    pub(super) fn of_system(deployment: &Deployment) -> Self {
        Reach::of(deployment.as_str(), &fs::read_to_string("/proc/net/route").unwrap_or_default())
    }

    /// What a table such as `/proc/net/route` says, which has addresses in hexadecimal, least significant byte first.
    fn of(first: &str, routes: &str) -> Self {
        let bits = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
        let subnet = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, network, gateway, _, _, _, _, mask, ..] = fields[..] else { return None };
            let (network, mask) = (bits(network)?, bits(mask)?);
            (bits(gateway)? == 0 && mask != 0).then_some(Subnet { network, mask })
        };
        Reach { first: first.to_owned(), connected: routes.lines().skip(1).filter_map(subnet).collect() }
    }

    /// The address to use, of these, which stand with their networks' names: the one on the first network, else one that
    /// is connected here, else any.
    pub(super) fn choose(&self, there: &[(&str, IpAddr)]) -> Option<IpAddr> {
        let first = there.iter().find(|(network, _)| *network == self.first);
        let connected = || there.iter().find(|(_, ip)| self.is_connected(*ip));
        first.or_else(connected).or(there.first()).map(|(_, ip)| *ip)
    }

    fn is_connected(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else { return false };
        let bits = Ipv4Addr::to_bits(ip);
        self.connected.iter().any(|subnet| bits & subnet.mask == subnet.network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
        eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\n\
        eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n";

    #[test]
    fn the_deployments_network_comes_first_and_then_what_is_connected() {
        let reach = Reach::of("ours", ROUTES);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (far, near, own) = (("a", ip("10.1.0.2")), ("b", ip("172.17.0.9")), ("ours", ip("10.2.0.3")));
        assert_eq!(reach.choose(&[far, near, own]), Some(own.1));
        assert_eq!(reach.choose(&[far, near]), Some(near.1));
        assert_eq!(reach.choose(&[far]), Some(far.1));
        assert_eq!(reach.choose(&[]), None);
        assert_eq!(Reach::of("x", "nothing").choose(&[far, near]), Some(far.1));
    }
}
