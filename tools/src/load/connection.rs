//! One kept-alive HTTP/1.1 connection, driven by whoever waits for its answer: no task of its own, so no switch between
//! tasks for each request.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::report::Answered;

/// How much of a body is looked at for the server's name.
const BEGINNING: usize = 4096;

type Driver = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// An open connection. After an error, or an exchange that was not awaited to its end, it is of no more use.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` when it has ended.
    driver: Option<Pin<Box<Driver>>>,
}

/// Why there is no answer.
pub(super) enum ExchangeError {
    /// The connection was closed before anything of the request was sent.
    Unsent(Box<Request<Full<Bytes>>>),
    /// It broke later.
    Broken,
}

impl Connection {
    /// To the first of the addresses that accepts.
    pub async fn open(addresses: &[SocketAddr]) -> io::Result<Self> {
        let stream = TcpStream::connect(addresses).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Connection { sender, driver: Some(Box::pin(driver)) })
    }

    /// Sends the request and reads the answer to its end.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answered, ExchangeError> {
        let Connection { sender, driver } = self;
        let exchange = async {
            if sender.ready().await.is_err() {
                return Err(ExchangeError::Unsent(Box::new(request)));
            }
            let response =
                sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
                    Some(request) => ExchangeError::Unsent(Box::new(request)),
                    None => ExchangeError::Broken,
                })?;
            let status = response.status().as_u16();
            read(status, response.into_body()).await.map_err(|_| ExchangeError::Broken)
        };
        driven(driver, exchange).await
    }

    /// Returns when the server has closed the idle connection and that was seen.
    #[cfg(test)]
    pub async fn closed(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _how_does_not_matter = driver.await;
        }
    }
}

async fn read(status: u16, mut body: Incoming) -> hyper::Result<Answered> {
    let mut beginning = Bytes::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if beginning.is_empty() {
            beginning = data; // nearly always the whole body
        } else if beginning.len() < BEGINNING {
            beginning = [beginning, data].concat().into();
        }
    }
    Ok(Answered::new(status, &beginning[..beginning.len().min(BEGINNING)]))
}

/// Awaits `work`, which needs the connection to move. A driver that ends wakes what waits for it.
async fn driven<T>(driver: &mut Option<Pin<Box<Driver>>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        let Some(running) = driver else { return Poll::Pending };
        if running.as_mut().poll(context).is_ready() {
            *driver = None;
        }
        work.as_mut().poll(context)
    })
    .await
}
