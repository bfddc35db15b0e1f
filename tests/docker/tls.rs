//! The engine over TCP with TLS: in front of it stands a server that wants to see a certificate, and passes on what comes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};

use crate::{
    beside_others,
    support::{
        Deployment, PATIENCE,
        docker::{container_of, docker, socket},
        stderr,
    },
};

/// One that signs certificates.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Authority { pem, der, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![purpose];
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }
}

/// The folder of Docker's client, which goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    /// With what vouches for the engine, and a certificate of its own from this authority.
    fn new(name: &str, engine: &Authority, own: Option<&Authority>) -> Self {
        let folder = std::env::temp_dir().join(format!("rktest-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a new folder");
        let write = |file: &str, text: String| std::fs::write(folder.join(file), text).expect("a new file");
        write("ca.pem", engine.pem.clone());
        if let Some(authority) = own {
            let (certificate, key) = authority.sign("ringkeeper", ExtendedKeyUsagePurpose::ClientAuth);
            write("cert.pem", certificate.pem());
            write("key.pem", key.serialize_pem());
        }
        Folder(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

/// Stands in front of the engine's socket until the runtime ends. Lets those in whom the authority has signed.
async fn guard(authority: &Authority) -> SocketAddr {
    let (certificate, key) = authority.sign("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
    let mut known = RootCertStore::empty();
    known.add(authority.der.clone()).expect("a certificate");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(known.into(), provider.clone()).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut engine = UnixStream::connect(socket()).await.expect("the engine's socket");
                let _either_may_break_off = copy_bidirectional(&mut stream, &mut engine).await;
            });
        }
    });
    address
}

fn environment(address: SocketAddr, folder: &Path) -> [(&'static str, String); 3] {
    [
        ("DOCKER_HOST", format!("tcp://{address}")),
        ("DOCKER_TLS_VERIFY", "1".to_owned()),
        ("DOCKER_CERT_PATH", folder.display().to_string()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_kept_through_tls() {
    let Some(_turn) = beside_others().await else { return };
    let (deployment, authority) = (Deployment::of_containers(), Authority::new());
    let address = guard(&authority).await;
    let folder = Folder::new("tls", &authority, Some(&authority));
    let balancer = deployment.launch_in(&environment(address, folder.path()), &[]).await;
    balancer.all_ready().await;
    let old = balancer.row("Server-2").await;
    docker(&["kill", &container_of(&deployment.name, &old.instance).id]);
    let new = balancer.replaced(&old, PATIENCE).await;
    assert_eq!(new.number, old.number);
    let mut doctor = deployment.command("doctor", &[]);
    let output = doctor.envs(environment(address, folder.path())).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("at tcp://{address} (TLS, certificates in ")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_certificates_it_is_said_what_to_do() {
    let Some(_turn) = beside_others().await else { return };
    let (deployment, authority, stranger) = (Deployment::of_containers(), Authority::new(), Authority::new());
    let address = guard(&authority).await;
    let told = async |folder: &Path, tls: &str| {
        let mut environment = environment(address, folder);
        environment[1].1 = tls.to_owned();
        let mut serve = deployment.command("serve", &[]);
        serve.envs(environment);
        let output = tokio::task::spawn_blocking(move || serve.output().expect("it starts")).await;
        let output = output.expect("it ends");
        assert!(!output.status.success());
        stderr(&output)
    };
    let good = Folder::new("tls-good", &authority, Some(&authority));
    let cases = [
        (Folder::new("tls-ca", &stranger, Some(&authority)), "1", "vouches for"),
        (Folder::new("tls-none", &authority, None), "1", "not accept cert.pem"),
        (Folder::new("tls-foreign", &authority, Some(&stranger)), "1", "not accept cert.pem"),
        (good, "", "The engine wants TLS"),
    ];
    for (folder, tls, expected) in &cases {
        let said = told(folder.path(), tls).await;
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = told(Path::new("/no/such/folder"), "1").await;
    assert!(said.contains("/no/such/folder/ca.pem"), "{said}");
}
