//! A request as it was read.

use std::net::SocketAddr;

use http::Method;

use super::{
    deadlines::{Moment, NEVER},
    upload::Upload,
};
use crate::proxy::{
    Protocol,
    exchange::Target,
    framing::{
        Asked, Body, Progress, Refusal, Request, Scratch, Target as Url, Version,
        rewrite::{self, Forwarding},
    },
    key::BODY_LIMIT,
    thread::Core,
};

/// The Host of a request that has none.
const DEFAULT_HOST: &str = "ringkeeper";

/// What a request says of the exchange, and what goes to whoever answers.
pub(super) struct Asking {
    pub(super) target: Target,
    /// Its id on the ring, as far as its head tells.
    pub(super) id: u64,
    /// Whether its body may tell another.
    pub(super) needs_body: bool,
    pub(super) upload: Upload,
    pub(super) asked: Asked,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    /// Whether it may be executed twice.
    pub(super) repeatable: bool,
    /// Its path, where the balancer may answer that nobody knows it.
    pub(super) path: Option<Box<str>>,
    /// When the response has to begin.
    pub(super) response_at: Moment,
}

impl Asking {
    /// The request at the beginning of `bytes`, with what is there of its body, and how many bytes that is; `None` if its
    /// head is not whole. It is written into `spare` memory.
    pub(super) fn read(
        core: &Core,
        (peer, address): (SocketAddr, &str),
        bytes: &[u8],
        progress: &mut Progress,
        fields: &mut Scratch,
        spare: &mut Vec<Vec<u8>>,
    ) -> Result<Option<(usize, Self)>, Refusal> {
        let config = &core.config;
        let Some(mut request) = Request::parse(bytes, progress, &config.limits, fields)? else {
            return Ok(None);
        };
        let exchange = &config.exchange;
        let target = exchange.target(request.target.path);
        let id = exchange.key.id(&request, peer.ip(), &mut *core.rng.borrow_mut());
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| Refusal::Method)?;
        let is_pool = target == Target::Pool;
        let repeatable = is_pool && exchange.retry.may_repeat(&method);
        let needs_body = is_pool && exchange.key.needs_body(&request);
        let path = (is_pool && exchange.may_replace(&method)).then(|| request.target.path.into());
        if let Target::Control(path) = target {
            request.target = Url { path, query: None, ..request.target };
        }
        let mut body = Body::new(request.framing);
        let used = request.len + body.feed(&bytes[request.len..])?.taken;
        let mut out = spare.pop().unwrap_or_default();
        let forwarding = Forwarding { client: address, scheme: "http", default_host: DEFAULT_HOST };
        rewrite::request(&mut out, &request, &forwarding, &[]);
        let head = out.len();
        out.extend_from_slice(&bytes[request.len..used]);
        // of what is not executed twice, too: HTTP/2 tells of a request that was sent that it was not executed at all
        let is_kept = repeatable || config.protocol == Protocol::H2c;
        let kept = if is_kept { exchange.retry.body_limit } else { 0 };
        let kept = if needs_body { kept.max(BODY_LIMIT) } else { kept };
        let expects_continue = request.expects_continue && !body.is_ended() && used == request.len;
        let asking = Asking {
            target,
            id,
            needs_body,
            upload: Upload::new(out, head, body, kept, expects_continue),
            asked: Asked { is_head: request.method == "HEAD", upgrades: request.upgrades },
            version: request.version,
            keep_alive: request.keep_alive,
            repeatable,
            path,
            response_at: NEVER,
        };
        Ok(Some((used, asking)))
    }

    /// Whether it may be sent to another after this.
    pub(super) fn can_repeat(&self) -> bool {
        self.repeatable && self.upload.is_kept()
    }
}
