//! The replicas' image: whether it is there, how it gets there, and what it says of its port.

use std::{collections::HashMap, str::FromStr, sync::Mutex, time::Duration};

use bollard::{Docker, errors::Error, models::CreateImageInfo, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    advice::advised_on_pull,
    answer::{chain, explain, no_answer},
    registry::{Login, credentials, registry, tagged},
};
use crate::engine::{ASK_TIMEOUT, EngineError, START_TIMEOUT};

/// The port where neither the settings nor the image name one.
pub(super) const DEFAULT_PORT: u16 = 5000;
/// How long a registry may say nothing while it is pulled from.
const SILENCE: Duration = Duration::from_secs(120);
/// How long pulling an image may take.
const PULL_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Between two lines of the log on a pull.
const TELL: Duration = Duration::from_secs(5);
/// How long one pull serves with [`Pull::Always`]: for starts that belong together.
const FRESH: Duration = Duration::from_secs(60);

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// When it is not there.
    #[default]
    Missing,
    /// Before containers are created from it. Where that fails, the image that is there is used.
    Always,
    /// Not at all.
    Never,
}

/// How images get there.
#[derive(Clone, Debug, Default)]
pub struct Pulling {
    /// When.
    pub when: Pull,
    /// Who pulls, where that is set.
    pub login: Option<Login>,
}

/// The one image of an engine's replicas. Whoever needs it while it is pulled waits for that one pull, which goes on
/// when they have gone.
pub(super) struct Images {
    docker: Docker,
    image: String,
    pulling: Pulling,
    /// The last pull. Locked because starts are concurrent; never held across an await.
    last: Mutex<Option<watch::Receiver<State>>>,
}

/// A pull as those who wait for it see it.
#[derive(Clone, Debug)]
enum State {
    /// Going on; so far, which is nothing until the registry answers.
    Going(String),
    /// Done at that time, or why not.
    Done(Instant, Result<(), String>),
}

impl Images {
    pub(super) fn new(docker: Docker, image: String, pulling: Pulling) -> Self {
        Images { docker, image, pulling, last: Mutex::default() }
    }

    /// With [`Pull::Always`], pulls unless that was just tried. Where the registry does not answer, what is there has to
    /// do: replicas are healed without it.
    pub(super) async fn refresh(&self) -> Result<(), EngineError> {
        if self.pulling.when != Pull::Always {
            return Ok(());
        }
        let fresh = |state: &State| matches!(state, State::Done(at, _) if at.elapsed() < FRESH);
        match self.pull(fresh, ASK_TIMEOUT).await {
            Err(error @ EngineError::ImageMissing { .. }) => {
                tracing::warn!(%error, "the image that is there is used, if there is one");
                Ok(())
            }
            other => other,
        }
    }

    /// Gets the missing image, if it may; else this is the error that says so.
    pub(super) async fn fetch(&self) -> Result<(), EngineError> {
        match self.pulling.when {
            Pull::Never => Err(self.missing(None)),
            Pull::Missing | Pull::Always => self.pull(|_| false, START_TIMEOUT).await,
        }
    }

    /// The error that the image is not there, nor to be had.
    pub(super) fn missing(&self, pull: Option<String>) -> EngineError {
        EngineError::ImageMissing { image: self.image.clone(), pull }
    }

    /// Waits so long for a pull: the one that goes on, the last one if that will do, or a new one.
    async fn pull(&self, will_do: impl Fn(&State) -> bool, patience: Duration) -> Result<(), EngineError> {
        let mut pull = self.join(will_do);
        let done =
            async { pull.wait_for(|state| matches!(state, State::Done(..))).await.map(|done| done.clone()) };
        let state = match timeout(patience, done).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => State::Done(Instant::now(), Err("the pull broke off".to_owned())),
            Err(_) => pull.borrow().clone(),
        };
        let failed = |why: String| self.missing(Some(format!("'{}' failed: {why}", registry(&self.image))));
        match state {
            State::Going(progress) if progress.is_empty() => {
                Err(failed(format!("it has said nothing for {patience:?}")))
            }
            State::Going(progress) => Err(EngineError::Pulling { image: self.image.clone(), progress }),
            State::Done(_, Ok(())) => Ok(()),
            State::Done(_, Err(why)) => Err(failed(why)),
        }
    }

    fn join(&self, will_do: impl Fn(&State) -> bool) -> watch::Receiver<State> {
        let mut last = self.last.lock().expect("nobody panics while holding it");
        let usable = |pull: &&watch::Receiver<State>| match &*pull.borrow() {
            State::Going(_) => pull.has_changed().is_ok(), // else it broke off
            done => will_do(done),
        };
        if let Some(pull) = last.as_ref().filter(usable) {
            return pull.clone();
        }
        let (sender, receiver) = watch::channel(State::Going(String::new()));
        let (docker, image, login) = (self.docker.clone(), self.image.clone(), self.pulling.login.clone());
        tokio::spawn(async move {
            let pulled = timeout(PULL_TIMEOUT, pull(&docker, &image, login.as_ref(), &sender)).await;
            let outcome = pulled.unwrap_or_else(|_| Err(format!("it takes more than {PULL_TIMEOUT:?}")));
            sender.send_replace(State::Done(Instant::now(), outcome));
        });
        *last = Some(receiver.clone());
        receiver
    }

    /// The port that the replicas listen on, by what the image exposes.
    pub(super) async fn port(&self) -> Result<u16, EngineError> {
        let inspected = match timeout(ASK_TIMEOUT, self.docker.inspect_image(&self.image)).await {
            Ok(Ok(inspected)) => inspected,
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => {
                return Err(self.missing(None));
            }
            Ok(Err(error)) => return Err(explain("inspect the image", &error)),
            Err(_) => return Err(no_answer(ASK_TIMEOUT)),
        };
        let exposed = inspected.config.and_then(|config| config.exposed_ports).unwrap_or_default();
        exposed_port(&exposed).map_err(|ports| EngineError::PortUnknown { image: self.image.clone(), ports })
    }
}

