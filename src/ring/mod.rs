//! The hash ring.
