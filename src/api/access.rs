//! Who may call: the token, or else only this machine; and never a web page on somebody's desk.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE},
        uri::Authority,
    },
    middleware::Next,
    response::Response,
};
use subtle::ConstantTimeEq;

use super::{Peer, wire::refusal};
use crate::{
    caller::Caller,
    fleet::{Given, Sheet},
};

/// Who may use the control API.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The token that every caller has to bring; without one only this machine may call.
    pub token: Option<Secret>,
    /// Whether `/rep` on the traffic port is protected like the others.
    pub protect_rep: bool,
    /// Names by which callers may address the balancer, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The address that calls from this machine come from where the balancer runs in a container.
    pub gateway: Option<IpAddr>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The settings of a pool that calls may give only where a token is set: without one whoever is on this machine may call, and
/// could do by these what only the balancer's user may.
const POWERS: [&str; 6] = [
    "command",
    "container_capabilities",
    "container_new_privileges",
    "registry_password_file",
    "upstreams_env",
    "volume",
];

/// The one that is such a power over processes alone: it says what is loaded into them, and they are the balancer's user's.
const ENV: &str = "env";

/// Why a call may not give a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Power {
    #[error(
        "'{0}' is a setting that calls may give only where a token is set (--admin-token, or --admin-token-file): without \
         one whoever is on this machine could do by it what only the balancer may"
    )]
    Always(&'static str),
    #[error(
        "'env' is a setting that calls may give only where a token is set (--admin-token, or --admin-token-file) or the \
         call says that the engine is docker: in a process it could do what only the balancer may"
    )]
    OfProcesses,
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("this call needs the token: 'Authorization: Bearer …'")]
    Token,
    #[error(
        "{0} may not call: without a token only this machine may. Set --admin-token (or --admin-token-file) to let others in"
    )]
    Stranger(IpAddr),
    #[error(
        "calls through a proxy need a token: without one only this machine may call, and by itself. Set --admin-token (or --admin-token-file) to let others in"
    )]
    Proxied,
    #[error("a call that changes something needs a JSON payload, with 'Content-Type: application/json'")]
    ContentType,
    #[error("calls from web pages of other sites are refused")]
    CrossSite,
    #[error("the Host of a call is an address, 'localhost' or one of --allowed-hosts")]
    Host,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Refusal::Token => StatusCode::UNAUTHORIZED,
            Refusal::ContentType => StatusCode::BAD_REQUEST, // to the assignment no payload is a bad one
            Refusal::Stranger(_) | Refusal::Proxied | Refusal::CrossSite | Refusal::Host => {
                StatusCode::FORBIDDEN
            }
        }
    }
}

impl Access {
    /// Whether calls that are let in may give all of these settings.
    pub(super) fn check_powers(&self, settings: &Sheet) -> Result<(), Power> {
        if self.token.is_some() {
            return Ok(());
        }
        let in_containers = matches!(settings.get("engine"), Some(Given::One(engine)) if engine == "docker");
        match POWERS.into_iter().find(|power| settings.contains_key(*power)) {
            Some(power) => Err(Power::Always(power)),
            None if settings.contains_key(ENV) && !in_containers => Err(Power::OfProcesses),
            None => Ok(()),
        }
    }

