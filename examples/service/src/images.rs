//! Services of gRPC that change images, as `images.proto` has them.

use std::{
    convert::Infallible,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use prost::Message;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use crate::{listen, told_to_end};

/// The largest width or height.
const LARGEST: u32 = 4096;

/// A grey image, a byte for each pixel, line after line.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    #[prost(uint32, tag = "1")]
    pub width: u32,
    #[prost(uint32, tag = "2")]
    pub height: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub pixels: Vec<u8>,
    /// Who changed it last.
    #[prost(string, tag = "4")]
    pub served_by: String,
}

/// An image and what is to be done with it.
#[derive(Clone, PartialEq, Message)]
pub struct Job {
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
    /// `WIDTHxHEIGHT`, the filter's name (`blur`, `sharpen`, `invert`), or the watermark's text.
    #[prost(string, tag = "2")]
    pub how: String,
}

/// A step of what is done with an image, and a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Resize,
    Filter,
    Watermark,
}

impl Step {
    /// The step of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "resize" => Some(Step::Resize),
            "filter" => Some(Step::Filter),
            "watermark" => Some(Step::Watermark),
            _ => None,
        }
    }

    /// The path of its only method.
    pub fn path(self) -> &'static str {
        match self {
            Step::Resize => "/images.Resize/Apply",
            Step::Filter => "/images.Filter/Apply",
            Step::Watermark => "/images.Watermark/Apply",
        }
    }

    fn apply(self, job: Job) -> Result<Image, Status> {
        let image = job.image.unwrap_or_default();
        let sizes = [image.width, image.height];
        let area = sizes[0] as usize * sizes[1] as usize;
        if sizes.iter().any(|size| !(1..=LARGEST).contains(size)) || image.pixels.len() != area {
            return Err(Status::invalid_argument("that is no image"));
        }
        match self {
            Step::Resize => resize(&image, &job.how),
            Step::Filter => filter(&image, &job.how),
            Step::Watermark => Ok(watermark(image, &job.how)),
        }
    }
}

/// Serves as a replica of this step until it is told to end.
pub async fn serve(step: Step) -> anyhow::Result<()> {
    match step {
        Step::Resize => serve_as::<Resize>(step).await,
        Step::Filter => serve_as::<Filter>(step).await,
        Step::Watermark => serve_as::<Watermark>(step).await,
    }
}

async fn serve_as<N: Named>(step: Step) -> anyhow::Result<()> {
    let (listener, address) = listen().await?;
    let (health, answers) = tonic_health::server::health_reporter();
    health.set_serving::<Replica<N>>().await;
    let replica = Replica::<N> { step, name: address.to_string().into(), named: PhantomData };
    let server = Server::builder().add_service(answers).add_service(replica);
    Ok(server.serve_with_incoming_shutdown(TcpIncoming::from(listener), told_to_end()).await?)
}

/// How a service is called in paths.
trait Named: Clone + Send + Sync + 'static {
    const NAME: &'static str;
}

macro_rules! named {
    ($($service:ident $name:literal)*) => {
        $(#[derive(Clone)]
        struct $service;

        impl Named for $service {
            const NAME: &'static str = $name;
        })*
    };
}

named!(Resize "images.Resize" Filter "images.Filter" Watermark "images.Watermark");

/// A replica of a service.
#[derive(Clone)]
struct Replica<N> {
    step: Step,
    name: Arc<str>,
    named: PhantomData<N>,
}

impl<N: Named> NamedService for Replica<N> {
    const NAME: &'static str = N::NAME;
}

impl<N: Named> Service<http::Request<Body>> for Replica<N> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let replica = self.clone();
        Box::pin(async move {
            if request.uri().path() != replica.step.path() {
                return Ok(Status::unimplemented("there is no such method").into_http());
            }
            Ok(tonic::server::Grpc::new(ProstCodec::<Image, Job>::default()).unary(replica, request).await)
        })
    }
}

impl<N: Named> Service<Request<Job>> for Replica<N> {
    type Response = Response<Image>;
    type Error = Status;
    type Future = BoxFuture<Response<Image>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Job>) -> Self::Future {
        let image = self.step.apply(request.into_inner());
        let served_by = self.name.to_string();
        Box::pin(async move { Ok(Response::new(Image { served_by, ..image? })) })
    }
}

