//! The client of the images: has each resized, filtered three times and marked, all over one connection.

use anyhow::{Context, ensure};
use http::uri::PathAndQuery;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};
use tonic::{
    Request,
    body::Body,
    codegen::{BoxFuture, Service},
};
use tonic_prost::ProstCodec;

use crate::images::{Image, Job, Step};

/// What is done with an image, one after the other.
const STEPS: [(Step, &str); 5] = [
    (Step::Resize, "320x240"),
    (Step::Filter, "blur"),
    (Step::Filter, "sharpen"),
    (Step::Filter, "invert"),
    (Step::Watermark, "Ringkeeper"),
];

/// A connection.
#[derive(Clone)]
struct Connection(http2::SendRequest<Body>);

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<http::Response<Incoming>, hyper::Error>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

type Client = tonic::client::Grpc<Connection>;

/// Has so many images done at a time by the services behind this address, and prints who did what.
pub async fn run(address: &str, count: usize) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let origin = format!("http://{address}")
        .parse::<http::Uri>()
        .with_context(|| format!("'{address}' is no address"))?;
    let client = tonic::client::Grpc::with_origin(Connection(sender), origin);
    let mut images: JoinSet<_> = (1..=count).map(|image| done(client.clone(), image)).collect();
    while let Some(image) = images.join_next().await {
        image??;
    }
    Ok(())
}

async fn done(mut client: Client, number: usize) -> anyhow::Result<()> {
    let mut image = Image::sample();
    for (step, how) in STEPS {
        client.ready().await.context("the connection")?;
        let job = Request::new(Job { image: Some(image), how: how.to_owned() });
        let path = PathAndQuery::from_static(step.path());
        let answer = client.unary(job, path, ProstCodec::<Job, Image>::default()).await;
        image = answer.with_context(|| format!("image {number}, {step:?} {how}"))?.into_inner();
        println!("image {number}: {step:?} {how} (by {})", image.served_by);
    }
    ensure!((image.width, image.height) == (320, 240), "image {number} has another size");
    Ok(())
}
