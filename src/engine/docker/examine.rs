//! What keeps a Docker engine from running replicas, for `ringkeeper doctor`.

use std::time::{Duration, SystemTime};

use bollard::Docker;
use tokio::time::timeout;

use super::{
    Config, Pull,
    answer::chain,
    connect,
    connect::Place,
    healthcheck::has_healthcheck,
    images::Images,
    registry::{credentials, registry, tagged},
};
use crate::engine::{ASK_TIMEOUT, EngineError, Finding};

/// How far the engine's clock may be off.
const CLOCK: Duration = Duration::from_secs(5);

/// Looks at everything that a replica in Docker needs.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let docker = match connect().await {
        Ok(docker) => docker,
        Err(error) => return vec![Finding { what: "engine", found: Err(error.to_string()) }],
    };
    vec![
        Finding { what: "engine", found: version(&docker).await },
        Finding { what: "image", found: image(&docker, config).await },
        Finding { what: "network", found: network(&docker, config).await },
        Finding { what: "clock", found: clock(&docker).await },
    ]
}

pub(super) async fn version(docker: &Docker) -> Result<String, String> {
    let version = ask(docker.version()).await?;
    let (release, api) = (version.version.unwrap_or_default(), docker.client_version());
    let spoken = (api.major_version, api.minor_version);
    if spoken < (1, 41) {
        return Err(format!("Docker {release} speaks API {api}; 1.41 is needed: use Docker 20.10 or newer"));
    }
    Ok(format!("Docker {release}, API {api}, at {}", Place::of_environment()))
}

async fn image(docker: &Docker, config: &Config) -> Result<String, String> {
    let image = &config.image;
    let images = Images::new(docker.clone(), image.clone(), config.pulling.clone());
    match ask(docker.inspect_image(image)).await {
        Ok(found) if config.needs_healthcheck && !has_healthcheck(&found) => {
            Err(EngineError::NoHealthcheck { image: image.clone() }.to_string())
        }
        Ok(_) => match config.port {
            Some(port) => Ok(format!("'{image}' is there; its replicas listen on port {port}")),
            None => {
                let port = images.port().await.map_err(|error| error.to_string())?;
                Ok(format!("'{image}' is there; its replicas listen on port {port}"))
            }
        },
        Err(why) => {
            let elsewhere = in_registry(docker, config).await;
            elsewhere.map_err(|also| {
                format!("'{image}': {why}{also}; build it (`make images`), pull it (`docker pull {image}`), or set --image")
            })
        }
    }
}

/// Whether a missing image can be pulled.
async fn in_registry(docker: &Docker, config: &Config) -> Result<String, String> {
    if config.pulling.when == Pull::Never {
        return Err(String::new());
    }
    let (image, from) = (&config.image, registry(&config.image));
    let credentials = credentials(image, config.pulling.login.as_ref());
    let known = ask(docker.inspect_registry_image(&tagged(image), credentials)).await;
    known
        .map(|_| format!("'{image}' is pulled from '{from}' when it is needed"))
        .map_err(|why| format!(", and in '{from}': {why}"))
}

async fn network(docker: &Docker, config: &Config) -> Result<String, String> {
    let name = config.deployment.as_str();
    let networks = ask(docker.list_networks(None)).await?;
    match networks.iter().filter(|network| network.name.as_deref() == Some(name)).count() {
        0 => Ok(format!("'{name}' is made when it is needed")),
        1 => Ok(format!("'{name}' is there")),
        _ => Err(format!(
            "there are several named '{name}': remove all but one (`docker network ls`, `docker network rm ID`)"
        )),
    }
}

pub(super) async fn clock(docker: &Docker) -> Result<String, String> {
    let told = ask(docker.info()).await?.system_time.unwrap_or_default();
    let whole = told.split('.').next().unwrap_or_default();
    let theirs =
        humantime::parse_rfc3339_weak(whole).map_err(|_| format!("the engine tells no time: '{told}'"))?;
    let ours = SystemTime::now();
    let apart = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).unwrap_or_default();
    if apart > CLOCK {
        let apart = humantime::format_duration(Duration::from_secs(apart.as_secs()));
        return Err(format!(
            "the engine's clock and this one are {apart} apart: set them by NTP, or logs will not match"
        ));
    }
    Ok("agrees with the engine's".to_owned())
}

async fn ask<T>(call: impl Future<Output = Result<T, bollard::errors::Error>>) -> Result<T, String> {
    match timeout(ASK_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| chain(&error)),
        Err(_) => Err("the engine does not answer in time: is it overloaded?".to_owned()),
    }
}
