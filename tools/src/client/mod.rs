//! The control API of a running balancer: `/rep`, `/add` and `/rm` where requests go, `/v1` where operators connect.

mod call;
mod error;
mod log;
mod pools;
mod sharing;
mod wire;

use std::time::Duration;

use http::{
    HeaderValue, Method,
    header::{self, InvalidHeaderValue},
};

pub use self::{
    call::Answer,
    error::ClientError,
    log::Log,
    pools::{DEFAULT, Settings},
    sharing::By,
    wire::{Event, Events, Exit, Latency, Pool, Queue, Replica, Replicas, RingSpec, Totals},
};
use self::{
    call::{Call, read},
    wire::{Change, Reply, Scale, Weighting},
};
use crate::base::Base;

/// How long an answer may take that waits for nothing.
const READ: Duration = Duration::from_secs(60);

/// How long a change may take: the balancer answers when new replicas are ready, or says that they are late.
const CHANGE: Duration = Duration::from_secs(600);

/// Calls a balancer. Each call is a connection of its own and happens at most once.
#[derive(Clone, Debug)]
pub struct Client {
    traffic: Base,
    admin: Base,
    /// The value of the `Authorization` field.
    token: Option<HeaderValue>,
    /// What the calls of `/v1` are about.
    pool: Box<str>,
}

impl Client {
    /// A client of the balancer that takes requests at `traffic` and operators at `admin`, about its default pool.
    pub fn new(traffic: Base, admin: Base) -> Self {
        Client { traffic, admin, token: None, pool: DEFAULT.into() }
    }

