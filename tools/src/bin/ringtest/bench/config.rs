//! How HAProxy and nginx are told to do what Ringkeeper does: one thread, requests shared out over the origins by the rule
//! that is asked for, connections kept alive on both sides and taken from a common pool. Nothing is logged, no header is
//! added, bodies stream; where a default would make one of them close connections or swap to disk it is raised. Pure.

use std::{fmt::Write, net::SocketAddr, path::Path};

use ringkeeper_tools::load::Protocol;

use super::listen::BACKLOG;

/// Connections of clients that either may have: as many as a workload has at most, and some. Origins may have as many.
const MOST: usize = 6_000;

/// Consistent hashing of the parameter `request_id`, in HAProxy's words.
pub const HAPROXY_HASHING: &str = "balance url_param request_id\n    hash-type consistent djb2 avalanche";

/// The same in nginx's.
pub const NGINX_HASHING: &str = "hash $arg_request_id consistent;";

/// A configuration of HAProxy, with lines of it that say how requests are shared out.
pub fn haproxy(port: u16, origins: &[SocketAddr], protocol: Protocol, rule: &str) -> String {
    let (client, origin_speaks) = match protocol {
        Protocol::Http1 => ("", ""),
        Protocol::Http2(_) => (" proto h2", ""),
        Protocol::Grpc(_) => (" proto h2", " proto h2"),
    };
    let mut text = format!(
        "global
    nbthread 1
    maxconn {MOST}
defaults
    mode http
    maxconn {MOST}
    backlog {BACKLOG}
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    timeout http-request 10s
    retries 3
    option redispatch
frontend bench
    bind 127.0.0.1:{port}{client}
    default_backend origins
backend origins
    {rule}
    http-reuse always
    default-server check inter 1s fall 3
"
    );
    for (origin, number) in origins.iter().zip(1..) {
        writeln!(text, "    server origin-{number} {origin}{origin_speaks}").expect("a text");
    }
    text
}

/// A configuration of nginx, which keeps its files in `home`, with a line that says how requests are shared out. As root its
/// worker has to be told to stay that, or it could not write there.
pub fn nginx(
    port: u16,
    origins: &[SocketAddr],
    protocol: Protocol,
    rule: &str,
    (home, root): (&Path, bool),
) -> String {
    let user = if root { "user root;\n" } else { "" };
    let home = home.display();
    let mut text = format!(
        "{user}worker_processes 1;
worker_rlimit_nofile {};
daemon off;
pid {home}/nginx.pid;
error_log stderr error;
events {{ worker_connections {}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {home}/client;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    upstream origins {{
        {rule}
        keepalive {MOST};
        keepalive_requests 1000000000;
",
        2 * MOST + 200,
        2 * MOST
    );
    for origin in origins {
        writeln!(text, "        server {origin};").expect("a text");
    }
    let client = if protocol == Protocol::Http1 { "" } else { " http2" };
    let pass = match protocol {
        Protocol::Grpc(_) => "            grpc_pass grpc://origins;",
        Protocol::Http1 | Protocol::Http2(_) => {
            "            proxy_pass http://origins;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_request_buffering off;"
        }
    };
    let server = format!(
        "    }}
    server {{
        listen 127.0.0.1:{port}{client} backlog={BACKLOG};
        location / {{
{pass}
        }}
    }}
}}
"
    );
    text + &server
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_is_named_and_brackets_are_closed() {
        let origins = [81, 82, 83].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let protocol = Protocol::Http1;
        let haproxy = haproxy(9, &origins, protocol, HAPROXY_HASHING);
        let nginx = nginx(9, &origins, protocol, NGINX_HASHING, (Path::new("/somewhere"), true));
        for number in 1..=3 {
            assert!(haproxy.contains(&format!("server origin-{number} 127.0.0.1:8{number}\n")), "{haproxy}");
            assert!(nginx.contains(&format!("server 127.0.0.1:8{number};\n")), "{nginx}");
        }
        assert_eq!(nginx.matches('{').count(), nginx.matches('}').count());
    }

    #[test]
    fn origins_are_asked_in_http_2_for_grpc_alone() {
        let origins = [SocketAddr::from(([127, 0, 0, 1], 81))];
        for (protocol, client, grpc) in [
            (Protocol::Http1, false, false),
            (Protocol::Http2(8), true, false),
            (Protocol::Grpc(8), true, true),
        ] {
            let haproxy = haproxy(9, &origins, protocol, HAPROXY_HASHING);
            assert_eq!(haproxy.contains(":9 proto h2\n"), client, "{haproxy}");
            assert_eq!(haproxy.contains(":81 proto h2\n"), grpc, "{haproxy}");
            let nginx = nginx(9, &origins, protocol, NGINX_HASHING, (Path::new("/somewhere"), true));
            assert_eq!(nginx.contains(":9 http2 "), client, "{nginx}");
            assert_eq!(nginx.contains("grpc_pass grpc://origins;"), grpc, "{nginx}");
        }
    }
}
