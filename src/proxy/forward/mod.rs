//! HTTP/1.1 as it is carried: moves the bytes that [`framing`](super::framing) finds the ends of, asks
//! [`exchange`](super::exchange), decides nothing.
//!
//! Everything belongs to one thread. Buffers are the thread's, not the connection's: a connection owns bytes only after a
//! short write or an incomplete head, so an idle one costs next to nothing.
//!
//! In the order of a request's way: [`client`] reads it from a connection, [`asking`] is what it says, [`delivery`] has it
//! answered by [`attempt`] after attempt, each of which sends the [`upload`] and waits for an [`answering`] by [`reading`]; the
//! rest of both bodies is [`relay`]'s. Where no replica may have another request, it waits in the [`queue`].

mod answering;
mod arrived;
mod asking;
mod attempt;
mod buffers;
mod client;
mod deadlines;
mod delivery;
mod flow;
mod hedge;
mod idle;
mod line;
mod preamble;
mod queue;
mod reading;
mod relay;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use buffers::{Buffers, Pending};
pub(super) use client::{Downstream, serve, serve_known};
pub(super) use deadlines::{Deadline, Deadlines, Moment, TICK};
pub(super) use idle::{Idle, MOST_AGE};
pub(super) use line::{Blame, Line, Opening, connect};
pub(super) use preamble::introduction;
