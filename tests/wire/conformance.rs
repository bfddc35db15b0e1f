//! HTTP/1.1 to the letter: bytes written by hand on one side, an origin that follows a script on the other, and what each
//! of them got.
//!
//! A client says that it sends no more and reads to the end, so whatever comes is all there will be.

mod forwarding;
mod limits;
mod refused;
mod requests;
mod responses;
pub mod scripted;

use scripted::{Origin, Then};

use crate::support::{Balancer, Deployment, raw::Raw};

/// What the balancer tells a replica here about a client and its request, whose name is drawn.
const FORWARDED: &str = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nForwarded: for=127.0.0.1;proto=http;host=a\r\nX-Forwarded-Host: a\r\nX-Request-Id: *\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

/// A balancer before an origin that follows a script.
struct Stage {
    origin: Origin,
    balancer: Balancer,
}

/// What a client got, and whether its connection broke in place of ending.
#[derive(Debug)]
struct Got {
    text: String,
    broke: bool,
}

impl Stage {
    async fn set(deployment: &Deployment, settings: &[&str]) -> Self {
        let origin = Origin::start();
        let address = origin.address.to_string();
        let mut own = vec!["--upstream", &address, "--probe", "tcp", "--threads", "1"];
        if !settings.contains(&"--control-paths") {
            own.extend(["--control-paths", "off"]);
        }
        let arguments = [&own[..], settings].concat();
        let balancer = match settings.contains(&"--admin-token") {
            true => deployment.launch(&arguments).await, // who would have to be asked wants to see it
            false => deployment.start(&arguments).await,
        };
        Stage { origin, balancer }
    }

    /// What a client gets that sends this and then no more, while the origin answers each request with `reply`.
    async fn play(&self, sent: &str, reply: &str, then: Then) -> Got {
        self.origin.script(reply, then);
        let mut client = Raw::connect(self.balancer.traffic).await;
        client.write(sent).await;
        client.finish().await;
        let (text, broke) = client.rest().await;
        Got { text, broke }
    }
}

impl Got {
    /// The statuses of the responses, by their first lines.
    fn statuses(&self) -> Vec<&str> {
        let parts = self.text.split("HTTP/1.1 ").skip(1);
        parts.filter_map(|part| part.get(..3).filter(|status| status.parse::<u16>().is_ok())).collect()
    }
}
