//! A heartbeat that the engine sends: the HEALTHCHECK of the replica's image.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::Probe;
use crate::engine::{Checked, Instance};

/// What the engine listed last; one whose image has no HEALTHCHECK does not answer.
#[derive(Clone, Copy, Debug)]
pub struct ImageProbe;

impl Probe for ImageProbe {
    fn answers<'a>(&'a self, instance: &'a Instance, _: Duration) -> BoxFuture<'a, Option<bool>> {
        ready(Some(instance.checked == Some(Checked::Healthy))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::probe::instance_at;

    #[tokio::test]
    async fn only_what_the_engine_calls_healthy_lives() {
        let says = [Some(Checked::Healthy), Some(Checked::Starting), Some(Checked::Unhealthy), None];
        for (checked, answered) in says.into_iter().zip([true, false, false, false]) {
            let instance = Instance { checked, ..instance_at(([127, 0, 0, 1], 9).into()) };
            assert_eq!(ImageProbe.answers(&instance, Duration::ZERO).await, Some(answered), "{checked:?}");
        }
    }
}
