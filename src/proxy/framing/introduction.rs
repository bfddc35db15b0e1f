//! What a replica is told about a client: `X-Forwarded-For`, `-Proto` and `-Host`, and the same as `Forwarded` (RFC 7239).

use std::{io::Write, net::IpAddr, str::FromStr};

use super::{
    forwarded::{Before, Form},
    target::is_plain_name,
};
use crate::caller::Caller;

/// Which fields tell a replica about a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tells {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
    /// `Forwarded`.
    Rfc7239,
    /// All of them.
    #[default]
    Both,
}

/// Why a text is not one of [`Tells`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("x-forwarded, rfc7239 or both")]
pub struct TellsError;

/// What a replica is told about a connection, written once for all of its requests.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Whose it is.
    pub caller: Caller,
    scheme: &'static str,
    tells: Tells,
    /// Everything up to the request's host.
    lines: Box<[u8]>,
}

impl Introduction {
    /// The connection of this client, who speaks `http` or `https`.
    pub fn new(caller: Caller, scheme: &'static str, tells: Tells) -> Self {
        let mut lines = Vec::new();
        if tells.has_x_forwarded() {
            lines.extend_from_slice(b"X-Forwarded-For: ");
            push(&mut lines, caller.address);
            proto(&mut lines, scheme);
        }
        if tells.has_rfc7239() {
            lines.extend_from_slice(b"Forwarded: ");
            node(&mut lines, caller.address);
            parameter(&mut lines, b";proto=", scheme);
        }
        Introduction { caller, scheme, tells, lines: lines.into() }
    }

    /// Appends the fields of a request for this host.
    pub fn write(&self, out: &mut Vec<u8>, host: Option<&str>) {
        out.extend_from_slice(&self.lines);
        if self.tells.has_rfc7239() {
            host_parameter(out, host);
            out.extend_from_slice(b"\r\n");
        }
        if self.tells.has_x_forwarded() {
            x_host(out, host);
        }
    }

    /// The same where the client is a proxy that is believed: what it says goes before what we say.
    pub fn write_after(&self, out: &mut Vec<u8>, before: &Before<'_>, host: Option<&str>) {
        let first = (before.proto.unwrap_or(self.scheme), before.host.or(host));
        if self.tells.has_x_forwarded() {
            out.extend_from_slice(b"X-Forwarded-For: ");
            for (text, address) in before.clients() {
                match before.form {
                    Form::XForwarded => out.extend_from_slice(text),
                    Form::Rfc7239 => push(out, address),
                }
                out.extend_from_slice(b", ");
            }
            push(out, self.caller.address);
            proto(out, first.0);
            x_host(out, first.1);
        }
        if self.tells.has_rfc7239() {
            out.extend_from_slice(b"Forwarded: ");
            match before.form {
                Form::Rfc7239 => self.elements_after(out, before, host),
                Form::XForwarded => self.nodes_after(out, before, first),
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The elements that came, and ours.
    fn elements_after(&self, out: &mut Vec<u8>, before: &Before<'_>, host: Option<&str>) {
        for element in before.elements() {
            out.extend_from_slice(element);
            out.extend_from_slice(b", ");
        }
        node(out, self.caller.address);
        parameter(out, b";proto=", self.scheme);
        host_parameter(out, host);
    }

    /// An element for each address; the first has what the client asked the first proxy for.
    fn nodes_after(&self, out: &mut Vec<u8>, before: &Before<'_>, first: (&str, Option<&str>)) {
        let addresses = before.clients().map(|(_, address)| address);
        for (index, address) in addresses.chain([self.caller.address]).enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            node(out, address);
            if index == 0 {
                parameter(out, b";proto=", first.0);
                host_parameter(out, first.1);
            }
        }
    }
}

impl Tells {
    fn has_x_forwarded(self) -> bool {
        self != Tells::Rfc7239
    }

    fn has_rfc7239(self) -> bool {
        self != Tells::XForwarded
    }
}

impl FromStr for Tells {
    type Err = TellsError;

    fn from_str(text: &str) -> Result<Self, TellsError> {
        match text {
            "x-forwarded" => Ok(Tells::XForwarded),
            "rfc7239" => Ok(Tells::Rfc7239),
            "both" => Ok(Tells::Both),
            _ => Err(TellsError),
        }
    }
}

fn push(out: &mut Vec<u8>, address: IpAddr) {
    let _cannot_fail = write!(out, "{address}");
}

/// `for=` and an address (RFC 7239, section 6).
fn node(out: &mut Vec<u8>, address: IpAddr) {
    let _cannot_fail = match address {
        IpAddr::V4(address) => write!(out, "for={address}"),
        IpAddr::V6(address) => write!(out, "for=\"[{address}]\""),
    };
}

fn proto(out: &mut Vec<u8>, proto: &str) {
    parameter(out, b"\r\nX-Forwarded-Proto: ", proto);
    out.extend_from_slice(b"\r\n");
}

fn x_host(out: &mut Vec<u8>, host: Option<&str>) {
    if let Some(host) = host {
        parameter(out, b"X-Forwarded-Host: ", host);
        out.extend_from_slice(b"\r\n");
    }
}

fn host_parameter(out: &mut Vec<u8>, host: Option<&str>) {
    match host {
        Some(host) if is_plain_name(host) => parameter(out, b";host=", host),
        Some(host) => {
            parameter(out, b";host=\"", host);
            out.push(b'"');
        }
        None => {}
    }
}

fn parameter(out: &mut Vec<u8>, name: &[u8], value: &str) {
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
}
