//! Our own forwarder of HTTP/1.1, as far as it is: what moves the bytes that [`framing`](super::framing) decides about.
//!
//! Everything belongs to one thread. Buffers are the thread's, not the connection's: a connection owns bytes only after a
//! short write or an incomplete head, so an idle one costs next to nothing.

pub mod arrived;
mod attempt;
pub mod buffers;
pub mod client;
pub mod deadlines;
pub mod flow;
pub mod idle;

pub use arrived::{Arrived, NoHead};
pub use buffers::{Buffers, Pending, poll_send};
pub use deadlines::{Deadline, Deadlines};
pub use flow::{Cut, Flow};
pub use idle::{Idle, Upstream};
