//! Ringkeeper's policies, and what comes nearest to each of them at its peers. Pure.

use super::super::bench::{config, subject::Subject};

/// A way to share requests out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Ringkeeper's policy.
    pub policy: &'static str,
    /// The same for people, short.
    pub title: &'static str,
    haproxy: Option<&'static str>,
    nginx: Option<&'static str>,
}

/// A rule that Ringkeeper alone has.
const OWN: Rule = Rule { policy: "", title: "", haproxy: None, nginx: None };

/// All of them, in the order of Ringkeeper's own list.
pub const ALL: [Rule; 9] = [
    Rule {
        policy: "ring",
        title: "ring",
        haproxy: Some(config::HAPROXY_HASHING),
        nginx: Some(config::NGINX_HASHING),
    },
    Rule {
        policy: "bounded-ring",
        title: "bounded ring",
        haproxy: Some(
            "balance url_param request_id\n    hash-type consistent djb2 avalanche\n    hash-balance-factor 125",
        ),
        ..OWN
    },
    Rule { policy: "rendezvous", title: "rendezvous", ..OWN },
    Rule {
        policy: "round-robin",
        title: "round robin",
        haproxy: Some("balance static-rr"),
        nginx: Some(""), // what it does where nothing is said
    },
    Rule {
        policy: "weighted-round-robin",
        title: "weighted r. r.",
        haproxy: Some("balance roundrobin"),
        ..OWN
    },
    Rule {
        policy: "least-requests",
        title: "least requests",
        haproxy: Some("balance leastconn"),
        nginx: Some("least_conn;"),
    },
    Rule {
        policy: "power-of-two",
        title: "power of two",
        haproxy: Some("balance random(2)"),
        nginx: Some("random two least_conn;"),
    },
    Rule { policy: "ewma", title: "ewma", ..OWN },
    Rule { policy: "random", title: "random", haproxy: Some("balance random(1)"), nginx: Some("random;") },
];

impl Rule {
    /// The one of this policy, or a line that says which there are.
    pub fn named(policy: &str) -> Result<Self, String> {
        let names = || ALL.map(|rule| rule.policy).join(", ");
        ALL.into_iter().find(|rule| rule.policy == policy).ok_or_else(|| format!("one of {}", names()))
    }

    /// What comes nearest to it, in the words of the one who is to do it.
    pub fn of(&self, subject: Subject) -> Option<&'static str> {
        match subject {
            Subject::Ringkeeper => Some(self.policy),
            Subject::HaProxy => self.haproxy,
            Subject::Nginx => self.nginx,
            Subject::Relay => None,
        }
    }

    /// The same for people.
    pub fn words(&self, subject: Subject) -> Option<String> {
        let lines = self.of(subject)?;
        if lines.is_empty() {
            return Some("the default".to_owned());
        }
        let words: Vec<&str> =
            lines.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()).collect();
        Some(format!("`{}`", words.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_found_by_its_policy_alone() {
        for rule in ALL {
            assert_eq!(Rule::named(rule.policy), Ok(rule));
            assert_eq!(rule.of(Subject::Ringkeeper), Some(rule.policy));
        }
        assert!(Rule::named("fair").expect_err("none").contains("ring, bounded-ring"));
    }

    #[test]
    fn words_have_no_line_ends() {
        let bounded = Rule::named("bounded-ring").expect("known").words(Subject::HaProxy);
        let words =
            "`balance url_param request_id; hash-type consistent djb2 avalanche; hash-balance-factor 125`";
        assert_eq!(bounded.as_deref(), Some(words));
    }
}
