//! What may be sent again, and when (RFC 9110, section 9.2.2). Pure.

use std::{str::FromStr, time::Duration};

use http::{Method, StatusCode};

use super::answer::Failure;

/// The longest response that is held, in bytes.
const MOST_HELD: u64 = 16 * 1024;

/// What is sent again to another replica, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The longest request body that is kept to be sent again, in bytes.
    pub body_limit: usize,
    /// The statuses for which another replica is asked, once.
    pub on: Vec<StatusCode>,
    /// Whether also what is not idempotent is sent again when it may have been executed.
    pub non_idempotent: bool,
    /// How long a short response is held until it is whole; zero for not at all.
    pub hold: Duration,
    /// How long one replica may take until its response begins.
    pub try_timeout: Option<Duration>,
    /// When a second replica is asked beside the first.
    pub hedge: Option<Hedge>,
    /// How many retries there may be, in percent of the requests.
    pub budget: u32,
}

/// When a second replica is asked beside the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedge {
    /// After this time.
    After(Duration),
    /// After the time that 95 of 100 responses of late began within.
    P95,
}

/// Why a text is not a [`Hedge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration such as 50ms, or p95")]
pub struct HedgeError;

/// What came of one attempt in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// Nothing of the request was sent.
    Unsent,
    /// The replica broke off before its response was whole, or sent no response.
    Broken,
    /// Its response did not begin in time.
    Late,
    /// It was declared dead.
    GivenUp,
    /// Its response has a status for which another is asked.
    Status,
}

/// How far a request has come with its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    repeatable: bool,
    left_a_dead_one: bool,
    asked_another: bool,
}

impl Default for Rules {
    fn default() -> Self {
        let on = [
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        Rules {
            body_limit: 64 * 1024,
            on: on.to_vec(),
            non_idempotent: false,
            hold: Duration::from_millis(50),
            try_timeout: None,
            hedge: None,
            budget: 20,
        }
    }
}

impl Rules {
    /// Whether a request of this method may be executed twice.
    pub fn may_repeat(&self, method: &Method) -> bool {
        self.non_idempotent || method.is_idempotent()
    }

    /// Whether another replica is asked because of this status.
    pub fn asks_another(&self, status: StatusCode) -> bool {
        self.on.contains(&status)
    }

    /// Whether the body of a response that says to have this length is held until it is whole.
    pub fn holds(&self, length: Option<u64>) -> bool {
        !self.hold.is_zero() && length.is_some_and(|length| (1..=MOST_HELD).contains(&length))
    }
}

/// Whether a response with this status is a failure of the replica's own: not what it does not know.
pub fn is_failure(status: StatusCode) -> bool {
    let unknown = [StatusCode::NOT_IMPLEMENTED, StatusCode::HTTP_VERSION_NOT_SUPPORTED];
    status.is_server_error() && !unknown.contains(&status)
}

impl Progress {
    /// A request that was not tried yet; `repeatable` where it may be executed twice.
    pub fn new(repeatable: bool) -> Self {
        Progress { repeatable, left_a_dead_one: false, asked_another: false }
    }

    /// Whether another candidate is tried after this setback. `kept` says whether the body can be sent again, `budget`
    /// takes a retry from what there may be.
    pub fn goes_on(&mut self, setback: Setback, kept: bool, budget: impl FnOnce() -> bool) -> bool {
        if setback == Setback::Unsent {
            return true;
        }
        let may = self.repeatable && kept;
        match setback {
            Setback::GivenUp if may && !self.left_a_dead_one => {
                self.left_a_dead_one = true;
                true
            }
            Setback::Status => {
                let asks = may && !self.asked_another && budget();
                self.asked_another |= asks;
                asks
            }
            _ => may && budget(),
        }
    }
}

impl Setback {
    /// What the client is told if nobody else answers; `None` where that is no news.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Setback::Unsent | Setback::Status => None,
            Setback::Broken | Setback::GivenUp => Some(Failure::Broken),
            Setback::Late => Some(Failure::Late),
        }
    }
}

impl FromStr for Hedge {
    type Err = HedgeError;

    fn from_str(text: &str) -> Result<Self, HedgeError> {
        if text == "p95" {
            return Ok(Hedge::P95);
        }
        let after = humantime::parse_duration(text).map_err(|_| HedgeError)?;
        if after.is_zero() { Err(HedgeError) } else { Ok(Hedge::After(after)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_on(progress: &mut Progress, setback: Setback) -> bool {
        progress.goes_on(setback, true, || true)
    }

    #[test]
    fn what_was_not_sent_may_always_go_on() {
        let mut progress = Progress::new(false);
        assert!((0..9).all(|_| progress.goes_on(Setback::Unsent, false, || false)));
    }

    #[test]
    fn what_may_have_been_executed_goes_on_only_if_it_may_be_twice_and_is_kept_and_in_the_budget() {
        for setback in [Setback::Broken, Setback::Late] {
            assert!(Progress::new(true).goes_on(setback, true, || true));
            assert!(!Progress::new(false).goes_on(setback, true, || true));
            assert!(!Progress::new(true).goes_on(setback, false, || true));
            assert!(!Progress::new(true).goes_on(setback, true, || false));
        }
    }

    #[test]
    fn one_move_off_a_dead_replica_is_free() {
        let mut progress = Progress::new(true);
        assert!(progress.goes_on(Setback::GivenUp, true, || false));
        assert!(!progress.goes_on(Setback::GivenUp, true, || false));
        assert!(progress.goes_on(Setback::GivenUp, true, || true));
        assert!(!Progress::new(false).goes_on(Setback::GivenUp, true, || true));
    }

    #[test]
    fn for_its_status_one_other_is_asked() {
        let mut progress = Progress::new(true);
        assert!(goes_on(&mut progress, Setback::Status));
        assert!(!goes_on(&mut progress, Setback::Status));
        assert!(goes_on(&mut progress, Setback::Broken), "that is another matter");
    }

    #[test]
    fn idempotent_methods_may_be_repeated() {
        let mut rules = Rules::default();
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE]
        {
            assert!(rules.may_repeat(&method), "{method}");
        }
        assert!(!rules.may_repeat(&Method::POST) && !rules.may_repeat(&Method::PATCH));
        rules.non_idempotent = true;
        assert!(rules.may_repeat(&Method::POST));
    }

    #[test]
    fn short_responses_of_known_length_are_held() {
        let mut rules = Rules::default();
        assert!(rules.holds(Some(1)) && rules.holds(Some(16 * 1024)));
        assert!(!rules.holds(Some(0)) && !rules.holds(Some(16 * 1024 + 1)) && !rules.holds(None));
        rules.hold = Duration::ZERO;
        assert!(!rules.holds(Some(1)));
    }

    #[test]
    fn what_a_server_does_not_know_is_no_failure_of_a_replica() {
        for (status, failed) in
            [(200, false), (404, false), (500, true), (501, false), (503, true), (505, false)]
        {
            assert_eq!(is_failure(StatusCode::from_u16(status).unwrap()), failed, "{status}");
        }
    }

    #[test]
    fn a_second_is_asked_after_a_time_or_the_percentile() {
        assert_eq!("50ms".parse(), Ok(Hedge::After(Duration::from_millis(50))));
        assert_eq!("p95".parse(), Ok(Hedge::P95));
        for wrong in ["", "0s", "p99", "50"] {
            assert_eq!(wrong.parse::<Hedge>(), Err(HedgeError), "{wrong}");
        }
    }
}
