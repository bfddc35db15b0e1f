//! The way to the engine.

use std::{path::PathBuf, time::Duration};

use bollard::{Docker, errors::Error};
use tokio::time::timeout;

use super::{answer::chain, tls};

/// Where an engine is without `DOCKER_HOST`.
const LOCAL: &str = "unix:///var/run/docker.sock";

/// Why there is no Docker engine to work with.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach a Docker engine at {place}: {why}\n{advice}")]
pub struct ConnectError {
    place: String,
    why: String,
    advice: String,
    /// Whether the engine may only be late: not there, or not answering.
    pub may_come: bool,
}

/// Where the engine is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    host: String,
    /// The folder of the certificates, where there is to be TLS.
    certificates: Option<PathBuf>,
}

const VOUCHES: &str = "The engine's certificate is not one that ca.pem in FOLDER vouches for: put the certificate there of \
                       who signed the engine's, or name another folder with DOCKER_CERT_PATH.";

const WANTS_TLS: &str = "The engine wants TLS: set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with ca.pem, \
                         cert.pem and key.pem.";

/// What the words in an error mean, where it takes more than patience to mend it.
const ADVICE: [(&str, &str); 11] = [
    (
        "ermission denied",
        "The socket is there, but this user may not use it. In compose, give the socket's group with `group_add` \
         (`make` does it; by hand: DOCKER_GID=$(stat -c %g /var/run/docker.sock) docker-compose up). On the host, join the \
         group `docker`.",
    ),
    (
        "fatal alert",
        "The engine does not accept cert.pem in FOLDER, or there is none: put cert.pem and key.pem there, signed by the \
         authority that the engine knows (its --tlscacert).",
    ),
    ("UnknownIssuer", VOUCHES),
    ("BadSignature", VOUCHES), // of another authority of the same name
    (
        "not valid for name",
        "The engine's certificate is not made for the host in DOCKER_HOST: use a name or an address that is in it, or make \
         one that has this among its subjectAltNames.",
    ),
    ("xpired", "The engine's certificate is too old, or this machine's clock is wrong: renew it."),
    ("not valid yet", "The engine's certificate is of the future: set the clocks."),
    (
        "corrupt message",
        "What listens there speaks no TLS: leave DOCKER_TLS_VERIFY empty, or use the engine's port with TLS (2376).",
    ),
    ("HTTP request to an HTTPS server", WANTS_TLS),
    ("invalid HTTP version parsed", WANTS_TLS), // a TLS alert, read as an answer
    (
        "cannot use the",
        "With DOCKER_TLS_VERIFY, ca.pem, cert.pem and key.pem are read from DOCKER_CERT_PATH, as Docker's own client does: \
         put them into FOLDER, or name another.",
    ),
];

impl Place {
    /// What `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` say, as Docker's own client reads them: an empty
    /// variable is one that is not set.
    pub(super) fn of_environment() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = set("DOCKER_HOST").unwrap_or_else(|| LOCAL.to_owned());
        let tls =
            set("DOCKER_TLS_VERIFY").is_some() && host.starts_with("tcp://") || host.starts_with("https://");
        Place { host, certificates: tls.then(tls::folder) }
    }

    fn client(&self) -> Result<Docker, ConnectError> {
        match &self.certificates {
            Some(folder) => {
                let (_, host) = self.host.split_once("://").unwrap_or_default();
                tls::client(host, folder).map_err(|why| self.error(why))
            }
            None => Docker::connect_with_host(&self.host).map_err(|error| self.error(chain(&error))),
        }
    }

    fn error(&self, why: String) -> ConnectError {
        let place = self.to_string();
        let known = ADVICE.iter().find(|(words, _)| why.contains(words));
        let advice = match known {
            Some((_, advice)) => advice,
            None if self.host.starts_with("unix://") => {
                "Is the Docker engine running, and its socket mounted here? Without one, use --engine process."
            }
            None if self.certificates.is_some() => {
                "Is the Docker engine running, and does it listen there with TLS (DOCKER_HOST)? Where it breaks the \
                 connection off, it may not accept cert.pem in FOLDER."
            }
            None => {
                "Is the Docker engine running, and does it listen there (DOCKER_HOST)? Without one, use --engine process."
            }
        };
        let folder = self.certificates.as_ref().map(|folder| folder.display().to_string());
        let advice = advice.replace("FOLDER", &folder.unwrap_or_default());
        ConnectError { place, why, advice, may_come: known.is_none() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.certificates {
            Some(folder) => write!(f, "{} (TLS, certificates in {})", self.host, folder.display()),
            None => f.write_str(&self.host),
        }
    }
}

/// A client for the engine that answers, at the API version that both speak: where `DOCKER_HOST` says, else at the local
/// socket.
pub async fn connect() -> Result<Docker, ConnectError> {
    let place = Place::of_environment();
    let docker = place.client()?;
    let (why, advice) = ("it does not answer in time".to_owned(), "Is it overloaded or frozen?".to_owned());
    let silent = ConnectError { place: place.to_string(), why, advice, may_come: true };
    timeout(Duration::from_secs(5), docker.negotiate_version())
        .await
        .map_err(|_| silent)?
        .map_err(|error: Error| place.error(chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_time_does_not_mend_is_not_waited_for() {
        let place = Place { host: "tcp://engine:2376".into(), certificates: Some("/certs".into()) };
        let refused = place.error("Connection refused".into());
        assert!(refused.may_come && refused.to_string().contains("DOCKER_HOST"));
        let unknown = place.error("invalid peer certificate: UnknownIssuer".into());
        assert!(!unknown.may_come && unknown.to_string().contains("ca.pem in /certs"));
    }
}
