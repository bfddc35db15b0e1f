//! What the subjects are asked to carry. Pure.

use ringkeeper_tools::{
    chart::scale::number,
    load::{Carry, Protocol, Reuse},
};

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// The same for people, short.
    pub title: &'static str,
    /// How many connections.
    pub connections: usize,
    /// What an origin answers there.
    pub path: &'static str,
    /// How it is asked for. Origins speak HTTP/1.1, but to gRPC.
    pub protocol: Protocol,
    /// What a request brings.
    pub carry: Carry,
    /// How requests come by connections.
    pub reuse: Reuse,
}

/// A GET that is answered with a greeting, over connections that are there and stay.
const SMALL: Workload = Workload {
    name: "get-64",
    title: "GET, 64",
    connections: 64,
    path: "/small",
    protocol: Protocol::Http1,
    carry: Carry::Query,
    reuse: Reuse::Ready,
};

/// All of them. Only those of HTTP/1.1 count for what is demanded.
pub const ALL: [Workload; 9] = [
    Workload { name: "get-8", title: "GET, 8", connections: 8, ..SMALL },
    SMALL,
    Workload { name: "get-512", title: "GET, 512", connections: 512, ..SMALL },
    Workload { name: "get-5000", title: "GET, 5,000", connections: 5_000, ..SMALL },
    Workload { name: "large-64", title: "64 KiB, 64", path: "/large", ..SMALL },
    Workload { name: "fresh-64", title: "new connections", reuse: Reuse::Fresh, ..SMALL },
    Workload {
        name: "upload-8",
        title: "1 MiB up, 8",
        connections: 8,
        carry: Carry::Upload(1 << 20),
        ..SMALL
    },
    Workload {
        name: "http2-64",
        title: "HTTP/2, 8 × 8",
        connections: 8,
        protocol: Protocol::Http2(8),
        ..SMALL
    },
    Workload { name: "grpc-64", title: "gRPC, 8 × 8", connections: 8, protocol: Protocol::Grpc(8), ..SMALL },
];

impl Workload {
    /// The one with this name, or a line that says which there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let names = || ALL.map(|workload| workload.name).join(", ");
        ALL.into_iter().find(|workload| workload.name == name).ok_or_else(|| format!("one of {}", names()))
    }

    /// What it is, for people.
    pub fn words(&self) -> String {
        let what = match (self.carry, self.path) {
            (Carry::Upload(length), _) => format!("POST with {} KiB", length >> 10),
            (_, "/large") => "GET, answered with 64 KiB".to_owned(),
            _ => "GET, a small answer".to_owned(),
        };
        let connections = number(self.connections as f64);
        match self.protocol {
            Protocol::Http1 => {}
            Protocol::Http2(streams) => {
                return format!(
                    "GET in HTTP/2, a small answer, {connections} connections with {streams} at a time"
                );
            }
            Protocol::Grpc(streams) => {
                return format!("unary gRPC calls, {connections} connections with {streams} at a time");
            }
        }
        match self.reuse {
            Reuse::Fresh => format!("{what}, a connection for each request, {connections} at a time"),
            Reuse::Kept | Reuse::Ready => format!("{what}, {connections} connections"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_found_by_its_name_alone() {
        for workload in ALL {
            assert_eq!(Workload::named(workload.name), Ok(workload));
        }
        assert!(Workload::named("get-7").expect_err("none").contains("get-8, get-64"));
    }
}
