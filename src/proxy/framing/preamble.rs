//! The PROXY header, with which a proxy that passes on bytes begins a connection to say whose they are (HAProxy's
//! proxy-protocol.txt, versions 1 and 2).
//!
//! Which connections begin with one is known before: whoever is expected to send one and does not is refused, and from
//! nobody else is one taken. What version 2 says beside the addresses is passed over, its checksum too: TCP has one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::Refusal;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// Its length in bytes.
    pub len: usize,
    /// The client's address; none where the proxy speaks for itself, or does not know.
    pub source: Option<IpAddr>,
}

/// How version 1 begins.
const TEXT: &[u8] = b"PROXY ";
/// How version 2 begins.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its line end included.
const LONGEST_TEXT: usize = 107;
/// The part of version 2 that is always there.
const FIXED: usize = 16;
/// The most that may follow that part.
const MOST: usize = 4096;

impl Preamble {
    /// Reads the header at the beginning of `bytes`; `None` if it is not whole yet. What comes after it does not matter.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        match bytes.first() {
            Some(b'P') => text(bytes),
            Some(_) => binary(bytes),
            None => Ok(None),
        }
    }
}

/// Whether `bytes` begin so; `None` if they are too few to tell.
fn begins(bytes: &[u8], with: &[u8]) -> Result<Option<()>, Refusal> {
    let len = bytes.len().min(with.len());
    match bytes[..len] == with[..len] {
        true => Ok((len == with.len()).then_some(())),
        false => Err(Refusal::Preamble),
    }
}

fn text(bytes: &[u8]) -> Result<Option<Preamble>, Refusal> {
    let Some(()) = begins(bytes, TEXT)? else { return Ok(None) };
    let line = &bytes[..bytes.len().min(LONGEST_TEXT)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_TEXT { Ok(None) } else { Err(Refusal::Preamble) };
    };
    let words = std::str::from_utf8(&line[TEXT.len()..end]).map_err(|_| Refusal::Preamble)?;
    let source = match words.split_once(' ').unwrap_or((words, "")) {
        ("TCP4", rest) => Some(ends::<Ipv4Addr>(rest)?.into()),
        ("TCP6", rest) => Some(ends::<Ipv6Addr>(rest)?.into()),
        ("UNKNOWN", _) => None,
        _ => return Err(Refusal::Preamble),
    };
    Ok(Some(Preamble { len: end + 2, source: source.map(|it: IpAddr| it.to_canonical()) }))
}

/// The first of two addresses, which two ports follow.
fn ends<A: FromStr>(words: &str) -> Result<A, Refusal> {
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    let mut words = words.split(' ');
    let mut next = || words.next().ok_or(Refusal::Preamble);
    let [from, to, from_port, to_port] = [next()?, next()?, next()?, next()?];
    let is_good = to.parse::<A>().is_ok() && port(from_port) && port(to_port) && words.next().is_none();
    from.parse().ok().filter(|_| is_good).ok_or(Refusal::Preamble)
}

fn binary(bytes: &[u8]) -> Result<Option<Preamble>, Refusal> {
    let Some(()) = begins(bytes, BINARY)? else { return Ok(None) };
    let Some(fixed) = bytes.get(BINARY.len()..FIXED) else { return Ok(None) };
    let (command, family) = (fixed[0], fixed[1]);
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if length > MOST {
        return Err(Refusal::Preamble);
    }
    let len = FIXED + length;
    let Some(block) = bytes.get(FIXED..len) else { return Ok(None) };
    let source = match command {
        0x20 => None, // the proxy speaks for itself
        0x21 => source(family, block)?,
        _ => return Err(Refusal::Preamble),
    };
    Ok(Some(Preamble { len, source }))
}

