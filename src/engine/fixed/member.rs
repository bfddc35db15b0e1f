//! One that was found. Pure.

use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use crate::{
    engine::{Found, Instance, State},
    name::{InstanceId, Name, Number, Owner},
};

/// One address where a replica listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// What it is called, alone or with others.
    pub(super) name: Name,
    pub(super) address: SocketAddr,
    /// 1 to 100.
    pub(super) weight: u8,
}

impl Member {
    pub(super) fn at(name: &Name, address: SocketAddr) -> Self {
        Member { name: name.clone(), address, weight: 1 }
    }

    fn instance(&self, source: &Name, pool: &str) -> Instance {
        Instance {
            id: id_of(self.address),
            owner: Owner::from_bits(0),
            pool: pool.into(),
            name: self.name.clone(),
            number: Number::new(1).expect("not 0"),
            state: State::Running(Some(self.address)),
            holds_name: true,
            checked: None,
            found: Some(Found {
                source: source.clone(),
                weight: self.weight,
                heals: false,
                host: None,
                path: None,
            }),
        }
    }
}

/// The instances that these are, each address once: of the first source that has it.
pub(super) fn instances<'a>(
    sources: impl Iterator<Item = (&'a Name, &'a [Member])>,
    pool: &str,
) -> Vec<Instance> {
    let (mut seen, mut listed) = (BTreeSet::new(), Vec::new());
    for (source, members) in sources {
        let new = members.iter().filter(|member| seen.insert(member.address));
        listed.extend(new.map(|member| member.instance(source, pool)));
    }
    listed
}

/// The id of what listens there: the address and the port in hexadecimal.
pub(super) fn id_of(address: SocketAddr) -> InstanceId {
    let mut text = String::new();
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let bytes = octets.into_iter().chain(address.port().to_be_bytes());
    bytes.for_each(|byte| _ = write!(text, "{byte:02x}"));
    InstanceId::parse(&text).expect("digits are an id")
}

/// The address that an id is of.
pub(super) fn address_of(id: &InstanceId) -> Option<SocketAddr> {
    let (ip, port) = id.as_str().split_at_checked(id.as_str().len().checked_sub(4)?)?;
    let ip = match ip.len() {
        8 => IpAddr::from(u32::from_str_radix(ip, 16).ok()?.to_be_bytes()),
        32 => Ipv6Addr::from_bits(u128::from_str_radix(ip, 16).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_address() {
        for (address, id) in
            [("10.0.0.5:9000", "0a0000052328"), ("[::1]:80", "000000000000000000000000000000010050")]
        {
            let address = address.parse().unwrap();
            assert_eq!(id_of(address).as_str(), id);
            assert_eq!(address_of(&id_of(address)), Some(address));
        }
        for none in ["1", "zz0000052328", "0a00000523"] {
            assert_eq!(address_of(&InstanceId::parse(none).unwrap()), None, "{none}");
        }
    }
}
