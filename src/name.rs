//! What things are called: the words that every module shares. Pure.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The name of a replica.
///
/// Of one that Ringkeeper starts: container name, hostname and network alias in one. It has 2 to 63 of `[A-Za-z0-9-]` with no hyphen at either end, so that it is a DNS label (RFC 1123, section 2.1) and
/// can neither be read as a path nor as an option. Of one that somebody else starts: its address, which only
/// [`Name::of_address`] makes. Case is kept, but names that differ only in case are equal, as they are to DNS.
#[derive(Clone, Debug)]
pub struct Name(Box<str>);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Shorter than 2 or longer than 63 bytes.
    #[error("a name has 2 to 63 characters")]
    Length,
    /// Something other than a letter, a digit or a hyphen.
    #[error("a name has only letters A-Z, digits and hyphens")]
    Character,
    /// A hyphen at an end.
    #[error("a name neither starts nor ends with a hyphen")]
    Hyphen,
    /// An address without a port.
    #[error("an address is HOST:PORT, such as 10.0.0.5:8080 or db.internal:9000")]
    NoPort,
    /// An address with more than host and port.
    #[error("an address is HOST:PORT alone, without a scheme, a user or a path")]
    Decorated,
    /// An address whose port is none.
    #[error("the port of an address is a number from 1 to 65535")]
    Port,
    /// An address whose host is none.
    #[error("the host of an address is an IPv4 address, an IPv6 address in brackets, or a DNS name")]
    Host,
    /// Not the name of what was found.
    #[error("what was found elsewhere has a name of letters A-Z, digits and any of . _ - : [ ]")]
    Found,
}

