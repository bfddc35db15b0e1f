//! What can happen to replicas, what is sent meanwhile, and what is promised. Pure.

use std::time::Duration;

use ringkeeper_tools::{
    load::{Method, Rate, Stream},
    subject::Engine,
};

/// One thing that goes wrong, by its name in `--fault`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `docker kill` of one
    Kill,
    /// The same of each of three, one after the other
    KillEach,
    /// Of two of three at once
    KillTwo,
    /// `docker pause` of one
    Pause,
    /// `docker kill -s STOP` of one
    StopSignal,
    /// One answers heartbeats, and 500 to everything else
    Errors,
    /// One answers heartbeats, and nothing else
    Deaf,
    /// `docker stop` of one
    DockerStop,
    /// `docker rm -f` of one
    DockerRm,
    /// `/add` and `/rm` of one, each once a second
    Churn,
    /// One ends as soon as it starts, from the beginning
    CrashLoop,
    /// `docker network disconnect` of one
    CutOff,
}

/// What a stream of requests is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GETs that are answered at once: what latencies are of.
    Quick,
    /// GETs that take long.
    Slow,
    /// POSTs, whose executions are counted.
    Post,
}

/// What has to have happened after a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Promise {
    /// Every replica is ready again, or the one that misbehaves is out, within this.
    Within(Duration),
    /// The same, at some time while it is watched.
    Ever,
    /// Nothing: only that no request fails.
    Nothing,
}

/// All of them, in the order of the table.
pub const ALL: [Fault; 12] = [
    Fault::Kill,
    Fault::KillEach,
    Fault::KillTwo,
    Fault::Pause,
    Fault::StopSignal,
    Fault::Errors,
    Fault::Deaf,
    Fault::DockerStop,
    Fault::DockerRm,
    Fault::Churn,
    Fault::CrashLoop,
    Fault::CutOff,
];

/// Those of the short form.
pub const SHORT: [Fault; 6] =
    [Fault::Kill, Fault::KillTwo, Fault::Pause, Fault::Errors, Fault::DockerRm, Fault::Churn];

/// How the balancer decides that a frozen replica is dead: so many heartbeats in a row, one in an interval, each with a
/// timeout. The balancer's defaults.
const MAX_FAIL_COUNT: u32 = 3;
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// The rates: of all GETs together, and of POSTs.
const GETS: f64 = 1000.0;
const POSTS: &str = "50";

impl Fault {
    /// Its name.
    pub fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.expect("none is left out").get_name().to_owned()
    }

    /// Whether it can be done to replicas of this engine.
    pub fn suits(self, engine: Engine) -> bool {
        let containers_only =
            [Fault::StopSignal, Fault::DockerStop, Fault::DockerRm, Fault::CutOff].contains(&self);
        engine == Engine::Docker || !containers_only
    }

    /// Whether another balancer, which knows the replicas of the beginning, could stand it.
    pub fn suits_haproxy(self) -> bool {
        self != Fault::Churn
    }

    /// What the balancer is given for it, beside its defaults.
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            Fault::Deaf => &["--try-timeout", "1s"],
            _ => &[],
        }
    }

    /// What the replicas find in their environment for it, beside what they always find.
    pub fn environment(self) -> Option<&'static str> {
        (self == Fault::CrashLoop).then_some("CRASH=2")
    }

    /// The numbers of the replicas that are hit; one after the other in `KillEach`.
    pub fn victims(self) -> &'static [u16] {
        match self {
            Fault::KillEach => &[1, 2, 3],
            Fault::KillTwo => &[1, 2],
            Fault::Churn | Fault::CrashLoop => &[],
            _ => &[2],
        }
    }

    /// What is sent.
    pub fn streams(self) -> Vec<(Kind, Stream)> {
        let rate = |rate: f64| rate.to_string().parse::<Rate>().expect("a sound rate");
        let get = |path: &str, per_second| Stream {
            method: Method::Get,
            path: path.to_owned(),
            rate: rate(per_second),
        };
        let post = Stream {
            method: Method::Post,
            path: "/order".to_owned(),
            rate: POSTS.parse().expect("a sound rate"),
        };
        let gets = match self {
            Fault::Churn => {
                vec![(Kind::Quick, get("/home", GETS / 2.0)), (Kind::Slow, get("/work?ms=2000", GETS / 2.0))]
            }
            _ => vec![(Kind::Quick, get("/home", GETS))],
        };
        gets.into_iter().chain([(Kind::Post, post)]).collect()
    }

    /// What is promised, where a bare `docker run -d` takes so long.
    pub fn promise(self, bare: Option<Duration>) -> Promise {
        let start = bare.map_or(Duration::ZERO, |bare| 3 * bare);
        let noticed = MAX_FAIL_COUNT * HEARTBEAT_INTERVAL + HEARTBEAT_TIMEOUT;
        let second = Duration::from_secs(1);
        match self {
            Fault::Kill | Fault::KillEach | Fault::DockerStop | Fault::DockerRm => {
                Promise::Within(second.max(start))
            }
            Fault::KillTwo => Promise::Within((2 * second).max(start)),
            Fault::Pause | Fault::StopSignal => Promise::Within(noticed + second.max(start)),
            Fault::Errors => Promise::Within(second),
            Fault::Deaf | Fault::CutOff => Promise::Ever,
            Fault::Churn | Fault::CrashLoop => Promise::Nothing,
        }
    }

    /// Whether it goes on to the end.
    pub fn lasts(self) -> bool {
        matches!(self, Fault::Churn | Fault::CrashLoop)
    }

    /// Whether it is over when the misbehaving replica is out, which nobody replaces.
    pub fn ends_with_ejection(self) -> bool {
        matches!(self, Fault::Errors | Fault::Deaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_in_the_table_once_and_named_as_it_is_chosen() {
        let all: Vec<Fault> = <Fault as clap::ValueEnum>::value_variants().to_vec();
        assert_eq!(all, ALL);
        assert!(SHORT.iter().all(|fault| ALL.contains(fault)));
        assert_eq!((Fault::KillTwo.name(), Fault::CutOff.name()), ("kill-two".into(), "cut-off".into()));
    }

    #[test]
    fn a_slow_engine_widens_what_needs_a_container_and_nothing_else() {
        let (quick, slow) = (Some(Duration::from_millis(200)), Some(Duration::from_millis(900)));
        let within = |millis| Promise::Within(Duration::from_millis(millis));
        for (fault, at_quick, at_slow) in [
            (Fault::Kill, within(1000), within(2700)),
            (Fault::KillTwo, within(2000), within(2700)),
            (Fault::Pause, within(5000), within(6700)),
            (Fault::Errors, within(1000), within(1000)),
            (Fault::CutOff, Promise::Ever, Promise::Ever),
            (Fault::Churn, Promise::Nothing, Promise::Nothing),
        ] {
            assert_eq!((fault.promise(quick), fault.promise(slow)), (at_quick, at_slow), "{fault:?}");
        }
        assert_eq!(Fault::Kill.promise(None), within(1000));
    }

    #[test]
    fn a_thousand_gets_a_second_are_sent_whatever_happens() {
        for fault in ALL {
            let (posts, gets): (Vec<_>, Vec<_>) =
                fault.streams().into_iter().partition(|(kind, _)| *kind == Kind::Post);
            let rate = |streams: &[(Kind, Stream)]| {
                streams.iter().map(|(_, stream)| stream.rate.per_second()).sum::<f64>()
            };
            assert_eq!((rate(&gets), rate(&posts)), (1000.0, 50.0), "{fault:?}");
        }
    }
}
