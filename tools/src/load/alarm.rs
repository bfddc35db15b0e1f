//! A timer finer than tokio's, which rounds up to whole milliseconds: more than many an answer takes.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel's.
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Alarm(registered(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Waits until then, if that is not past.
    pub async fn wait(&mut self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once(left))
                .expect("a timer can be set");
            let mut rung = self.0.readable().await.expect("a runtime that drives input and output");
            rung.clear_ready(); // setting it anew also takes back that it rang
        }
    }
}

#[expect(unsafe_code, reason = "tokio's only way to wait for a descriptor that it has no type for")]
fn registered(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open for as long as it lives, and always the same descriptor.
    Ok(unsafe { AsyncFd::register(timer) }?)
}

fn once(after: Duration) -> Itimerspec {
    let value = Timespec { tv_sec: after.as_secs() as _, tv_nsec: after.subsec_nanos().into() };
    Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value }
}