/// The one TCP port of these, or the usual one where there is none; else all of them, in words.
fn exposed_port(exposed: &[String]) -> Result<u16, String> {
    let port = |exposed: &String| exposed.strip_suffix("/tcp").unwrap_or(exposed).parse::<u16>().ok();
    let mut ports: Vec<u16> = exposed.iter().filter_map(port).collect();
    ports.sort_unstable();
    match ports.as_slice() {
        [] => Ok(DEFAULT_PORT),
        [port] => Ok(*port),
        several => Err(several.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Pulls the image, telling the log and those who wait how far it is.
async fn pull(
    docker: &Docker,
    image: &str,
    login: Option<&Login>,
    told: &watch::Sender<State>,
) -> Result<(), String> {
    let from = registry(image);
    tracing::info!(image, from, "pulling the image");
    let begun = Instant::now();
    let options = CreateImageOptionsBuilder::default().from_image(&tagged(image)).build();
    let mut answers = Box::pin(docker.create_image(Some(options), None, credentials(image, login)));
    let mut layers = Layers::default();
    let mut tell = begun + TELL;
    loop {
        match timeout(SILENCE, answers.next()).await {
            Err(_) => return Err(format!("it has said nothing for {SILENCE:?}")),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(said(&error)),
            Ok(Some(Ok(progress))) => layers.note(progress),
        }
        told.send_replace(State::Going(layers.to_string()));
        if Instant::now() >= tell {
            tracing::info!(image, progress = %layers, "pulling the image");
            tell = Instant::now() + TELL;
        }
    }
    tracing::info!(image, seconds = begun.elapsed().as_secs(), "the image is there");
    Ok(())
}

fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => advised_on_pull(message.trim()),
        Error::DockerStreamError { error } => advised_on_pull(error.trim()),
        other => chain(other),
    }
}

/// The layers of an image that are pulled: of each, bytes that came and bytes in all.
#[derive(Debug, Default)]
struct Layers(HashMap<String, (i64, i64)>);

impl Layers {
    fn note(&mut self, progress: CreateImageInfo) {
        let (Some(layer), Some(detail)) = (progress.id, progress.progress_detail) else { return };
        if let (Some("Downloading"), Some(total)) = (progress.status.as_deref(), detail.total) {
            self.0.insert(layer, (detail.current.unwrap_or_default(), total));
        } else if let (Some("Download complete"), Some((current, total))) =
            (progress.status.as_deref(), self.0.get_mut(&layer))
        {
            *current = *total;
        }
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (came, all) =
            self.0.values().fold((0, 0), |(came, all), (current, total)| (came + current, all + total));
        write!(f, "{:.1} of {:.1} MB", came as f64 / 1e6, all as f64 / 1e6)
    }
}

impl FromStr for Pull {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "missing" => Ok(Pull::Missing),
            "always" => Ok(Pull::Always),
            "never" => Ok(Pull::Never),
            _ => Err("'missing', 'always' or 'never'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_one_that_the_image_exposes() {
        let port =
            |ports: &[&str]| exposed_port(&ports.iter().map(|port| (*port).to_owned()).collect::<Vec<_>>());
        assert_eq!(port(&[]), Ok(5000));
        assert_eq!(port(&["8080/tcp"]), Ok(8080));
        assert_eq!(port(&["53/udp", "80/tcp"]), Ok(80));
        assert_eq!(port(&["53/udp"]), Ok(5000));
        assert_eq!(port(&["443/tcp", "80/tcp"]), Err("80, 443".to_owned()));
    }
}