impl Name {
    /// The name of a replica that is started elsewhere: `HOST:PORT`, where the host is an IPv4 address, an IPv6 address
    /// in brackets or a DNS name. One address has one name: that of an IPv6 address is its shortest (RFC 5952).
    pub fn of_address(text: &str) -> Result<Self, NameError> {
        if text.contains(['/', '@']) {
            return Err(NameError::Decorated);
        }
        let (host, port) = text.rsplit_once(':').filter(|_| !text.ends_with(']')).ok_or(NameError::NoPort)?;
        let number = port.parse::<u16>().ok().filter(|number| number.to_string() == port && *number > 0);
        let number = number.ok_or(NameError::Port)?;
        match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => {
                let v6: Ipv6Addr = v6.parse().map_err(|_| NameError::Host)?;
                Ok(Name(format!("[{v6}]:{number}").into()))
            }
            None if is_host(host) => Ok(Name(text.into())),
            None => Err(NameError::Host),
        }
    }

    /// Where replicas are found that are started elsewhere: an address ([`Name::of_address`]), or the name of a service
    /// (RFC 2782), which says hosts and ports itself: `_http._tcp.example.org`, or `srv:` and any DNS name.
    pub fn of_source(text: &str) -> Result<Self, NameError> {
        let (service, marked) = text.strip_prefix("srv:").map_or((text, false), |service| (service, true));
        let is_service = service.starts_with('_') && !service.contains(':');
        if !marked && !is_service {
            return Name::of_address(text);
        }
        if service.contains(['/', '@']) {
            return Err(NameError::Decorated);
        }
        let is_address =
            service.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if is_address || !is_host(service) {
            return Err(NameError::Host);
        }
        Ok(Name(if is_service { service.into() } else { text.into() }))
    }

    /// The name of one that was found: an address or a container's name, or either with the place that
    /// [`Name::placed`] gives it.
    pub fn of_found(text: &str) -> Result<Self, NameError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b);
        let starts = |b: u8| b.is_ascii_alphanumeric() || b == b'[' || b == b'_';
        let is_one = (1..=300).contains(&text.len())
            && text.bytes().all(fits)
            && text.bytes().next().is_some_and(starts);
        if is_one { Ok(Name(text.into())) } else { Err(NameError::Found) }
    }

    /// The name of the one in this place, from 1, of several that were found under this name: the first is called so.
    pub fn placed(&self, place: usize) -> Self {
        if place <= 1 { self.clone() } else { Name(format!("{self}-{place}").into()) }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this is an IPv4 address or a DNS name, which may have underscores as those of containers do. What ends in a
/// number is an address or nothing.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    name.len() <= 253 && name.split('.').all(is_label)
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if !(2..=63).contains(&text.len()) {
            return Err(NameError::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(NameError::Character);
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Hyphen);
        }
        Ok(Name(text.into()))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A server's number: the i of Φ(i, j), from 1. It places the server on the ring, and a replacement keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u16);

impl Number {
    /// `None` for 0: numbers start at 1.
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 { None } else { Some(Number(number)) }
    }

    /// The number itself, at least 1.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The lowest number that is not in `used`.
    pub fn lowest_free(used: impl Iterator<Item = Number>) -> Option<Self> {
        let used: std::collections::HashSet<u16> = used.map(Number::get).collect();
        (1..=u16::MAX).find(|n| !used.contains(n)).map(Number)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a replica: one container, one process. A replacement has a new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Box<str>);

/// Whose an instance is: an id born with the state directory of the balancer that created it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Box<str>);

/// Ids are 1 to 64 of `[A-Za-z0-9]`, so they fit into a label, a file name and a container's name.
macro_rules! id {
    ($id:ident) => {
        impl $id {
            /// The id that the lower 48 bits spell: 12 hexadecimal digits.
            pub fn from_bits(bits: u64) -> Self {
                $id(format!("{:012x}", bits & 0xffff_ffff_ffff).into())
            }

            /// The id that a label or a stored state gives; `None` where it is not one.
            pub fn parse(text: &str) -> Option<Self> {
                let valid = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
                valid.then(|| $id(text.into()))
            }

            /// The id as it stands in the label.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(InstanceId);
id!(Owner);

/// Which balancer's world an instance belongs to. Instances of another deployment are foreign and never touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment(Box<str>);

/// Why a text is not a [`Deployment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a deployment is 1 to 63 of a-z, 0-9, '-' and '_', and starts with a letter or a digit")]
pub struct DeploymentError;

impl Deployment {
    /// The name of the deployment; its Docker network is called the same.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Deployment {
    type Err = DeploymentError;

    fn from_str(text: &str) -> Result<Self, DeploymentError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = (1..=63).contains(&text.len())
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || b == b'-' || b == b'_');
        if valid { Ok(Deployment(text.into())) } else { Err(DeploymentError) }
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_of_two_to_63_characters() {
        for good in ["S1", "Server-1", "a0", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().expect(good).as_str(), good);
        }
        for (bad, why) in [
            ("", NameError::Length),
            ("a", NameError::Length),
            (&"x".repeat(64), NameError::Length),
            ("a/b", NameError::Character),
            ("../x", NameError::Character),
            ("a b", NameError::Character),
            ("ünder", NameError::Character),
            ("-ab", NameError::Hyphen),
            ("ab-", NameError::Hyphen),
        ] {
            assert_eq!(bad.parse::<Name>().unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn names_that_differ_in_case_are_one() {
        let names =
            ["Server-1", "SERVER-1", "server-1", "Server-2"].map(|name| name.parse::<Name>().unwrap());
        assert_eq!(std::collections::HashSet::from(names).len(), 2);
    }

    #[test]
    fn an_address_is_a_host_and_a_port_and_has_one_name() {
        let name = |text: &str| Name::of_address(text).map(|name| name.to_string());
        for good in
            ["10.0.0.5:8080", "db.internal:9000", "[::1]:80", "web_1:1", "LocalHost:65535", "a.b.:80", "x:80"]
        {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        assert_eq!(name("[0:0:0:0:0:0:0:1]:80").as_deref(), Ok("[::1]:80"));
        assert_eq!(Name::of_address("DB:80"), Name::of_address("db:80"));
        for (bad, why) in [
            ("", NameError::NoPort),
            ("host", NameError::NoPort),
            ("[::1]", NameError::NoPort),
            ("host:", NameError::Port),
            ("host:0", NameError::Port),
            ("host:99999", NameError::Port),
            ("host:+80", NameError::Port),
            ("host:080", NameError::Port),
            ("host:http", NameError::Port),
            ("host:80 ", NameError::Port),
            (":80", NameError::Host),
            ("::1:80", NameError::Host),
            ("[::g]:80", NameError::Host),
            ("[10.0.0.5]:80", NameError::Host),
            ("256.0.0.1:80", NameError::Host),
            ("1.2.3:80", NameError::Host),
            ("a b:80", NameError::Host),
            ("-a:80", NameError::Host),
            ("a..b:80", NameError::Host),
            (".:80", NameError::Host),
            ("h\u{f6}st:80", NameError::Host),
            ("a,b:80", NameError::Host),
            ("a\0:80", NameError::Host),
            (&format!("{}:80", "x".repeat(64)), NameError::Host),
            (&format!("{}x:80", "x.".repeat(127)), NameError::Host),
            ("http://x:80", NameError::Decorated),
            ("user@host:80", NameError::Decorated),
            ("host:80/path", NameError::Decorated),
        ] {
            assert_eq!(name(bad), Err(why), "{bad}");
        }
        assert!("10.0.0.5:8080".parse::<Name>().is_err(), "no name for a container");
    }

    #[test]
    fn a_source_is_an_address_or_a_service() {
        let name = |text: &str| Name::of_source(text).map(|name| name.to_string());
        for good in ["db.internal:9000", "[::1]:80", "_http._tcp.example.org", "srv:web.service.consul"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        assert_eq!(name("srv:_http._tcp.example.org").as_deref(), Ok("_http._tcp.example.org"));
        assert_eq!(name("_web:80").as_deref(), Ok("_web:80"), "a container's name may begin so");
        for (bad, why) in [
            ("db.internal", NameError::NoPort),
            ("srv:", NameError::Host),
            ("srv:a:80", NameError::Host),
            ("srv:10.0.0.5", NameError::Host),
            ("srv:a/b", NameError::Decorated),
            ("_http._tcp..org", NameError::Host),
        ] {
            assert_eq!(name(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn of_several_that_are_found_under_a_name_each_has_its_own() {
        let name = Name::of_address("db.internal:9000").unwrap();
        assert_eq!(
            [1, 2].map(|place| name.placed(place).to_string()),
            ["db.internal:9000", "db.internal:9000-2"]
        );
        assert!(Name::of_source("db.internal:9000-2").is_err(), "none is taken for the other");
        for good in ["db.internal:9000-2", "[::1]:80", "shop_ml_3", "a"] {
            assert_eq!(Name::of_found(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "a b", "-a", ".", &"x".repeat(301)] {
            assert_eq!(Name::of_found(bad), Err(NameError::Found), "{bad}");
        }
    }

    #[test]
    fn names_that_differ_only_in_case_are_equal() {
        assert_eq!("Server-1".parse::<Name>(), "sERVER-1".parse());
    }

    #[test]
    fn the_lowest_number_not_in_use_is_found() {
        let number = |n| Number::new(n).expect("not 0");
        assert_eq!(Number::lowest_free([].into_iter()), Number::new(1));
        assert_eq!(Number::lowest_free([number(1), number(3)].into_iter()), Number::new(2));
        assert_eq!(Number::lowest_free([number(2), number(1)].into_iter()), Number::new(3));
    }

    #[test]
    fn a_deployment_is_a_plain_word() {
        assert!("ringkeeper".parse::<Deployment>().is_ok());
        for bad in ["", "-a", "A", "a b", "a/b"] {
            assert!(bad.parse::<Deployment>().is_err(), "{bad}");
        }
    }
}