/// The client's address, by family and transport; of what is not TCP there is none that means anything here.
fn source(family: u8, block: &[u8]) -> Result<Option<IpAddr>, Refusal> {
    let ports = 2 * size_of::<u16>();
    let address: Option<IpAddr> = match family {
        0x11 if block.len() >= 2 * 4 + ports => block.first_chunk::<4>().map(|it| (*it).into()),
        0x21 if block.len() >= 2 * 16 + ports => block.first_chunk::<16>().map(|it| (*it).into()),
        0x11 | 0x21 => return Err(Refusal::Preamble),
        _ if family >> 4 <= 3 && family & 0xf <= 2 => None,
        _ => return Err(Refusal::Preamble),
    };
    Ok(address.map(|address| address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    /// A header of version 2.
    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [BINARY, &[command, family], &length, block].concat()
    }

    fn v4() -> Vec<u8> {
        v2(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80])
    }

    fn v6() -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
        v2(0x21, 0x21, &[&source.octets()[..], &[0; 16], &[0x12, 0x34, 0, 80], &[4, 0, 1, 9]].concat())
    }

    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        vec![
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n".to_vec(), Some("192.0.2.7")),
            (b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n".to_vec(), Some("2001:db8::7")),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n".to_vec(), Some("192.0.2.7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff:f...f:ffff whatever\r\n".to_vec(), None),
            (v4(), Some("192.0.2.7")),
            (v6(), Some("2001:db8::7")),
            (v2(0x20, 0, &[]), None),
            (v2(0x20, 0xff, &[1, 2, 3]), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x12, &[1; 12]), None),
            (v2(0x21, 0x31, &[1; 216]), None),
            (v2(0x20, 0, &[0; MOST]), None),
        ]
    }

    fn bad() -> Vec<Vec<u8>> {
        let texts = [
            "GET / HTTP/1.1\r\n",
            "PROXX TCP4",
            "PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n",
            "PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.7  10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n\r\n",
            "PROXY tcp4 192.0.2.7 10.0.0.1 1 2\r\n",
            "PROXY \r\n",
            "PROXY TCP4 \u{fc}\r\n",
            "\r\n\r\n\0\r\nQUIT\r",
        ];
        let mut bad: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        bad.push([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat());
        bad.push(v2(0x11, 0x11, &[0; 12])); // version 1 in the clothes of 2
        bad.push(v2(0x22, 0x11, &[0; 12]));
        bad.push(v2(0x21, 0x11, &[0; 11]));
        bad.push(v2(0x21, 0x21, &[0; 35]));
        bad.push(v2(0x21, 0x41, &[0; 12]));
        bad.push(v2(0x21, 0x13, &[0; 12]));
        bad.push(v2(0x21, 0x11, &[0; MOST + 1])[..FIXED].to_vec());
        bad
    }

    /// What bytes come to that arrive one after the other.
    fn in_order(bytes: &[u8]) -> Result<Option<Preamble>, Refusal> {
        (0..=bytes.len())
            .map(|end| Preamble::parse(&bytes[..end]))
            .find(|it| *it != Ok(None))
            .unwrap_or(Ok(None))
    }

    #[test]
    fn a_header_tells_whose_the_connection_is_however_it_comes() {
        for (header, source) in good() {
            let expected = Preamble { len: header.len(), source: source.map(|it| it.parse().unwrap()) };
            let text = String::from_utf8_lossy(&header).into_owned();
            assert_eq!(in_order(&header), Ok(Some(expected)), "{text}");
            let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(Preamble::parse(&followed), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused_however_it_comes() {
        for bytes in bad() {
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(Preamble::parse(&bytes), Err(Refusal::Preamble), "{text}");
            assert_eq!(in_order(&bytes), Err(Refusal::Preamble), "{text}");
        }
    }

    /// A header, good or bad, of which some bytes are changed; or any bytes.
    fn drawn(rng: &mut StdRng, headers: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = headers[rng.random_range(0..headers.len())].clone();
        bytes.truncate(300);
        for _ in 0..rng.random_range(0..4) {
            let (at, byte) =
                (rng.random_range(0..bytes.len()), b"\r\n \0PTC46:.09\x20\x21\xff"[rng.random_range(0..16)]);
            bytes[at] = byte;
        }
        if rng.random_range(0..16) == 0 {
            rng.fill_bytes(&mut bytes);
        }
        bytes
    }

    /// However they are split, the same bytes are the same header: nothing that was said before they were all there is
    /// taken back, and nothing is read beyond the header.
    fn check(bytes: &[u8], split: usize) {
        let (part, whole) = (Preamble::parse(&bytes[..split]), Preamble::parse(bytes));
        if part != Ok(None) {
            assert_eq!(part, whole, "{bytes:?} at {split}");
        }
        if let Ok(Some(preamble)) = whole {
            assert!(preamble.len <= bytes.len(), "{bytes:?}");
            assert_eq!(Preamble::parse(&bytes[..preamble.len]), whole, "{bytes:?}");
            assert_eq!(Preamble::parse(&bytes[..preamble.len - 1]), Ok(None), "{bytes:?}");
        }
    }

    fn headers() -> Vec<Vec<u8>> {
        good().into_iter().map(|(header, _)| header).chain(bad()).collect()
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_any_bytes_are_read_or_refused(seed: u64, noise: Vec<u8>) {
            let mut rng = StdRng::seed_from_u64(seed);
            let bytes = drawn(&mut rng, &headers());
            (0..=bytes.len()).for_each(|split| check(&bytes, split));
            check(&noise, noise.len() / 2);
        }
    }

    #[test]
    #[ignore = "ten million headers: make test-long"]
    fn ten_million_headers_are_read_the_same_in_pieces() {
        let (mut rng, headers) = (StdRng::seed_from_u64(7), headers());
        for _ in 0..10_000_000 {
            let bytes = drawn(&mut rng, &headers);
            check(&bytes, rng.random_range(0..=bytes.len()));
        }
    }
}
