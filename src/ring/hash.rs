//! The hash functions of the ring: H(i) of a request's id and Φ(i, j) of virtual server j of server i.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::name::Number;

/// A pair of hash functions, H for requests and Φ for virtual servers.
///
/// Its text is `quadratic`, `prime`, `sha256`, `xxh3`, or `polynomial:a,b,c/d,e,f,g`. `quadratic` and `prime` are
/// polynomials with a name: whoever spells out their coefficients gets the same value, and the name when it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// Both functions are polynomials.
    Polynomial(Polynomial),
    /// SHA-256 of the values of [`Hash::QUADRATIC`], each written as the shortest big-endian byte string that holds
    /// it; the digest is one big-endian integer, taken modulo the number of slots.
    Sha256,
    /// XXH3-64 with seed 0. H is of the id in 8 little-endian bytes; Φ is of the server's number and then j, each in
    /// 4 little-endian bytes. The hash is one integer, taken modulo the number of slots.
    Xxh3,
}

/// H(i) = a·i² + b·i + c and Φ(i, j) = d·i² + e·j² + f·j + g, both modulo the number of slots and exact for every
/// i and j. Larger coefficients would add nothing, since a coefficient counts only modulo the number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polynomial {
    /// a, b and c.
    pub request: [u32; 3],
    /// d, e, f and g.
    pub server: [u32; 4],
}

/// Why a text is not a [`Hash`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a hash; accepted are quadratic, prime, sha256, xxh3 and polynomial:a,b,c/d,e,f,g with whole numbers \
     below 2^32, for H(i) = a i² + b i + c and Φ(i, j) = d i² + e j² + f j + g"
)]
pub struct HashError(String);

impl Hash {
    /// The pair that the assignment gives: i² + 2i + 17 and i² + j² + 2j + 25.
    pub const QUADRATIC: Hash = Hash::Polynomial(Polynomial { request: [1, 2, 17], server: [1, 1, 2, 25] });

    /// A pair with prime coefficients: 1427i² + 2503i + 2003 and 1249i² + 2287j² + 1663j + 2287.
    pub const PRIME: Hash =
        Hash::Polynomial(Polynomial { request: [1427, 2503, 2003], server: [1249, 2287, 1663, 2287] });

    /// H of a request's id modulo `slots`.
    pub(super) fn request(&self, id: u64, slots: u32) -> u32 {
        match self {
            Hash::Polynomial(polynomial) => polynomial.request(id, slots),
            Hash::Sha256 => {
                let i = u128::from(id);
                sha256((i * i + 2 * i).wrapping_add(17), slots) // wraps for the id 2⁶⁴ − 1 alone
            }
            Hash::Xxh3 => modulo(xxh3(id), slots),
        }
    }

    /// Φ of virtual server `j` of the server with this number, modulo `slots`.
    pub(super) fn server(&self, number: Number, j: u32, slots: u32) -> u32 {
        match self {
            Hash::Polynomial(polynomial) => polynomial.server(number, j, slots),
            Hash::Sha256 => {
                let (i, j) = (u128::from(number.get()), u128::from(j));
                sha256(i * i + j * j + 2 * j + 25, slots)
            }
            Hash::Xxh3 => {
                let pair = u64::from(number.get()) | u64::from(j) << 32;
                modulo(xxh3(pair), slots)
            }
        }
    }
}

impl Polynomial {
    /// By Horner's rule on i modulo `slots`. No step overflows: i is below 2³² and so is every coefficient.
    fn request(&self, id: u64, slots: u32) -> u32 {
        let [a, b, c] = self.request.map(u64::from);
        let i = u64::from(modulo(id, slots));
        let inner = u64::from(modulo(a * i + b, slots));
        modulo(inner * i + c, slots)
    }

    fn server(&self, number: Number, j: u32, slots: u32) -> u32 {
        let [d, e, f, g] = self.server.map(u128::from);
        let (i, j) = (u128::from(number.get()), u128::from(j));
        ((d * i * i + e * j * j + f * j + g) % u128::from(slots)) as u32
    }
}

fn modulo(value: u64, slots: u32) -> u32 {
    (value % u64::from(slots)) as u32
}

