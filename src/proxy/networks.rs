//! Networks of proxies that are believed. Pure.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is not a [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network or an address is written like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, not '{0}'")]
pub struct NetworkError(String);

/// Some networks, mostly none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Box<[Network]>);

impl Networks {
    /// Whether this address, in its canonical form, is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|Network(network)| network.contains(&address))
    }
}

impl From<Vec<Network>> for Networks {
    fn from(networks: Vec<Network>) -> Self {
        Networks(networks.into())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        text.parse().or_else(|_| address()).map(Network).map_err(|_| NetworkError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_networks_and_in_no_others() {
        let all =
            ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::ffff:198.51.100.1"].map(|text| text.parse().unwrap());
        let networks = Networks::from(all.to_vec());
        let contains = |address: &str| networks.contains(address.parse().unwrap());
        for inside in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "fd12::1", "198.51.100.1"] {
            assert!(contains(inside), "{inside}");
        }
        for outside in ["11.0.0.0", "192.0.2.8", "fe80::1", "::1"] {
            assert!(!contains(outside), "{outside}");
        }
        assert!(!Networks::default().contains([127, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_no_network_is_told_what_one_looks_like() {
        for wrong in
            ["", "10.0.0.0/33", "10.0/8", "fd00::/129", "localhost", "10.0.0.1-10.0.0.9", "1.2.3.4:80"]
        {
            let error = wrong.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains("10.0.0.0/8") && error.contains(&format!("'{wrong}'")), "{error}");
        }
    }
}
