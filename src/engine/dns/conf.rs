//! How names are looked up: `/etc/resolv.conf` (resolv.conf(5)).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::PORT;

/// Most name servers, search domains and attempts that count.
const MOST_SERVERS: usize = 3;
const MOST_DOMAINS: usize = 32;
const MOST_ATTEMPTS: u32 = 5;
/// How long a name server may take at most, so that several can be asked while somebody waits.
const LONGEST: Duration = Duration::from_secs(2);

/// Who is asked, for what and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conf {
    /// The name servers, the first one first.
    pub(super) servers: Vec<SocketAddr>,
    /// How long one may take to answer.
    pub(super) timeout: Duration,
    /// How often all are asked.
    pub(super) attempts: u32,
    domains: Vec<String>,
    ndots: usize,
}

impl Conf {
    /// What this text says. What it does not say, or not well, is as the manual has it.
    pub(super) fn of(text: &str) -> Self {
        let mut conf =
            Conf { servers: Vec::new(), timeout: LONGEST, attempts: 2, domains: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                Some("domain" | "search") => {
                    conf.domains = words.take(MOST_DOMAINS).map(|d| d.trim_matches('.').to_owned()).collect();
                    conf.domains.retain(|domain| !domain.is_empty());
                }
                Some("options") => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        conf.servers.truncate(MOST_SERVERS);
        if conf.servers.is_empty() {
            conf.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        conf
    }

    fn set(&mut self, option: &str) {
        let number = |text: &str| text.parse::<u32>().ok();
        match option.split_once(':') {
            Some(("ndots", text)) => self.ndots = number(text).map_or(self.ndots, |n| n.min(15) as usize),
            Some(("timeout", text)) => {
                let seconds = number(text).map(|n| Duration::from_secs(n.max(1).into()));
                self.timeout = seconds.unwrap_or(self.timeout).min(LONGEST);
            }
            Some(("attempts", text)) => {
                self.attempts = number(text).map_or(self.attempts, |n| n.clamp(1, MOST_ATTEMPTS));
            }
            _ => {}
        }
    }

    /// The whole names that this one may stand for, in the order in which they are tried.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut names: Vec<String> = self.domains.iter().map(|domain| format!("{name}.{domain}")).collect();
        let dots = name.bytes().filter(|b| *b == b'.').count();
        names.insert(if dots >= self.ndots { 0 } else { names.len() }, name.to_owned());
        names
    }
}

/// A name server's address; what is said of its interface is left to the system.
fn server(text: &str) -> Option<SocketAddr> {
    let ip: IpAddr = text.split('%').next()?.parse().ok()?;
    Some((ip, PORT).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_manual_says() {
        let conf = Conf::of(
            "# ours\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver nonsense\nsearch a.org. b.org\n\
             options ndots:2 timeout:9 attempts:3 rotate\n",
        );
        assert_eq!(conf.servers, ["10.0.0.2:53".parse().unwrap(), "[fe80::1]:53".parse().unwrap()]);
        assert_eq!((conf.timeout, conf.attempts), (LONGEST, 3));
        assert_eq!(conf.candidates("db"), ["db.a.org", "db.b.org", "db"]);
        assert_eq!(conf.candidates("x.y.z"), ["x.y.z", "x.y.z.a.org", "x.y.z.b.org"]);
        assert_eq!(conf.candidates("db."), ["db"], "is whole");
        let silent = Conf::of("options ndots: timeout:x attempts:99");
        assert_eq!((silent.servers, silent.attempts), (vec!["127.0.0.1:53".parse().unwrap()], MOST_ATTEMPTS));
    }
}
