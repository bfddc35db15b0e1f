//! What time it is. The loop asks here and nowhere else, so that a simulation can have a time of its own.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, by the runtime's clock, which a test may have paused.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The milliseconds of the wall clock, 0 to 999.
pub(super) fn milliseconds() -> u16 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u16::try_from(since.subsec_millis()).expect("below 1000")
}
