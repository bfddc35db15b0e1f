//! `ringkeeper socket-group`: which group may use the engine's socket. `make` runs it in the image, with the socket
//! mounted, because only there are the numbers those that the balancer will see, and hands the answer to `group_add`.

use std::{
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Print the number of the group that owns the engine's socket.
#[derive(Debug, clap::Args)]
pub struct SocketGroup {
    /// The socket.
    #[arg(default_value = "/var/run/docker.sock")]
    pub path: PathBuf,
}

/// Why a socket's group is not known.
#[derive(Debug, thiserror::Error)]
pub enum SocketGroupError {
    /// It can't be looked at; mostly there is none.
    #[error("cannot look at the socket {path}: {source}")]
    Unseen {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is there: Docker makes a directory of a mount whose source is missing.
    #[error("{0} is not a socket")]
    NotASocket(PathBuf),
}

/// The number of the group that owns the socket at `path`, links followed.
pub fn socket_group(path: &Path) -> Result<u32, SocketGroupError> {
    let metadata =
        std::fs::metadata(path).map_err(|source| SocketGroupError::Unseen { path: path.into(), source })?;
    if metadata.file_type().is_socket() {
        Ok(metadata.gid())
    } else {
        Err(SocketGroupError::NotASocket(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sockets_group_is_that_of_its_file() {
        let directory = std::env::temp_dir().join(format!("ringkeeper-socket-group-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a fresh directory");
        let path = directory.join("socket");
        let socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let group = socket_group(&path);
        let elsewhere = socket_group(&directory.join("missing"));
        let directory_itself = socket_group(&directory);
        drop(socket);
        std::fs::remove_dir_all(&directory).expect("ours");

        assert_eq!(group.expect("its group"), rustix::process::getegid().as_raw());
        assert!(matches!(elsewhere, Err(SocketGroupError::Unseen { .. })));
        assert!(matches!(directory_itself, Err(SocketGroupError::NotASocket(_))));
    }
}