fn resize(image: &Image, size: &str) -> Result<Image, Status> {
    let sizes = size.split_once('x').and_then(|(width, height)| {
        let [width, height] = [width, height].map(|size| size.parse::<u32>().ok());
        Some((width?, height?))
    });
    let allowed = |size: &u32| (1..=LARGEST).contains(size);
    let (width, height) = sizes
        .filter(|(width, height)| allowed(width) && allowed(height))
        .ok_or_else(|| Status::invalid_argument(format!("'{size}' is no size such as 320x240")))?;
    let nearest = |x: u32, y: u32| image.at(x * image.width / width, y * image.height / height);
    Ok(drawn(width, height, nearest))
}

fn filter(image: &Image, name: &str) -> Result<Image, Status> {
    let (width, height) = (image.width, image.height);
    Ok(match name {
        "blur" => drawn(width, height, |x, y| image.around(x, y)),
        "sharpen" => drawn(width, height, |x, y| {
            let (own, around) = (i16::from(image.at(x, y)), i16::from(image.around(x, y)));
            (2 * own - around).clamp(0, 255) as u8
        }),
        "invert" => drawn(width, height, |x, y| 255 - image.at(x, y)),
        _ => return Err(Status::invalid_argument(format!("'{name}' is no filter"))),
    })
}

/// Writes the bits of a text into the last line, from the left.
fn watermark(mut image: Image, text: &str) -> Image {
    let last_line = image.pixels.len() - image.width as usize;
    let bits = text.bytes().flat_map(|byte| (0..8).map(move |bit| (byte >> bit) & 1));
    for (pixel, bit) in image.pixels[last_line..].iter_mut().zip(bits) {
        *pixel = 255 * bit;
    }
    image
}

fn drawn(width: u32, height: u32, pixel: impl Fn(u32, u32) -> u8) -> Image {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y));
    Image { width, height, pixels: pixels.collect(), served_by: String::new() }
}

impl Image {
    /// One to begin with.
    pub fn sample() -> Self {
        drawn(640, 480, |x, y| ((x ^ y) % 256) as u8)
    }

    fn at(&self, x: u32, y: u32) -> u8 {
        self.pixels[y as usize * self.width as usize + x as usize]
    }

    /// The mean of a pixel and its neighbours.
    fn around(&self, x: u32, y: u32) -> u8 {
        let near = |at: u32, size: u32| at.saturating_sub(1)..=(at + 1).min(size - 1);
        let (mut sum, mut count) = (0_u32, 0);
        for y in near(y, self.height) {
            for x in near(x, self.width) {
                sum += u32::from(self.at(x, y));
                count += 1;
            }
        }
        (sum / count) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(step: Step, image: Image, how: &str) -> Result<Image, tonic::Code> {
        step.apply(Job { image: Some(image), how: how.into() }).map_err(|status| status.code())
    }

    #[test]
    fn images_are_made_smaller_filtered_and_marked() {
        let small = done(Step::Resize, Image::sample(), "4x2").unwrap();
        assert_eq!((small.width, small.height, small.pixels.len()), (4, 2, 8));
        let inverted = done(Step::Filter, small.clone(), "invert").unwrap();
        assert_eq!(inverted.pixels[0], 255 - small.pixels[0]);
        let flat = drawn(3, 3, |_, _| 7);
        for name in ["blur", "sharpen"] {
            assert_eq!(done(Step::Filter, flat.clone(), name).unwrap(), flat);
        }
        let marked = done(Step::Watermark, flat.clone(), "\u{5}").unwrap();
        assert_eq!(marked.pixels[6..], [255, 0, 255]);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (step, how) in [(Step::Resize, "0x7"), (Step::Resize, "large"), (Step::Filter, "sepia")] {
            assert_eq!(done(step, Image::sample(), how), Err(tonic::Code::InvalidArgument), "{how}");
        }
        let broken = Image { width: 5, ..Image::sample() };
        assert_eq!(done(Step::Watermark, broken, "x"), Err(tonic::Code::InvalidArgument));
    }
}
