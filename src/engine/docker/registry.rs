//! Where an image comes from, and who asks for it there.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bollard::auth::DockerCredentials;
use serde_json::Value;

/// Docker Hub, where images without a registry in their name come from.
const HUB: &str = "docker.io";
/// How Docker's own client calls it where it keeps credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Who pulls, where that is set; else who `docker login` made known.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password, or a token.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:***", self.user)
    }
}

/// The registry of an image: what is before its first slash, where that looks like a host.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => HUB,
    }
}

/// The image with the tag or the digest that it has, or else the tag `latest`: without one every tag would be pulled.
pub(super) fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Who asks for the image: the one that is set, else the one that Docker's client has for this registry.
pub(super) fn credentials(image: &str, login: Option<&Login>) -> Option<DockerCredentials> {
    let registry = registry(image);
    let address = if registry == HUB { HUB_KEY } else { registry };
    let credentials = match login {
        Some(Login { user, password }) => DockerCredentials {
            username: Some(user.clone()),
            password: Some(password.clone()),
            ..Default::default()
        },
        None => stored(&fs::read(client_config()?).ok()?, registry)?,
    };
    Some(DockerCredentials { serveraddress: Some(address.to_owned()), ..credentials })
}

/// `config.json` of Docker's client.
fn client_config() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// What `auths` in that file has for a registry: `user:password` in base 64, or a token.
fn stored(config: &[u8], registry: &str) -> Option<DockerCredentials> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let host = |key: &str| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        let host = key.split('/').next().unwrap_or_default().to_owned();
        if host == "index.docker.io" { HUB.to_owned() } else { host }
    };
    let auths = config.get("auths")?.as_object()?;
    let auth = auths.iter().find(|(key, _)| host(key) == registry).map(|(_, auth)| auth)?;
    let text = |key: &str| auth.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(DockerCredentials { identitytoken: Some(token.to_owned()), ..Default::default() });
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(text("auth")?).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(DockerCredentials {
        username: Some(user.to_owned()),
        password: Some(password.trim_end_matches('\0').to_owned()),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_what_looks_like_a_host() {
        for (image, expected) in [
            ("nginx", "docker.io"),
            ("library/nginx:1", "docker.io"),
            ("localhost/nginx", "localhost"),
            ("registry.example.org/team/app@sha256:00", "registry.example.org"),
            ("10.0.0.1:5000/app:2", "10.0.0.1:5000"),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[test]
    fn an_image_is_pulled_in_one_version() {
        for (image, expected) in [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("host:5000/app", "host:5000/app:latest"),
            ("host:5000/app@sha256:00", "host:5000/app@sha256:00"),
        ] {
            assert_eq!(tagged(image), expected);
        }
    }

    #[test]
    fn what_docker_login_stored_is_found_by_registry() {
        let config = br#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YW5uYTpnZWhlaW06MQ=="},
            "r.example.org": {"auth": "", "identitytoken": "token"},
            "store.example.org": {}
        }, "credsStore": "desktop"}"#;
        let hub = stored(config, "docker.io").unwrap();
        assert_eq!((hub.username.as_deref(), hub.password.as_deref()), (Some("anna"), Some("geheim:1")));
        assert_eq!(stored(config, "r.example.org").unwrap().identitytoken.as_deref(), Some("token"));
        assert_eq!(stored(config, "store.example.org"), None);
        assert_eq!(stored(config, "elsewhere.org"), None);
    }
}
