//! A request as it was read.

use std::rc::Rc;

use http::Method;
use rand::RngExt;

use super::{
    client::Door,
    deadlines::{Moment, NEVER},
    upload::Upload,
};
use crate::{
    caller::Caller,
    name::Number,
    proxy::{
        Protocol,
        answer::Answer,
        framing::{
            Asked, Before, Body, Progress, Refusal, Request, Scratch, Target as Url, Version,
            rewrite::{self, Forwarding},
        },
        key::BODY_LIMIT,
        pool::Way,
        route::Sought,
        routing::Target,
        sticky::Sticky,
        thread::Core,
    },
    table::{Replica, queue::Priority},
};

/// The Host of a request that has none.
const DEFAULT_HOST: &str = "ringkeeper";

/// What a request says of the exchange, and what goes to whoever answers.
pub(super) struct Asking {
    pub(super) target: Target,
    /// Its pool.
    pub(super) way: Rc<Way>,
    /// Its id on the ring, as far as its head tells.
    pub(super) id: u64,
    /// How many sources of the pool's key its body may have, which go before that; 0 where it is not to be read for them.
    pub(super) key_in_body: usize,
    /// The number of the replica that its client stays with.
    pub(super) preferred: Option<Number>,
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
    /// Who asks.
    pub(super) caller: Caller,
    /// How urgent it is, should it have to wait.
    pub(super) priority: Priority,
    /// The answer, where it is for nobody but the balancer.
    pub(super) own: Option<Box<Answer>>,
    /// How many replicas were asked so far.
    pub(super) attempts: u32,
    /// What replicas know it as, where its response tells how it came about.
    request_id: Option<Box<str>>,
}

