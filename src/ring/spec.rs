//! What a ring is made by: slots, virtual servers, probing, hash and slack.

use std::{fmt, str::FromStr};

use super::hash::Hash;

/// The most slots that a ring may have, 2²⁴.
pub const MOST_SLOTS: u32 = 1 << 24;

/// How a ring is made. With the set of members it fixes the ring entirely.
///
/// `Default` is the product's: 262,147 slots (a prime), `full`, xxh3, a slack of 0.01. Any values may be put into the
/// fields; [`Spec::validate`] says whether they make a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// M, the number of slots.
    pub slots: u32,
    /// K, how many virtual servers a server of weight 1 has, or `full`.
    pub placement: Virtual,
    /// Where a virtual server goes whose slot is taken. Means nothing with `full`.
    pub probing: Probing,
    /// H and Φ. With `full` only H is used.
    pub hash: Hash,
    /// How much more than its share a server may own. Means nothing without `full`.
    pub slack: Slack,
}

/// How servers get their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virtual {
    /// So many virtual servers for each server of weight 1; a slot without one belongs to the next one clockwise.
    Count(u32),
    /// Every slot has an owner of its own, by rendezvous hashing with quotas.
    Full,
}

/// The slots that a virtual server tries after its first one, modulo the number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// +1, +2, +3, … from the first slot.
    Linear,
    /// +1², +2², +3², … from the first slot; when as many tries as there are slots found no free one, then linearly
    /// from the first slot.
    Quadratic,
}

/// The part of its share that a server may own beyond it: a decimal from 0 to 1 with at most six places, kept as
/// millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slack(u32);

/// Why a [`Spec`] makes no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No slots, or more than [`MOST_SLOTS`].
    #[error("a ring has 1 to {MOST_SLOTS} slots, not {0}")]
    Slots(u32),
    /// No virtual servers, or more than slots.
    #[error("a server has 1 to {slots} virtual servers on a ring of {slots} slots, not {count}")]
    Virtual {
        /// The virtual servers that were asked for.
        count: u32,
        /// The slots of the ring.
        slots: u32,
    },
}

/// Why a text is not a [`Virtual`], a [`Probing`] or a [`Slack`]; it names what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {accepted}")]
pub struct WordError {
    text: String,
    accepted: &'static str,
}

impl Spec {
    /// The assignment's ring: 512 slots, 9 virtual servers for each server, linear probing, the quadratic hash.
    pub fn assignment() -> Self {
        Spec {
            slots: 512,
            placement: Virtual::Count(9),
            probing: Probing::Linear,
            hash: Hash::QUADRATIC,
            ..Spec::default()
        }
    }

    /// Whether a ring can be made by this, if only an empty one or one of a single member of weight 1.
    pub fn validate(&self) -> Result<(), SpecError> {
        if !(1..=MOST_SLOTS).contains(&self.slots) {
            return Err(SpecError::Slots(self.slots));
        }
        match self.placement {
            Virtual::Count(count) if !(1..=self.slots).contains(&count) => {
                Err(SpecError::Virtual { count, slots: self.slots })
            }
            Virtual::Count(_) | Virtual::Full => Ok(()),
        }
    }

    /// How many members of weight 1 fit, never more than the 65,535 that have different numbers.
    pub fn capacity(&self) -> usize {
        let fit = match self.placement {
            Virtual::Count(count) => self.slots.checked_div(count).unwrap_or(0),
            Virtual::Full => self.slots,
        };
        fit.min(u16::MAX.into()) as usize
    }
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            slots: 262_147,
            placement: Virtual::Full,
            probing: Probing::Linear,
            hash: Hash::Xxh3,
            slack: Slack::default(),
        }
    }
}

impl Slack {
    /// No slack: equal weights own equally many slots, give or take one.
    pub const ZERO: Slack = Slack(0);

    /// `None` for more than a million.
    pub const fn from_millionths(millionths: u32) -> Option<Self> {
        if millionths <= 1_000_000 { Some(Slack(millionths)) } else { None }
    }

