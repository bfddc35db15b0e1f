//! Makes rings, and gives way to requests meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::ring::{Member, Ring, RingError, Spec};

/// How long a ring is waited for whose making gives way to everything else. Where processors are busy all the time, it would
/// never be made.
const PATIENCE: Duration = Duration::from_secs(1);

/// Slots times members of a ring that is made in less time than a thread.
const SMALL: usize = 1 << 17;

/// Makes the rings of one fleet.
///
/// For a hundred members that takes tens of milliseconds, which no request is to wait for: so it is made by a thread that
/// runs only where nothing else wants to. Where that takes too long, it is made at once.
#[derive(Debug, Default)]
pub(super) struct Maker {
    /// Whether a thread is still at a ring that nobody waits for any more.
    is_late: Arc<AtomicBool>,
}

impl Maker {
    /// The ring of these members. The runtime lends a thread that waits, so that a paused clock stands still meanwhile.
    pub async fn make(&self, members: Vec<Member>, spec: Spec) -> Result<Ring, RingError> {
        let is_late = self.is_late.clone();
        let made = tokio::task::spawn_blocking(move || make(members, spec, is_late, PATIENCE));
        made.await.expect("building does not panic")
    }
}

fn make(
    members: Vec<Member>,
    spec: Spec,
    is_late: Arc<AtomicBool>,
    patience: Duration,
) -> Result<Ring, RingError> {
    if spec.slots as usize * members.len() < SMALL || is_late.swap(true, AcqRel) {
        return Ring::build(&members, &spec);
    }
    let (made, ring) = mpsc::sync_channel(1);
    let asked = (members.clone(), spec.clone(), is_late.clone());
    let idly = move || {
        let (members, spec, is_late) = asked;
        run_when_idle();
        let ring = Ring::build(&members, &spec);
        is_late.store(false, Release);
        let _nobody_waits_any_more = made.send(ring);
    };
    let Ok(_thread) = thread::Builder::new().name("ring".into()).spawn(idly) else {
        is_late.store(false, Release);
        return Ring::build(&members, &spec);
    };
    ring.recv_timeout(patience).unwrap_or_else(|_too_late| Ring::build(&members, &spec))
}

/// From now on this thread runs where nothing else wants to (sched(7), SCHED_IDLE); where it may not say so, as before.
#[expect(unsafe_code, reason = "rustix does not have this call")]
fn run_when_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads the value behind the pointer, which outlives it, and nothing else of ours.
    let _as_before_then = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameters) };
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering::Acquire, time::Instant};

    use super::*;
    use crate::{name::Number, ring::Weight};

    fn members(count: u16) -> Vec<Member> {
        (1..=count).map(|n| Member { number: Number::new(n).unwrap(), weight: Weight::ONE }).collect()
    }

    /// By proc(5): the 41st field of `stat`, of which the 3rd is the first behind the name.
    fn scheduling_policy() -> String {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(41 - 3).unwrap().to_owned()
    }

    #[test]
    fn the_thread_of_a_ring_runs_when_nothing_else_wants_to() {
        let policies = [false, true].map(|idle| {
            let spawned = thread::spawn(move || {
                if idle {
                    run_when_idle();
                }
                scheduling_policy()
            });
            spawned.join().unwrap()
        });
        assert_eq!(policies[1], "5", "SCHED_IDLE; it was {}", policies[0]);
        assert_ne!(policies[0], "5");
    }

    #[test]
    fn a_ring_is_the_same_however_it_is_made() {
        let (members, spec) = (members(20), Spec::default());
        let expected = Ring::build(&members, &spec).unwrap();
        for (is_late, patience) in [(false, PATIENCE), (false, Duration::ZERO), (true, PATIENCE)] {
            let is_late = Arc::new(AtomicBool::new(is_late));
            let made = make(members.clone(), spec.clone(), is_late, patience).unwrap();
            assert!(made == expected, "{patience:?}");
        }
    }

    #[test]
    fn who_is_late_is_not_asked_again_before_he_is_ready() {
        let is_late = Arc::<AtomicBool>::default();
        make(members(20), Spec::default(), is_late.clone(), Duration::ZERO).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while is_late.load(Acquire) {
            assert!(Instant::now() < deadline, "it never gets ready");
            thread::yield_now();
        }
        make(members(20), Spec::default(), is_late.clone(), Duration::from_secs(60)).unwrap();
        assert!(!is_late.load(Acquire), "it was ready in time");
    }
}