impl Asking {
    /// The request at the beginning of `bytes`, with what is there of its body, and how many bytes that is; `None` if its
    /// head is not whole. It is written into `spare` memory.
    pub(super) fn read(
        core: &Core,
        door: &Door,
        bytes: &[u8],
        progress: &mut Progress,
        fields: &mut Scratch,
        spare: &mut Vec<Vec<u8>>,
    ) -> Result<Option<(usize, Self)>, Refusal> {
        let config = &core.config;
        let Some(mut request) = Request::parse(bytes, progress, &config.limits, fields)? else {
            return Ok(None);
        };
        let Door { introduction, listen } = door;
        let ways = core.ways();
        let sought =
            Sought { listen: *listen, host: request.host, method: request.method, fields: &request.fields };
        let target = ways.routing.target(&sought, request.target.path)?;
        let way = &ways.ways[target.pool()];
        let exchange = &way.config.exchange;
        let is_believed = config.trusted_proxies.contains(introduction.caller.address);
        let before = is_believed.then(|| Before::read(request.fields, &config.trusted_proxies)).flatten();
        let caller = before.as_ref().map_or(introduction.caller, |before| before.caller(introduction.caller));
        let key = exchange.key.find(&request, caller.address, &mut *core.rng.borrow_mut());
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| Refusal::Method)?;
        let is_pool = matches!(target, Target::Pool(..));
        let repeatable = is_pool && exchange.retry.may_repeat(&method);
        let key_in_body = if is_pool { key.in_body } else { 0 };
        let sticky = exchange.sticky.as_ref().filter(|_| is_pool);
        let preferred = sticky.and_then(|sticky| sticky.number(&request));
        let own_cookie = sticky.filter(|sticky| sticky.is_in(&request)).map(Sticky::name);
        let path = (is_pool && exchange.may_replace(&method)).then(|| request.target.path.into());
        let rewritten = match target {
            Target::Pool(_, Some(route)) => ways.routing.route(route).rewritten(request.target.path),
            _ => None,
        };
        let control = match target {
            Target::Control(path) => Some(path),
            Target::Stats(_) => Some(way.stats()),
            Target::Health(_) => Some(way.health()),
            Target::Pool(..) => None,
        };
        if let Some(path) = control {
            request.target = Url { path, query: None, ..request.target };
        } else if let Some(path) = &rewritten {
            request.target = Url { path, ..request.target };
        }
        let mut body = Body::new(request.framing);
        let used = request.len + body.feed(&bytes[request.len..])?.taken;
        let mut out = spare.pop().unwrap_or_default();
        let before = before.as_ref();
        let forwarding = Forwarding { introduction, before, default_host: DEFAULT_HOST, own_cookie };
        let drawn = request.request_id.is_none().then(|| hexadecimal(core.rng.borrow_mut().random()));
        let drawn = drawn.as_ref().map(|digits| ("X-Request-Id", &digits[..]));
        rewrite::request(&mut out, &request, &forwarding, drawn.as_slice());
        let head = out.len();
        out.extend_from_slice(&bytes[request.len..used]);
        // of what is not executed twice, too: HTTP/2 tells of a request that was sent that it was not executed at all
        let is_kept = repeatable || way.config.protocol == Protocol::H2c;
        let kept = if is_kept { exchange.retry.body_limit } else { 0 };
        let kept = if key_in_body > 0 { kept.max(BODY_LIMIT) } else { kept };
        let expects_continue = request.expects_continue && !body.is_ended() && used == request.len;
        let asking = Asking {
            target,
            way: way.clone(),
            id: key.id,
            key_in_body,
            preferred,
            upload: Upload::new(out, head, body, kept, expects_continue),
            asked: Asked { is_head: request.method == "HEAD", upgrades: request.upgrades },
            version: request.version,
            keep_alive: request.keep_alive,
            repeatable,
            path,
            response_at: NEVER,
            caller,
            priority: exchange.priority(&request),
            own: own(&request).map(Box::new),
            attempts: 0,
            request_id: config.debug_headers.then(|| {
                let id = request.request_id.map(str::as_bytes).or(drawn.map(|(_, digits)| digits));
                String::from_utf8_lossy(id.unwrap_or_default()).into()
            }),
        };
        Ok(Some((used, asking)))
    }

    /// What its response tells of how it came about, where that is asked for; this replica gives it, if one does.
    pub(super) fn told(&self, replica: Option<&Replica>) -> Vec<(&'static str, String)> {
        let Some(request_id) = &self.request_id else { return Vec::new() };
        let mut fields = vec![("X-Request-Id", request_id.to_string())];
        if let Target::Pool(..) = self.target {
            fields.push(("X-Ringkeeper-Attempts", self.attempts.to_string()));
            fields.push(("X-Ringkeeper-Key", self.id.to_string()));
        }
        fields.extend(replica.map(|replica| ("X-Ringkeeper-Replica", replica.name.to_string())));
        fields
    }

    /// Whether it may be sent to another after this.
    pub(super) fn can_repeat(&self) -> bool {
        self.repeatable && self.upload.is_kept()
    }
}

/// The answer to a request that goes no further (RFC 9110, section 7.6.2).
fn own(request: &Request<'_>) -> Option<Answer> {
    (request.max_forwards == Some(0)).then(|| match request.method {
        "TRACE" => Answer::trace(rewrite::echo(request)),
        _ => Answer::options(),
    })
}

fn hexadecimal(number: u128) -> [u8; 32] {
    let bytes = number.to_be_bytes();
    std::array::from_fn(|at| {
        let digit = if at % 2 == 0 { bytes[at / 2] >> 4 } else { bytes[at / 2] & 0xf };
        digit + if digit < 10 { b'0' } else { b'a' - 10 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_all_of_a_number() {
        let digits = |number| String::from_utf8(hexadecimal(number).to_vec()).unwrap();
        for number in [0, 1, 0x0123_4567_89ab_cdef_u128 << 60, u128::MAX] {
            assert_eq!(digits(number), format!("{number:032x}"));
        }
    }
}
