//! What the machine itself knows of hosts: `/etc/hosts` (hosts(5)). Pure.

use std::net::IpAddr;

/// The addresses that this text has for a host, each once.
pub(super) fn addresses(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        if words.any(|name| name.eq_ignore_ascii_case(host)) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

/// Whether a name is this machine's by definition (RFC 6761, section 6.3).
pub(super) fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_several_lines_and_names() {
        let text = "127.0.0.1 localhost # me\n# 10.9.9.9 db\n10.0.0.1\tdb.internal DB\n10.0.0.2 db\nx db\n::1 db\n10.0.0.1 db\n";
        let shown = |host| addresses(text, host).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(shown("db"), ["10.0.0.1", "10.0.0.2", "::1"]);
        assert_eq!(shown("db.internal."), ["10.0.0.1"]);
        assert_eq!(shown("d"), [""; 0]);
        assert!(is_local("localhost") && is_local("a.LocalHost.") && !is_local("notlocalhost"));
    }
}
