//! HTTP/2 on both sides (RFC 9113): to clients by hyper, to replicas by h2, which is beneath that. It decides nothing:
//! HTTP/1.1 is what is spoken within, and this translates.
//!
//! A client's [`connection`] has many [`stream`]s, each of which is served by [`forward`](super::forward) as if it were a
//! connection of HTTP/1.1 with one request. A request to a replica that speaks HTTP/2 is a [`call`], which the forwarder
//! takes for a connection of HTTP/1.1, too; the calls of a core share its [`links`] to the replica, each of which knows its
//! [`traffic`] and feels its [`pulse`]. Heads are translated by [`head`], bodies by [`reading`] and [`sending`] (from HTTP/1.1)
//! and [`writing`] (to it); between a stream and its forwarder is a [`pipe`].
//!
//! Both pass bytes on only as fast as they are taken: what waits is a pipe's worth.

mod call;
mod connection;
mod head;
mod links;
mod pipe;
mod pulse;
mod reading;
mod sending;
mod stream;
mod traffic;
mod writing;

pub(super) use call::Call;
pub(super) use connection::serve;
pub(super) use links::{Links as Calls, open};

use hyper::rt::Executor;

/// What a client begins with that speaks HTTP/2 from the first byte (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are under way between the two protocols, in each direction of an exchange.
const PIPE: usize = 32 * 1024;
/// Bytes of a stream that its sender may be ahead, and of all streams of a connection together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a stream that wait for the connection.
const SEND_BUFFER: usize = 64 * 1024;
/// What each field adds to a header's size (RFC 9113, section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// Runs hyper's tasks on the thread that asks for them.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// The limits of heads that were checked before, and got some fields of ours since.
fn inner_limits(limits: &super::Limits) -> super::Limits {
    super::Limits { head: 2 * limits.head + 1024, fields: limits.fields + 8, target: limits.target }
}

/// The largest header that HTTP/2's side takes. It is counted otherwise there, so what decides is HTTP/1.1's limit.
fn header_list(limits: &super::Limits) -> u32 {
    u32::try_from(limits.head + limits.fields * FIELD_OVERHEAD).unwrap_or(u32::MAX)
}
