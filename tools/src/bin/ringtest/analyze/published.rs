//! The numbers that the assignment's group published, against the exact shares of the ring. Pure.

use ringkeeper::ring::{Hash, Ring, RingError, Spec};
use ringkeeper_tools::survey;
use serde::Serialize;

/// The random requests of each published row.
pub const REQUESTS: f64 = 10_000.0;

/// How many standard deviations a published number may be off.
pub const TOLERANCE: f64 = 4.0;

/// Hash, and the requests of each server for 2, 3, 4, 5 and 6 servers.
const TABLE: [(&str, [&[u64]; 5]); 3] = [
    (
        "quadratic",
        [
            &[9531, 469],
            &[8341, 468, 1191],
            &[8000, 447, 1137, 416],
            &[7623, 496, 888, 438, 555],
            &[7311, 448, 924, 362, 554, 401],
        ],
    ),
    (
        "prime",
        [
            &[4566, 5434],
            &[2522, 4354, 3124],
            &[2164, 3662, 2212, 1962],
            &[1461, 2645, 1963, 1705, 2226],
            &[1177, 1823, 1259, 1678, 1927, 2136],
        ],
    ),
    (
        "sha256",
        [
            &[3315, 6685],
            &[2646, 3235, 4119],
            &[1293, 3170, 2197, 3340],
            &[1222, 2181, 2180, 2675, 1742],
            &[1157, 2150, 2009, 2655, 1570, 459],
        ],
    ),
];

/// One number of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    pub hash: &'static str,
    pub servers: u16,
    pub server: u16,
    pub published: u64,
    /// What 10,000 requests give this server on average, by the ring.
    pub exact: f64,
    /// The standard deviation of a count of 10,000 random requests.
    pub deviation: f64,
}

impl Cell {
    /// How many standard deviations the published number is off.
    pub fn off(&self) -> f64 {
        (self.published as f64 - self.exact) / self.deviation
    }

    /// Whether chance alone explains that.
    pub fn agrees(&self) -> bool {
        self.off().abs() <= TOLERANCE
    }
}

/// Every number of the table.
pub fn check() -> Result<Vec<Cell>, RingError> {
    let mut cells = Vec::new();
    for (hash, rows) in TABLE {
        let spec = Spec { hash: hash.parse().unwrap_or(Hash::QUADRATIC), ..Spec::assignment() };
        let keys = every_id(&spec)?;
        let all = keys.iter().sum::<u64>() as f64;
        for (servers, row) in (2..).zip(rows) {
            let counts = survey::shares(servers, &survey::owners(1..=servers, &spec)?, &keys);
            cells.extend((1..).zip(row.iter().zip(counts)).map(|(server, (published, count))| {
                let share = count as f64 / all;
                let deviation = (REQUESTS * share * (1.0 - share)).sqrt();
                Cell { hash, servers, server, published: *published, exact: REQUESTS * share, deviation }
            }));
        }
    }
    Ok(cells)
}

/// How many of all six-digit ids fall on each slot.
fn every_id(spec: &Spec) -> Result<Vec<u64>, RingError> {
    let nobody = Ring::build(&[], spec)?;
    let mut keys = vec![0; spec.slots as usize];
    for id in 100_000..=999_999 {
        keys[nobody.slot(id) as usize] += 1;
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_number_is_within_four_standard_deviations_of_the_exact_share() {
        let cells = check().expect("rings");
        assert_eq!(cells.len(), 3 * (2 + 3 + 4 + 5 + 6));
        for cell in cells {
            assert!(cell.agrees(), "{cell:?} is off by {:.2}", cell.off());
        }
    }

    #[test]
    fn each_published_row_is_of_ten_thousand_requests() {
        for (hash, rows) in TABLE {
            for row in rows {
                let sum: u64 = row.iter().sum();
                assert!((9_990..=10_010).contains(&sum), "{hash} {row:?}: {sum}");
            }
        }
    }
}
