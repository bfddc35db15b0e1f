//! What this process may use of the system, and how its want of that is told from somebody else's failure.

use std::io;

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Takes as many file descriptors as the system lets us have: each request in flight needs two.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files stays as it is");
    }
}

/// Whether an error to connect is for want of something of our own (a descriptor, a port, memory), which says nothing
/// about who was to be connected to.
pub fn is_own_want(error: &io::Error) -> bool {
    let own = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    own.iter().any(|own| error.raw_os_error() == Some(own.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_want_is_told_from_a_refusal() {
        for (errno, own) in [(Errno::MFILE, true), (Errno::ADDRNOTAVAIL, true), (Errno::CONNREFUSED, false)] {
            assert_eq!(is_own_want(&io::Error::from_raw_os_error(errno.raw_os_error())), own, "{errno}");
        }
    }
}