    /// The slack in millionths, at most a million.
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl Default for Slack {
    /// One per cent.
    fn default() -> Self {
        Slack(10_000)
    }
}

impl FromStr for Virtual {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        if text == "full" {
            return Ok(Virtual::Full);
        }
        let count = text.parse().ok().filter(|count| *count > 0).map(Virtual::Count);
        count.ok_or_else(|| WordError::new(text, "a number of virtual servers (1 or more) or 'full'"))
    }
}

impl FromStr for Probing {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "linear" => Ok(Probing::Linear),
            "quadratic" => Ok(Probing::Quadratic),
            _ => Err(WordError::new(text, "a probing; accepted are linear and quadratic")),
        }
    }
}

impl FromStr for Slack {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let slack = millionths(text).and_then(Slack::from_millionths);
        slack.ok_or_else(|| WordError::new(text, "a slack, a decimal from 0 to 1 with at most six places"))
    }
}

fn millionths(text: &str) -> Option<u32> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(places) || !(1..=6).contains(&places.len()) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(format!("{places:0<6}").parse().ok()?)
}

impl WordError {
    fn new(text: &str, accepted: &'static str) -> Self {
        WordError { text: text.into(), accepted }
    }
}

impl fmt::Display for Virtual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Virtual::Count(count) => count.fmt(f),
            Virtual::Full => f.write_str("full"),
        }
    }
}

impl fmt::Display for Probing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Probing::Linear => "linear",
            Probing::Quadratic => "quadratic",
        })
    }
}

impl fmt::Display for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, places) = (self.0 / 1_000_000, format!("{:06}", self.0 % 1_000_000));
        match places.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            places => write!(f, "{whole}.{places}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slack_is_a_decimal_from_0_to_1_with_at_most_six_places() {
        for text in ["0", "0.01", "0.000001", "0.5", "1"] {
            assert_eq!(text.parse::<Slack>().expect(text).to_string(), text);
        }
        assert_eq!("0.010".parse(), Ok(Slack::default()));
        for bad in ["", ".5", "0.", "-0.1", "1.000001", "0.0000001", "1e-2", "one", "99999999999", "5000"] {
            assert!(bad.parse::<Slack>().is_err(), "{bad}");
        }
    }

    #[test]
    fn virtual_servers_and_probing_show_the_text_they_were_read_from() {
        for text in ["9", "full"] {
            assert_eq!(text.parse::<Virtual>().expect(text).to_string(), text);
        }
        for text in ["linear", "quadratic"] {
            assert_eq!(text.parse::<Probing>().expect(text).to_string(), text);
        }
        assert!("0".parse::<Virtual>().is_err() && "half".parse::<Virtual>().is_err());
        let error = "cubic".parse::<Probing>().unwrap_err().to_string();
        assert_eq!(error, "'cubic' is not a probing; accepted are linear and quadratic");
    }

    #[test]
    fn a_spec_that_makes_no_ring_is_refused() {
        assert_eq!(Spec::default().validate(), Ok(()));
        assert_eq!(Spec::assignment().validate(), Ok(()));
        let with = |slots, placement| Spec { slots, placement, ..Spec::default() };
        assert_eq!(with(0, Virtual::Full).validate(), Err(SpecError::Slots(0)));
        assert_eq!(with(MOST_SLOTS + 1, Virtual::Full).validate(), Err(SpecError::Slots(MOST_SLOTS + 1)));
        for count in [0, 513] {
            let refused = Err(SpecError::Virtual { count, slots: 512 });
            assert_eq!(with(512, Virtual::Count(count)).validate(), refused);
        }
    }

    #[test]
    fn the_capacity_is_in_members_of_weight_one() {
        assert_eq!(Spec::assignment().capacity(), 56);
        assert_eq!(Spec::default().capacity(), 65_535);
        assert_eq!(Spec { slots: 5, ..Spec::default() }.capacity(), 5);
    }
}