    /// The same, with this token in every call of the control API; requests for replicas never carry it.
    pub fn with_token(self, token: &str) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(Client { token: Some(value), ..self })
    }

    /// The same, about this pool.
    pub fn with_pool(self, pool: &str) -> Self {
        Client { pool: pool.into(), ..self }
    }

    /// The pool that it is about.
    pub fn pool_name(&self) -> &str {
        &self.pool
    }

    /// Whether that is the pool that `/rep`, `/add` and `/rm` are about.
    pub fn is_of_default(&self) -> bool {
        &*self.pool == DEFAULT
    }

    /// Where it takes requests.
    pub fn traffic(&self) -> &Base {
        &self.traffic
    }

    /// Where operators connect.
    pub fn admin(&self) -> &Base {
        &self.admin
    }

    /// Whether it brings a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The replicas.
    pub async fn rep(&self) -> Result<Replicas, ClientError> {
        if !self.is_of_default() {
            return Ok(self.pool().await?.desired());
        }
        Ok(read::<Reply<Replicas>>(&self.traffic, &self.rep_answer().await?)?.message)
    }

    /// Those of the default pool as they came.
    pub async fn rep_answer(&self) -> Result<Answer, ClientError> {
        Call::new(&self.traffic, Method::GET, "/rep").token(self.token.as_ref()).answer(READ).await
    }

    /// Adds `n` replicas, the first of them with these names. Done when they are ready; all or nothing.
    pub async fn add(&self, n: u64, names: &[String]) -> Result<Replicas, ClientError> {
        self.change(Method::POST, "/add", n, names).await
    }

    /// Removes `n` replicas, those with these names among them. All or nothing.
    pub async fn rm(&self, n: u64, names: &[String]) -> Result<Replicas, ClientError> {
        self.change(Method::DELETE, "/rm", n, names).await
    }

    /// The pool: its ring and its replicas.
    pub async fn pool(&self) -> Result<Pool, ClientError> {
        read(&self.admin, &self.v1(Method::GET, "").answer(READ).await?)
    }

    /// Makes the pool have so many replicas.
    pub async fn scale(&self, replicas: u64) -> Result<Pool, ClientError> {
        let call = self.v1(Method::PUT, "/scale").json(&Scale { replicas });
        read(&self.admin, &call.answer(CHANGE).await?)
    }

    /// Gives a replica this weight.
    pub async fn weigh(&self, replica: &str, weight: u32) -> Result<Pool, ClientError> {
        let path = format!("/replicas/{}/weight", segment(replica));
        let call = self.v1(Method::PUT, &path).json(&Weighting { weight });
        read(&self.admin, &call.answer(CHANGE).await?)
    }

    /// Has a replica get no new requests, and whoever replaces it, until it is restored.
    pub async fn drain(&self, replica: &str) -> Result<Pool, ClientError> {
        self.tell(replica, "drain").await
    }

    /// Undoes [`drain`](Self::drain).
    pub async fn restore(&self, replica: &str) -> Result<Pool, ClientError> {
        self.tell(replica, "restore").await
    }

    /// Puts a fresh instance in the place of a replica's present one. Done when that is ready.
    pub async fn restart(&self, replica: &str) -> Result<Pool, ClientError> {
        self.tell(replica, "restart").await
    }

    /// What happened after the event of this number, or everything that is kept. With `wait`, the answer comes when
    /// there is something, or when that much time is over.
    pub async fn events(&self, after: Option<u64>, wait: Duration) -> Result<Events, ClientError> {
        let mut path = format!("/events?wait={}", wait.as_secs());
        path.extend(after.map(|after| format!("&after={after}")));
        read(&self.admin, &self.v1(Method::GET, &path).answer(READ + wait).await?)
    }

    /// The last `tail` lines of a replica's log and, with `follow`, what comes after them.
    pub async fn logs(&self, replica: &str, tail: u32, follow: bool) -> Result<Log, ClientError> {
        let path = format!("/replicas/{}/logs?tail={tail}&follow={follow}", segment(replica));
        let open = self.v1(Method::GET, &path).open(READ).await?;
        let media_type = open.head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !open.head.status.is_success() {
            return Err(open.refusal(&self.admin).await);
        }
        if !media_type.is_some_and(|media_type| media_type.starts_with(b"text/plain")) {
            let why = "a log is plain text, and this is not".to_owned();
            return Err(ClientError::Foreign { base: self.admin.clone(), why });
        }
        Ok(Log::new(self.admin.clone(), open))
    }

    /// Requests a path, as any client of the replicas does. Every status is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        Call::new(&self.traffic, Method::GET, path).answer(READ).await
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        n: u64,
        names: &[String],
    ) -> Result<Replicas, ClientError> {
        let change = Change { n, hostnames: names };
        if !self.is_of_default() {
            let answer = self.v1(Method::POST, path).json(&change).answer(CHANGE).await?;
            return Ok(read::<Pool>(&self.admin, &answer)?.desired());
        }
        let call = Call::new(&self.traffic, method, path).json(&change);
        let answer = call.token(self.token.as_ref()).answer(CHANGE).await?;
        Ok(read::<Reply<Replicas>>(&self.traffic, &answer)?.message)
    }

    /// A change of one replica that says all in its path.
    async fn tell(&self, replica: &str, verb: &str) -> Result<Pool, ClientError> {
        let path = format!("/replicas/{}/{verb}", segment(replica));
        read(&self.admin, &self.v1(Method::POST, &path).empty().answer(CHANGE).await?)
    }

    /// A call about the pool, or about what is below it.
    fn v1(&self, method: Method, below: &str) -> Call<'_> {
        let path = format!("/v1/pools/{}{below}", segment(&self.pool));
        Call::new(&self.admin, method, &path).token(self.token.as_ref())
    }
}

/// A name as one segment of a path, whatever is in it (RFC 3986, section 2.1).
fn segment(name: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_segment() {
        assert_eq!(segment("Server-1"), "Server-1");
        assert_eq!(segment("../x?a b"), "%2E%2E%2Fx%3Fa%20b");
    }

    #[test]
    fn a_token_is_not_shown() {
        let base: Base = "h".parse().expect("a base");
        let client = Client::new(base.clone(), base).with_token("s3cret").expect("a token");
        assert!(!format!("{client:?}").contains("s3cret"));
    }
}
