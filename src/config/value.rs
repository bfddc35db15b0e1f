//! Limits as people write them. Each can be `none`.

use std::str::FromStr;

/// A number of bytes, such as `64m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub Option<i64>);

/// A number of processors, such as `0.5`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpus(pub Option<f64>);

/// A number of processes and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pids(pub Option<i64>);

/// The most that there may be of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most(pub Option<usize>);

/// A number of bytes that has to be one, such as `64k`; it may be 0.
pub fn size(text: &str) -> Result<usize, &'static str> {
    let wrong = "a size is a number with b, k, m or g behind it";
    match text {
        "0" => Ok(0),
        _ => text.parse().ok().and_then(|Bytes(size)| usize::try_from(size?).ok()).ok_or(wrong),
    }
}

impl FromStr for Bytes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Bytes(None));
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor: i64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1 << 10,
            "m" | "mb" => 1 << 20,
            "g" | "gb" => 1 << 30,
            _ => return Err("a size is a number with b, k, m or g behind it, or 'none'"),
        };
        let bytes =
            digits.parse().ok().and_then(|number: i64| number.checked_mul(factor)).filter(|bytes| *bytes > 0);
        bytes
            .map(|bytes| Bytes(Some(bytes)))
            .ok_or("a size is a number with b, k, m or g behind it, or 'none'")
    }
}

impl FromStr for Cpus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |cpus: &f64| cpus.is_finite() && *cpus >= 0.01;
        limit(text, fits, "a number from 0.01, or 'none'").map(Cpus)
    }
}

impl FromStr for Pids {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        limit(text, |pids: &i64| *pids >= 1, "a whole number from 1, or 'none'").map(Pids)
    }
}

impl Most {
    /// The number, where `none` is more than there can be.
    pub fn get(self) -> usize {
        self.0.unwrap_or(usize::MAX)
    }
}

impl FromStr for Most {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        limit(text, |most: &usize| *most >= 1, "a whole number from 1, or 'none'").map(Most)
    }
}

/// A number that fits, or `none`; else `wanted`, which says what does.
fn limit<T: FromStr>(
    text: &str,
    fits: impl FnOnce(&T) -> bool,
    wanted: &'static str,
) -> Result<Option<T>, &'static str> {
    match text {
        "none" => Ok(None),
        _ => text.parse::<T>().ok().filter(fits).map(Some).ok_or(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_can_be_none() {
        let sizes = [("1", 1), ("64m", 64 << 20), ("2GB", 2 << 30), ("8k", 8 << 10)];
        for (text, bytes) in sizes {
            assert_eq!(text.parse(), Ok(Bytes(Some(bytes))), "{text}");
        }
        assert_eq!("none".parse(), Ok(Bytes(None)));
        for wrong in ["", "m", "-1m", "0", "5x", "99999999999g", "1.5g"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_are_positive_or_none() {
        assert_eq!("0.5".parse(), Ok(Cpus(Some(0.5))));
        assert_eq!("none".parse(), Ok(Pids(None)));
        assert_eq!(["7", "none"].map(|text| text.parse::<Most>().map(Most::get)), [Ok(7), Ok(usize::MAX)]);
        for wrong in ["", "0", "-1", "nan", "inf", "x"] {
            assert!(wrong.parse::<Cpus>().is_err(), "{wrong}");
            assert!(wrong.parse::<Pids>().is_err(), "{wrong}");
            assert!(wrong.parse::<Most>().is_err(), "{wrong}");
        }
    }
}
