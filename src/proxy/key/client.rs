//! A client's address as a key: all of it, or its network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many bits of an address count, from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Of IPv4, 1 to 32.
    v4: u8,
    /// Of IPv6, 1 to 128.
    v6: u8,
}

impl Prefix {
    /// All of them.
    pub const WHOLE: Prefix = Prefix { v4: 32, v6: 128 };

    /// What `24` (of IPv4; an address of IPv6 counts whole) or `24/64` says; `None` where that is no prefix.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (v4, v6) = text.split_once('/').map_or((text, None), |(v4, v6)| (v4, Some(v6)));
        let v6 = v6.map_or(Some(Prefix::WHOLE.v6), |bits| length(bits, Prefix::WHOLE.v6))?;
        Some(Prefix { v4: length(v4, Prefix::WHOLE.v4)?, v6 })
    }

    /// The first address of the network that this one is in.
    pub(super) fn of(self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & u32::MAX << (32 - self.v4)).into(),
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & u128::MAX << (128 - self.v6)).into()
            }
        }
    }

    /// Its two lengths.
    pub(super) fn lengths(self) -> (u8, u8) {
        (self.v4, self.v6)
    }
}

fn length(digits: &str, most: u8) -> Option<u8> {
    let is_plain = digits.starts_with(|digit| matches!(digit, '1'..='9'));
    digits.parse().ok().filter(|bits| is_plain && (1..=most).contains(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_after_a_prefix_do_not_count() {
        let network = |prefix: &str, address: &str| {
            Prefix::parse(prefix).unwrap().of(address.parse().unwrap()).to_string()
        };
        for (prefix, address, first) in [
            ("24", "192.0.2.7", "192.0.2.0"),
            ("24", "2001:db8::7", "2001:db8::7"),
            ("24/64", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("1/1", "192.0.2.7", "128.0.0.0"),
            ("1/1", "fe80::1", "8000::"),
            ("31/127", "192.0.2.7", "192.0.2.6"),
            ("32/128", "192.0.2.7", "192.0.2.7"),
            ("32/128", "2001:db8::7", "2001:db8::7"),
        ] {
            assert_eq!(network(prefix, address), first, "{prefix} {address}");
        }
    }

    #[test]
    fn lengths_that_no_address_has_are_no_prefix() {
        for wrong in ["", "0", "33", "24/", "24/0", "24/129", "/64", "+24", "024", "24/64/1", "256", "x"] {
            assert_eq!(Prefix::parse(wrong), None, "{wrong}");
        }
    }
}
