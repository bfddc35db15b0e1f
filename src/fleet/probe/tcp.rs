//! A heartbeat that is nothing but a connection.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::{Probe, over_a_connection};
use crate::engine::Instance;

/// A connection can be opened; nothing is sent over it.
#[derive(Clone, Copy, Debug)]
pub struct TcpProbe;

impl Probe for TcpProbe {
    fn answers<'a>(&'a self, instance: &'a Instance, deadline: Duration) -> BoxFuture<'a, Option<bool>> {
        over_a_connection(instance.address(), deadline, async |_opened, _| Ok(true)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::{engine::State, fleet::probe::instance_at};

    #[tokio::test]
    async fn who_accepts_a_connection_lives_whatever_it_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut instance = instance_at(listener.local_addr().unwrap());
        let answers = async |instance: &Instance| TcpProbe.answers(instance, Duration::from_secs(1)).await;
        assert_eq!(answers(&instance).await, Some(true));
        drop(listener);
        assert_eq!(answers(&instance).await, Some(false));
        instance.state = State::Running(None);
        assert_eq!(answers(&instance).await, Some(false));
    }
}