    /// Whether this caller is let in. `open` says that reading needs no right.
    fn check_caller(
        &self,
        method: &Method,
        headers: &HeaderMap,
        caller: Caller,
        open: bool,
    ) -> Result<(), Refusal> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        if open && reads { Ok(()) } else { self.check_right(headers, caller) }
    }

    fn check_right(&self, headers: &HeaderMap, caller: Caller) -> Result<(), Refusal> {
        let Some(Secret(token)) = &self.token else {
            let ip = caller.address;
            return match ip.is_loopback() || self.gateway == Some(ip) {
                true if caller.is_direct => Ok(()),
                true => Err(Refusal::Proxied), // its neighbours need not be ours
                false => Err(Refusal::Stranger(ip)),
            };
        };
        let scheme = |value: &HeaderValue| {
            let (scheme, given) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then(|| given.to_vec()) // RFC 9110, section 11.1
        };
        match headers.get(AUTHORIZATION).and_then(scheme) {
            Some(given) if bool::from(given.ct_eq(token.as_bytes())) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    /// Whether a call that changes something is none of a web page of another site.
    ///
    /// A browser sends a page's call to other sites with any content it likes, but not with this type, this Host and no
    /// trace of where the page came from. A field that is given twice counts as neither of its values.
    fn check_page(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let media_type = text(CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next()).map(str::trim);
        if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
            return Err(Refusal::ContentType);
        }
        let host = text(HOST.as_str()).ok_or(Refusal::Host)?;
        let own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
        if headers.contains_key(ORIGIN) && !text(ORIGIN.as_str()).is_some_and(own)
            || headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site")
        {
            return Err(Refusal::CrossSite);
        }
        let authority: Authority = host.parse().map_err(|_| Refusal::Host)?;
        if host.contains('@') {
            return Err(Refusal::Host); // a Host has no user (RFC 9110, section 7.2)
        }
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let named = || std::iter::once("localhost").chain(self.hosts.iter().map(String::as_str));
        if address || named().any(|known| known.eq_ignore_ascii_case(name)) {
            Ok(())
        } else {
            Err(Refusal::Host)
        }
    }
}

