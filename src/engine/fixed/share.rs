//! From the weights of DNS to those of the ring. Pure.

/// The heaviest of a ring.
const HEAVIEST: u32 = 100;

/// The same shares in the smallest whole numbers up to 100. One without weight, which is to be used last of all
/// (RFC 2782), gets the least.
pub(super) fn shares(weights: &[u16]) -> Vec<u8> {
    let common = weights.iter().fold(0, |common, weight| divisor(common, *weight)).max(1);
    let reduced = |weight: &u16| u32::from(weight / common);
    let heaviest = weights.iter().map(reduced).max().unwrap_or_default().max(1);
    let share = |weight: u32| match heaviest > HEAVIEST {
        true => (weight * HEAVIEST + heaviest / 2) / heaviest,
        false => weight,
    };
    let share = |weight| u8::try_from(share(reduced(weight)).max(1)).expect("a hundred at the most");
    weights.iter().map(share).collect()
}

/// The greatest number that divides both.
fn divisor(one: u16, other: u16) -> u16 {
    if other == 0 { one } else { divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_what_they_are_as_far_as_a_ring_can_hold_them() {
        assert_eq!(shares(&[0, 0]), [1, 1]);
        assert_eq!(shares(&[10, 10]), [1, 1]);
        assert_eq!(shares(&[10, 20, 0]), [1, 2, 1]);
        assert_eq!(shares(&[100, 1]), [100, 1]);
        assert_eq!(shares(&[65535, 1, 32768]), [100, 1, 50]);
        assert_eq!(shares(&[]), [0; 0]);
    }
}
