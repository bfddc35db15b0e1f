//! How soon a thread of the data plane runs when something comes for it.

/// The time that a thread asks for at once, in nanoseconds. The kernel's own is some milliseconds.
const SLICE: u64 = 100_000;

/// Keeps the policy that the thread has (sched_setattr(2), `SCHED_FLAG_KEEP_POLICY`).
const KEEP_POLICY: u64 = 0x08;

/// From now on this thread asks for little time at once, and so comes before others of its processor that ask for more: what
/// waits for it would else wait for their slices (sched_attr in sched_setattr(2); since Linux 6.12). Where it may not say so,
/// as before.
#[expect(unsafe_code, reason = "rustix does not have this call")]
pub(super) fn run_soon() {
    let Ok(nice) = rustix::process::getpriority_process(None) else { return };
    // SAFETY: it is of numbers only.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_flags = KEEP_POLICY;
    attributes.sched_nice = nice;
    attributes.sched_runtime = SLICE;
    // SAFETY: the call reads the value behind the pointer, which outlives it and says how long it is, and nothing else of
    // ours.
    let _as_before_then = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    /// What this thread asks for at once, in nanoseconds, where the kernel listens and tells.
    fn slice() -> Option<u64> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let mut version = release.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
        if (version.next()?, version.next()?) < (6, 12) {
            return None;
        }
        let told = fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = told.lines().find(|line| line.starts_with("se.slice"))?;
        line.rsplit(':').next()?.trim().parse().ok()
    }

    #[test]
    fn a_thread_asks_for_little_time_at_once_and_keeps_its_priority() {
        let told = thread::spawn(|| {
            let before = rustix::process::getpriority_process(None).unwrap();
            run_soon();
            (before, rustix::process::getpriority_process(None).unwrap(), slice())
        });
        let (before, after, slice) = told.join().unwrap();
        assert_eq!(before, after);
        if let Some(slice) = slice {
            assert_eq!(slice, SLICE);
        }
    }
}
