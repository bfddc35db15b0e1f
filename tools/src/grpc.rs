//! How gRPC frames its messages within HTTP/2's bodies (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::{BufMut, Bytes, BytesMut};

/// The content type of gRPC's requests and answers.
pub const CONTENT_TYPE: &str = "application/grpc";

/// The field, mostly a trailer, in which an answer says what came of it: 0 if all is well.
pub const STATUS: &str = "grpc-status";

/// A message as it goes into a body, not compressed.
pub fn message(bytes: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + bytes.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(bytes.len()).expect("a message below 4 GiB"));
    framed.put_slice(bytes);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_before_it() {
        assert_eq!(&message(b"hello")[..], b"\0\0\0\0\x05hello");
    }
}
