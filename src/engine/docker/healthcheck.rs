//! The HEALTHCHECK of an image: whether it has one, and what it says of a container.

use bollard::{
    Docker,
    models::{ContainerSummary, ContainerSummaryStateEnum, ImageInspect},
};

use super::{Config, ConnectError, answer::within, connect};
use crate::engine::{ASK_TIMEOUT, Checked, EngineError};

/// Ok if the image has what the settings need of it, or is not there yet.
pub async fn check_image(config: &Config) -> Result<(), CheckError> {
    if config.needs_healthcheck {
        require(&connect().await?, config).await?;
    }
    Ok(())
}

/// Why an image cannot be used, or not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is nobody to ask.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It is not fit, or was not shown.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Ok unless the replicas are to be asked by an image's HEALTHCHECK, and theirs has none. Of an image that is not there
/// whoever wants to run it is told.
pub(super) async fn require(docker: &Docker, config: &Config) -> Result<(), EngineError> {
    if !config.needs_healthcheck {
        return Ok(());
    }
    match within(ASK_TIMEOUT, "inspect the image", docker.inspect_image(&config.image)).await {
        Ok(image) if !has_healthcheck(&image) => {
            Err(EngineError::NoHealthcheck { image: config.image.clone() })
        }
        Err(error) if error.is_outage() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

pub(super) fn has_healthcheck(image: &ImageInspect) -> bool {
    let check = image.config.as_ref().and_then(|config| config.healthcheck.as_ref());
    let test = check.and_then(|check| check.test.as_ref()).and_then(|test| test.first());
    test.is_some_and(|kind| kind != "NONE")
}

/// What a row of the engine's list says, in words: `Up 5 seconds (healthy)`. Nothing runs in one that is paused, and
/// its row says no more.
pub(super) fn checked(summary: &ContainerSummary) -> Option<Checked> {
    if summary.state == Some(ContainerSummaryStateEnum::PAUSED) {
        return Some(Checked::Unhealthy);
    }
    let words = summary.status.as_deref()?.strip_prefix("Up ")?;
    match words.rsplit_once(" (")?.1 {
        "health: starting)" => Some(Checked::Starting),
        "healthy)" => Some(Checked::Healthy),
        "unhealthy)" => Some(Checked::Unhealthy),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_row_are_understood() {
        for (status, says) in [
            ("Up 5 seconds (healthy)", Some(Checked::Healthy)),
            ("Up About a minute (unhealthy)", Some(Checked::Unhealthy)),
            ("Up 1 second (health: starting)", Some(Checked::Starting)),
            ("Up 5 seconds", None),
            ("Exited (0) 2 minutes ago", None),
            ("Created", None),
        ] {
            let row = ContainerSummary { status: Some(status.into()), ..Default::default() };
            assert_eq!(checked(&row), says, "{status}");
        }
        let paused = Some(ContainerSummaryStateEnum::PAUSED);
        let row =
            ContainerSummary { status: Some("Up 5 s (Paused)".into()), state: paused, ..Default::default() };
        assert_eq!(checked(&row), Some(Checked::Unhealthy));
    }
}
