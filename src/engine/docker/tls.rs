//! The way to an engine over TCP with TLS, as Docker's own client has it: each side shows the other a certificate.

use std::{
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use http::{HeaderValue, Response, header::HOST};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin, in seconds, as everywhere in the client.
const ANSWER_SECONDS: u64 = 120;
/// The port of engines with TLS.
const PORT: u16 = 2376;

/// Where an engine is, and by which certificates the two know each other.
struct Peer {
    address: (String, u16),
    name: ServerName<'static>,
    connector: TlsConnector,
}

/// A client of the engine at `HOST[:PORT]`, whose certificate `ca.pem` in this folder vouches for; `cert.pem` and `key.pem`
/// are shown to it where they are there. All three are read once. Connects to nothing yet.
pub(super) fn client(host: &str, folder: &Path) -> Result<Docker, String> {
    let address =
        address(host).ok_or_else(|| format!("DOCKER_HOST has no host and port in 'tcp://{host}'"))?;
    let name =
        ServerName::try_from(address.0.clone()).map_err(|error| format!("'{}': {error}", address.0))?;
    let connector = TlsConnector::from(Arc::new(config(folder)?));
    let shown = format!("https://{host}");
    let peer = Arc::new(Peer { address, name, connector });
    let transport = move |request| {
        let peer = peer.clone();
        async move { peer.send(request).await }
    };
    Docker::connect_with_custom_transport(transport, Some(shown), ANSWER_SECONDS, API_DEFAULT_VERSION)
        .map_err(|error| error.to_string())
}

/// Where Docker's client has its certificates.
pub(super) fn folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || set("HOME").unwrap_or_default().join(".docker");
    set("DOCKER_CERT_PATH").or_else(|| set("DOCKER_CONFIG")).unwrap_or_else(home)
}

fn address(host: &str) -> Option<(String, u16)> {
    let host = host.trim_end_matches('/');
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()?),
        _ => (host, PORT),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    (!name.is_empty()).then(|| (name.to_owned(), port))
}

fn config(folder: &Path) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&folder.join("ca.pem"))? {
        roots.add(certificate).map_err(|error| format!("{}/ca.pem: {error}", folder.display()))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if !certificate.exists() && !key.exists() {
        return Ok(builder.with_no_client_auth());
    }
    let read = PrivateKeyDer::from_pem_file(&key);
    let read = read.map_err(|error| format!("cannot use the key {}: {error}", key.display()))?;
    builder
        .with_client_auth_cert(certificates(&certificate)?, read)
        .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable =
        |error: &dyn std::fmt::Display| format!("cannot use the certificate {}: {error}", path.display());
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unusable(&error))?;
    if certificates.is_empty() { Err(unusable(&"there is none in it")) } else { Ok(certificates) }
}

impl Peer {
    /// The answer to one request on a connection of its own.
    async fn send(&self, mut request: BollardRequest) -> Result<Response<Incoming>, bollard::errors::Error> {
        let opened = timeout(CONNECT_TIMEOUT, self.open()).await;
        let stream = opened.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection); // ends when the answer's body is read or dropped
        let host = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        if let Some(host) = host {
            request.headers_mut().insert(HOST, host);
        }
        if let Some(path) = request.uri().path_and_query() {
            *request.uri_mut() = path.clone().into();
        }
        match sender.send_request(request).await {
            Ok(answer) => Ok(answer),
            // the engine closed the connection before it saw the request; why, the connection knows
            Err(error) if error.is_canceled() => match connection.await {
                Ok(Err(cause)) => Err(cause.into()),
                _ => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn open(&self) -> Result<TlsStream<TcpStream>, Error> {
        let (host, port) = (self.address.0.as_str(), self.address.1);
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        self.connector.connect(self.name.clone(), stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_port_may_be_left_out() {
        for (host, name, port) in [
            ("engine.example.org", "engine.example.org", 2376),
            ("engine:2375/", "engine", 2375),
            ("10.0.0.1:99", "10.0.0.1", 99),
            ("[::1]:99", "::1", 99),
            ("[::1]", "::1", 2376),
        ] {
            assert_eq!(address(host), Some((name.to_owned(), port)), "{host}");
        }
        for wrong in ["", ":99", "engine:x"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let told = client("127.0.0.1:1", Path::new("/no/such")).unwrap_err();
        assert!(told.contains("/no/such/ca.pem"), "{told}");
    }
}
