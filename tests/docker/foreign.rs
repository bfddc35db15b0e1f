//! Images that are not ours: what their containers are given, and how they get to the engine.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    beside_others,
    support::{
        Balancer, Deployment, PATIENCE,
        docker::{build, containers, docker, image, remove_all_of},
        within,
    },
};

/// An image of a test, which goes when this is dropped, and what runs from it with it.
struct Image {
    name: String,
    deployment: String,
}

impl Image {
    /// From scratch, with the sample replica's program as `/bin/serve` and these lines.
    fn build(deployment: &Deployment, lines: &str) -> Self {
        let name = format!("{}-image", deployment.name);
        let file = format!(
            "FROM {} AS sample\nFROM scratch\nCOPY --from=sample /ringkeeper-server /bin/serve\n{lines}\n",
            image()
        );
        build(&name, &file);
        Image::of(deployment, name)
    }

    fn of(deployment: &Deployment, name: String) -> Self {
        Image { name, deployment: deployment.name.clone() }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        remove_all_of(&self.deployment); // while a container has it, only its name would go
        let _may_never_have_been = Command::new("docker").args(["rmi", "--force", &self.name]).output();
    }
}

/// Why the first replica is not ready, once it is known.
async fn reason(balancer: &Balancer) -> String {
    within(PATIENCE, "a reason is known", async || {
        balancer.pool().await["replicas"][0]["reason"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn an_image_of_others_gets_all_that_it_is_told_and_tells_its_port() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let image = Image::build(&deployment, "EXPOSE 8080\nUSER 1234\nENTRYPOINT [\"/not/there\"]");
    let volume = format!("{}-state", deployment.name);
    let arguments = [
        ["--image", &image.name],
        ["--replicas", "2"],
        ["--container-entrypoint", "/bin/serve"],
        ["--container-user", "4321:4322"],
        ["--env", "PORT=8080"],
        ["--env", "GREETING=hello, world"],
        ["--volume", &format!("{volume}:/data")],
        ["--volume", "/usr/share:/www:ro"],
        ["--tmpfs", "/run:size=1m"],
    ];
    let balancer = deployment.start(&arguments.concat()).await;
    assert!((1..=2).contains(&balancer.call("GET", "/home", "").await.server()));
    let container = &containers(&deployment.name)[0];
    let inspected: Value =
        serde_json::from_str(&docker(&["inspect", "--format", "{{json .}}", &container.id])).unwrap();
    let (config, host) = (&inspected["Config"], &inspected["HostConfig"]);
    assert_eq!(config["User"], "4321:4322");
    assert_eq!(config["Entrypoint"], json!(["/bin/serve"]));
    let env: Vec<&str> = config["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(env.contains(&"GREETING=hello, world") && env.contains(&"PORT=8080"), "{env:?}");
    assert_eq!(host["Binds"], json!([format!("{volume}:/data"), "/usr/share:/www:ro"]));
    assert_eq!(host["Tmpfs"]["/run"], "size=1m");
    assert!(host["Tmpfs"]["/tmp"].is_string(), "{host}");
    assert!(
        balancer.rows().await.iter().all(|row| row.address.is_some_and(|address| address.port() == 8080))
    );
}

#[tokio::test]
async fn where_an_image_exposes_several_ports_one_has_to_be_set() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let image = Image::build(&deployment, "EXPOSE 8081 5000 53/udp\nENTRYPOINT [\"/bin/serve\"]");
    let mut balancer = deployment.launch(&["--image", &image.name, "--replicas", "1"]).await;
    let reason = reason(&balancer).await;
    assert!(reason.contains("(5000, 8081)") && reason.contains("--port"), "{reason}");
    balancer.kill();
    deployment.start(&["--image", &image.name, "--replicas", "1", "--port", "5000"]).await;
}

#[tokio::test]
async fn a_program_that_the_image_lacks_is_told_with_the_setting_that_names_one() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let image = Image::build(&deployment, "ENTRYPOINT [\"/not/there\"]");
    let balancer = deployment.launch(&["--image", &image.name, "--replicas", "1"]).await;
    let told = reason(&balancer).await;
    assert!(told.contains("/not/there") && told.contains("--container-entrypoint"), "{told}");
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_with_its_registry_and_why() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let missing = "localhost:1/no/such:image";
    let mut balancer = deployment.launch(&["--image", missing, "--replicas", "1"]).await;
    let told = reason(&balancer).await;
    for part in
        ["there is no image 'localhost:1/no/such:image'", "'localhost:1'", "connection refused", "--image"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    balancer.kill();
    let balancer = deployment.launch(&["--image", missing, "--replicas", "1", "--pull", "never"]).await;
    let told = reason(&balancer).await;
    assert!(!told.contains("pulling"), "{told}");
}

/// A registry that serves one image to one user.
struct Registry {
    /// By digest: what it is, and its media type.
    blobs: HashMap<String, (Vec<u8>, &'static str)>,
    manifest: String,
    manifests_asked: AtomicUsize,
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

impl Registry {
    /// Serves what `docker save` writes of this image. Returns where.
    async fn serve(image: &str, folder: &Path) -> (Arc<Self>, SocketAddr) {
        let archive = folder.join("image.tar");
        docker(&["save", "--output", archive.to_str().expect("text"), image]);
        let unpacked = Command::new("tar")
            .args(["-xf"])
            .arg(&archive)
            .arg("-C")
            .arg(folder)
            .status()
            .expect("there is tar");
        assert!(unpacked.success());
        let saved: Value = serde_json::from_slice(
            &std::fs::read(folder.join("manifest.json")).expect("as docker save writes it"),
        )
        .expect("as docker save writes it");
        let mut blobs = HashMap::new();
        let mut blob = |file: &Value, kind| {
            let bytes = std::fs::read(folder.join(file.as_str().expect("as docker save writes it")))
                .expect("as docker save writes it");
            let digest = digest(&bytes);
            let descriptor = json!({ "mediaType": kind, "size": bytes.len(), "digest": digest });
            blobs.insert(digest, (bytes, kind));
            descriptor
        };
        let config = blob(&saved[0]["Config"], CONFIG);
        let layers: Vec<Value> = saved[0]["Layers"]
            .as_array()
            .expect("as docker save writes it")
            .iter()
            .map(|layer| blob(layer, LAYER))
            .collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        let manifest = manifest.to_string().into_bytes();
        let name = digest(&manifest);
        blobs.insert(name.clone(), (manifest, MANIFEST));
        let registry = Arc::new(Registry { blobs, manifest: name, manifests_asked: AtomicUsize::new(0) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("as docker save writes it");
        let address = listener.local_addr().expect("as docker save writes it");
        let routes = Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (registry, address)
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

async fn answer(State(registry): State<Arc<Registry>>, uri: Uri, headers: HeaderMap) -> Response {
    let anna = "Basic YW5uYTpnZWhlaW0="; // anna:geheim
    if headers.get(header::AUTHORIZATION).is_none_or(|given| given != anna) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"test\"")])
            .into_response();
    }
    let wanted = match uri.path().rsplit('/').next() {
        Some("latest") => {
            registry.manifests_asked.fetch_add(1, Relaxed);
            registry.manifest.clone()
        }
        Some("") => return StatusCode::OK.into_response(),
        other => other.unwrap_or_default().to_owned(),
    };
    match registry.blobs.get(&wanted) {
        Some((bytes, kind)) => {
            ([("content-type", *kind), ("docker-content-digest", wanted.as_str())], bytes.clone())
                .into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A folder that goes when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_is_pulled_once_for_all_replicas_by_the_user_that_is_set() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let folder = Folder(std::env::temp_dir().join(format!("{}-registry", deployment.name)));
    std::fs::create_dir_all(&folder.0).unwrap();
    let (registry, address) = Registry::serve(&image(), &folder.0).await;
    let image = Image::of(&deployment, format!("{address}/team/{}", deployment.name));
    let password = folder.0.join("password");
    std::fs::write(&password, "geheim\n").unwrap();
    let password = password.to_str().unwrap();

    let mut refused = deployment.launch(&["--image", &image.name, "--replicas", "1"]).await;
    let told = reason(&refused).await;
    assert!(told.contains(&address.to_string()), "{told}");
    refused.kill();
    assert_eq!(registry.manifests_asked.load(Relaxed), 0);

    let login = ["--registry-user", "anna", "--registry-password-file", password];
    let balancer =
        deployment.start(&[&["--image", &image.name, "--replicas", "5"], &login[..]].concat()).await;
    assert_eq!(registry.manifests_asked.load(Relaxed), 1);
    assert!(balancer.log().iter().any(|line| line.contains("pulling the image")), "{:?}", balancer.log());
    assert_eq!(containers(&deployment.name).len(), 5);
}

#[tokio::test]
async fn where_it_is_always_pulled_and_the_registry_is_away_the_image_that_is_there_is_used() {
    let Some(_turn) = beside_others().await else { return };
    let deployment = Deployment::of_containers();
    let image = Image::of(&deployment, format!("localhost:1/{}", deployment.name));
    docker(&["tag", &crate::support::docker::image(), &image.name]);
    let balancer = deployment.start(&["--image", &image.name, "--pull", "always"]).await;
    let told = balancer.log().iter().filter(|line| line.contains("the image that is there is used")).count();
    assert!(told >= 1, "{:?}", balancer.log());
}
