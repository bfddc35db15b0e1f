//! Which addresses of a host are meant, where it has some of each family.

use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;

use super::follow::accepts;

/// Those of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether it is certain that these are meant.
    pub(super) sure: bool,
}

/// A host with addresses of both families is there twice, and not two. Those are meant of which one accepts connections:
/// the current family's before the other's, and IPv4 first; where none does, that is still open.
pub(super) async fn choose(ips: Vec<IpAddr>, port: u16, current: Option<SocketAddr>) -> Chosen {
    let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port));
    let (mut v4, mut v6): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv4);
    v4.sort_unstable();
    v6.sort_unstable();
    let (first, second) = match current {
        Some(SocketAddr::V6(_)) => (v6, v4),
        _ => (v4, v6),
    };
    if first.is_empty() || second.is_empty() {
        return Chosen { addresses: if first.is_empty() { second } else { first }, sure: true };
    }
    for addresses in [&first, &second] {
        if join_all(addresses.iter().map(|address| accepts(*address))).await.iter().any(Result::is_ok) {
            return Chosen { addresses: addresses.clone(), sure: true };
        }
    }
    Chosen { addresses: first, sure: false }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// `localhost` is ::1 and 127.0.0.1, and most servers listen on one of them.
    #[tokio::test]
    async fn those_are_meant_of_which_one_accepts() {
        let (v4, v6): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        let on_v6 = TcpListener::bind((v6, 0)).await.unwrap();
        let port = on_v6.local_addr().unwrap().port();
        let at = |ip: IpAddr| SocketAddr::new(ip, port);
        let both = || vec![v6, v4];
        let sure = |ip| Chosen { addresses: vec![at(ip)], sure: true };
        assert_eq!(choose(both(), port, None).await, sure(v6));
        assert_eq!(choose(vec![v4], port, Some(at(v6))).await, sure(v4), "there is no other");
        let on_v4 = TcpListener::bind((v4, port)).await.unwrap();
        assert_eq!(choose(both(), port, None).await, sure(v4));
        assert_eq!(choose(both(), port, Some(at(v6))).await, sure(v6), "it stays what it is");
        drop(on_v6);
        assert_eq!(choose(both(), port, Some(at(v6))).await, sure(v4));
        drop(on_v4);
        let open = Chosen { addresses: vec![at(v6)], sure: false };
        assert_eq!(choose(both(), port, Some(at(v6))).await, open);
    }
}