/// XXH3-64 with seed 0 of a number in 8 little-endian bytes.
///
/// That function's case of 4 to 8 bytes (xxHash, doc/xxhash_spec.md), written out since every request waits for it: the
/// general one has to find its case first.
#[inline]
fn xxh3(number: u64) -> u64 {
    /// The algorithm's secret, of which it combines two words.
    const SECRET: [u64; 2] = [0x1cad_21f7_2c81_017c, 0xdb97_9083_e96d_d4de];
    const LENGTH: u64 = 8;
    const PRIME: u64 = 0x9fb2_1c65_1e98_df25;
    let word = number.rotate_left(32) ^ SECRET[0] ^ SECRET[1];
    let mixed = (word ^ word.rotate_left(49) ^ word.rotate_left(24)).wrapping_mul(PRIME);
    let mixed = (mixed ^ (mixed >> 35).wrapping_add(LENGTH)).wrapping_mul(PRIME);
    mixed ^ mixed >> 28
}

fn sha256(value: u128, slots: u32) -> u32 {
    let bytes = value.to_be_bytes();
    let shortest = &bytes[value.leading_zeros() as usize / 8..];
    let digest = Sha256::digest(shortest);
    let words =
        digest.chunks_exact(4).map(|word| word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    words.fold(0, |rest, word| modulo(u64::from(rest) << 32 | word, slots))
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        match text {
            "quadratic" => Ok(Hash::QUADRATIC),
            "prime" => Ok(Hash::PRIME),
            "sha256" => Ok(Hash::Sha256),
            "xxh3" => Ok(Hash::Xxh3),
            _ => polynomial(text).map(Hash::Polynomial).ok_or_else(|| HashError(text.into())),
        }
    }
}

fn polynomial(text: &str) -> Option<Polynomial> {
    let (request, server) = text.strip_prefix("polynomial:")?.split_once('/')?;
    Some(Polynomial { request: coefficients(request)?, server: coefficients(server)? })
}

fn coefficients<const COUNT: usize>(text: &str) -> Option<[u32; COUNT]> {
    let parsed: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    parsed.ok()?.try_into().ok()
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Hash::QUADRATIC => f.write_str("quadratic"),
            Hash::PRIME => f.write_str("prime"),
            Hash::Sha256 => f.write_str("sha256"),
            Hash::Xxh3 => f.write_str("xxh3"),
            Hash::Polynomial(Polynomial { request: [a, b, c], server: [d, e, f4, g] }) => {
                write!(f, "polynomial:{a},{b},{c}/{d},{e},{f4},{g}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_hashed_as_xxh3_64_hashes_its_eight_bytes(number: u64) {
            prop_assert_eq!(xxh3(number), xxh3_64(&number.to_le_bytes()));
        }
    }

    #[test]
    fn a_hash_shows_the_text_it_was_read_from() {
        for text in ["quadratic", "prime", "sha256", "xxh3", "polynomial:1,2,3/4,5,6,4294967295"] {
            assert_eq!(text.parse::<Hash>().expect(text).to_string(), text);
        }
        assert_eq!("polynomial:1,2,17/1,1,2,25".parse(), Ok(Hash::QUADRATIC));
    }

    #[test]
    fn a_text_that_is_no_hash_is_answered_with_what_is_accepted() {
        for bad in ["", "md5", "polynomial", "polynomial:1,2/3,4,5,6", "polynomial:1,2,3/4,5,6,-7", "XXH3"] {
            let error = bad.parse::<Hash>().unwrap_err().to_string();
            assert!(error.contains("quadratic, prime, sha256, xxh3 and polynomial:a,b,c/d,e,f,g"), "{error}");
        }
    }

    #[test]
    fn the_shortest_byte_string_of_a_value_is_digested() {
        let of_one_byte = Sha256::digest([0x11]);
        let expected = u32::from_be_bytes(*of_one_byte.last_chunk().expect("32 bytes")) % 512;
        assert_eq!(Hash::Sha256.request(0, 512), expected, "H(0) is 17");
    }

    #[test]
    fn no_id_and_no_number_overflows() {
        let largest = Number::new(u16::MAX).expect("not 0");
        let steep = Hash::Polynomial(Polynomial { request: [u32::MAX; 3], server: [u32::MAX; 4] });
        for hash in [Hash::QUADRATIC, Hash::PRIME, steep, Hash::Sha256, Hash::Xxh3] {
            for slots in [1, 2, 512, 1 << 24] {
                assert!(hash.request(u64::MAX, slots) < slots);
                assert!(hash.server(largest, u32::MAX, slots) < slots);
            }
        }
    }
}