/// Lets a call in or not; for the traffic port, where `/rep` may be open.
pub(super) async fn on_traffic(
    State(access): State<Arc<Access>>,
    ConnectInfo(Peer(caller)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let open = !access.protect_rep;
    guard(&access, caller, request, next, open).await
}

/// Lets a call in or not; for the admin listener, where nothing is open.
pub(super) async fn on_admin(
    State(access): State<Arc<Access>>,
    ConnectInfo(Peer(caller)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    guard(&access, caller, request, next, false).await
}

async fn guard(access: &Access, caller: Caller, request: Request, next: Next, open: bool) -> Response {
    match access.check_caller(request.method(), request.headers(), caller, open) {
        Ok(()) => next.run(request).await,
        Err(why) => refuse(&request, why),
    }
}

/// Lets a changing call through or not; only for paths and methods that there are.
pub(super) async fn on_change(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check_page(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => refuse(&request, why),
    }
}

fn refuse(request: &Request, why: Refusal) -> Response {
    let path = request.uri().path();
    tracing::warn!(method = %request.method(), path, %why, "a call was refused");
    let mut response = refusal(path, why.status(), &why);
    if why == Refusal::Token {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const HERE: &str = "127.0.0.1:9";
    const THERE: &str = "192.0.2.7:9";
    const JSON: [(&str, &str); 2] = [("content-type", "application/json"), ("host", "127.0.0.1:5000")];

    fn check(
        access: &Access,
        method: Method,
        peer: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        access.check_caller(&method, &map, peer.parse::<SocketAddr>().unwrap().into(), true)?;
        if method == Method::GET { Ok(()) } else { access.check_page(&map) }
    }

    fn with(header: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
        JSON.into_iter().filter(|(name, _)| *name != header.0).chain([header]).collect()
    }

    #[test]
    fn without_a_token_only_this_machine_may_change_something() {
        let access = Access { gateway: Some("172.19.0.1".parse().unwrap()), ..Access::default() };
        for here in [HERE, "127.8.8.8:1", "[::1]:9", "[::ffff:127.0.0.1]:9", "172.19.0.1:9"] {
            assert_eq!(check(&access, Method::POST, here, &JSON), Ok(()), "{here}");
        }
        for there in [THERE, "172.19.0.3:9", "[2001:db8::1]:9"] {
            assert!(
                matches!(check(&access, Method::DELETE, there, &JSON), Err(Refusal::Stranger(_))),
                "{there}"
            );
            assert_eq!(check(&access, Method::GET, there, &[]), Ok(()), "reading is open here");
        }
    }

    #[test]
    fn what_a_proxy_says_never_makes_a_caller_this_machine() {
        let access = Access::default();
        let refused = |address: &str| {
            let caller = Caller { address: address.parse().unwrap(), is_direct: false };
            access.check_caller(&Method::POST, &HeaderMap::new(), caller, true)
        };
        assert_eq!(refused("127.0.0.1"), Err(Refusal::Proxied));
        assert!(matches!(refused("192.0.2.7"), Err(Refusal::Stranger(_))));
    }

    #[test]
    fn with_a_token_it_is_needed_from_everywhere_and_enough_from_anywhere() {
        let access = Access { token: Some(Secret("s3cret".into())), ..Access::default() };
        for right in ["Bearer s3cret", "bearer s3cret"] {
            assert_eq!(check(&access, Method::POST, THERE, &with(("authorization", right))), Ok(()));
        }
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "Bearers3cret", "Basic s3cret"] {
            let refused = check(&access, Method::POST, HERE, &with(("authorization", wrong)));
            assert_eq!(refused, Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(check(&access, Method::POST, HERE, &JSON), Err(Refusal::Token));
    }

    #[test]
    fn a_web_page_cannot_change_anything() {
        let access = Access { hosts: vec!["lb.example.org".into()], ..Access::default() };
        let post = |header| check(&access, Method::POST, HERE, &with(header));
        for (header, refusal) in [
            (("content-type", "text/plain"), Refusal::ContentType),
            (("content-type", "application/x-www-form-urlencoded"), Refusal::ContentType),
            (("origin", "https://evil.example"), Refusal::CrossSite),
            (("origin", "null"), Refusal::CrossSite),
            (("sec-fetch-site", "cross-site"), Refusal::CrossSite),
            (("host", "rebound.example:5000"), Refusal::Host),
            (("host", "127.0.0.1.example.org"), Refusal::Host),
        ] {
            assert_eq!(post(header), Err(refusal), "{header:?}");
        }
        for header in [
            ("content-type", "application/json; charset=utf-8"),
            ("origin", "http://127.0.0.1:5000"),
            ("sec-fetch-site", "same-origin"),
            ("host", "localhost:5000"),
            ("host", "[::1]:5000"),
            ("host", "LB.example.org"),
        ] {
            assert_eq!(post(header), Ok(()), "{header:?}");
        }
    }

    #[test]
    fn what_gives_power_over_the_machine_needs_a_token() {
        let of = |name: &str| Sheet::from([(name.to_owned(), Given::One("x".to_owned()))]);
        let (open, closed) =
            (Access::default(), Access { token: Some(Secret("s3cret".into())), ..Access::default() });
        for power in POWERS {
            assert_eq!(open.check_powers(&of(power)), Err(Power::Always(power)));
            assert_eq!(closed.check_powers(&of(power)), Ok(()));
        }
        assert_eq!(open.check_powers(&of("image")), Ok(()));
    }

    /// A process whose environment says LD_PRELOAD runs whatever stands there, as the balancer's user.
    #[test]
    fn the_environment_of_anything_but_containers_needs_a_token() {
        let (open, closed) =
            (Access::default(), Access { token: Some(Secret("s3cret".into())), ..Access::default() });
        let docker = || Given::One("docker".to_owned());
        for (engine, is_free) in [
            (Some(docker()), true),
            (None, false), // it may come to be processes
            (Some(Given::One("process".to_owned())), false),
            (Some(Given::One("fixed".to_owned())), false),
            (Some(Given::List(vec!["docker".to_owned(), "process".to_owned()])), false),
        ] {
            let env = Given::List(vec!["LD_PRELOAD=/tmp/evil.so".to_owned()]);
            let mut sheet = Sheet::from([("env".to_owned(), env)]);
            sheet.extend(engine.clone().map(|engine| ("engine".to_owned(), engine)));
            let expected = if is_free { Ok(()) } else { Err(Power::OfProcesses) };
            assert_eq!(open.check_powers(&sheet), expected, "{engine:?}");
            assert_eq!(closed.check_powers(&sheet), Ok(()), "{engine:?}");
        }
        let both = ["engine", "env", "volume"].map(|name| (name.to_owned(), docker()));
        assert_eq!(open.check_powers(&Sheet::from(both)), Err(Power::Always("volume")));
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(
            format!("{:?}", Access { token: Some(Secret("s3cret".into())), ..Access::default() })
                .matches("s3cret")
                .count(),
            0
        );
    }
}
