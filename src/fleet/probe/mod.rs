//! One heartbeat: the ways to ask an instance whether it lives, each in a file of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{net::TcpStream, time::timeout};

use crate::{engine::Instance, limits::is_own_want};

mod grpc;
mod http;
mod image;
mod tcp;

pub use grpc::GrpcProbe;
pub use http::HttpProbe;
pub use image::ImageProbe;
pub use tcp::TcpProbe;

/// A way to ask an instance whether it lives.
pub trait Probe: Send + Sync + 'static {
    /// Whether it answers in time that it does; `None` where it could not be asked for want of something of our own.
    fn answers<'a>(&'a self, instance: &'a Instance, deadline: Duration) -> BoxFuture<'a, Option<bool>>;
}

/// How the replicas of a pool are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeSpec {
    /// `GET` of this path, answered with a status from 200 to 299.
    Http {
        /// The path, from its first slash.
        path: String,
        /// Whether in HTTP/2, from the first byte, in place of HTTP/1.1.
        http2: bool,
    },
    /// A connection can be opened.
    Tcp,
    /// gRPC's health service says SERVING.
    Grpc {
        /// The service that it is asked about; none is the server as a whole.
        service: String,
    },
    /// The HEALTHCHECK of the replica's image succeeds.
    Image,
}

impl ProbeSpec {
    /// The probe that asks so.
    pub fn probe(&self) -> Arc<dyn Probe> {
        match self {
            ProbeSpec::Http { path, http2: false } => Arc::new(HttpProbe::new(path)),
            ProbeSpec::Http { path, http2: true } => Arc::new(HttpProbe::in_http2(path)),
            ProbeSpec::Tcp => Arc::new(TcpProbe),
            ProbeSpec::Grpc { service } => Arc::new(GrpcProbe::new(service)),
            ProbeSpec::Image => Arc::new(ImageProbe),
        }
    }
}

type AskError = Box<dyn std::error::Error + Send + Sync>;

/// Opens a connection and has `ask` use it, all within the deadline. An instance without an address does not answer.
async fn over_a_connection<F>(
    address: Option<SocketAddr>,
    deadline: Duration,
    ask: impl FnOnce(TcpStream, SocketAddr) -> F,
) -> Option<bool>
where
    F: Future<Output = Result<bool, AskError>>,
{
    let Some(address) = address else { return Some(false) };
    let asked = async {
        match TcpStream::connect(address).await {
            Ok(stream) => Some(ask(stream, address).await.unwrap_or(false)),
            Err(error) if is_own_want(&error) => None,
            Err(_) => Some(false),
        }
    };
    timeout(deadline, asked).await.unwrap_or(Some(false))
}

/// An instance that runs at this address, for the tests of each kind.
#[cfg(test)]
fn instance_at(address: SocketAddr) -> Instance {
    use crate::{
        engine::State,
        name::{InstanceId, Number, Owner},
    };
    Instance {
        id: InstanceId::from_bits(1),
        owner: Owner::from_bits(1),
        pool: "default".into(),
        name: "Server-1".parse().expect("a name"),
        number: Number::new(1).expect("not 0"),
        state: State::Running(Some(address)),
        holds_name: true,
        checked: None,
        found: None,
    }
}
