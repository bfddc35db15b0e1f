//! The control API of a running balancer: `/rep`, `/add` and `/rm` where requests go, `/v1` where operators connect.

mod wire;

use std::{io, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::TcpStream, time::timeout};

use self::wire::{Change, Reply};
pub use self::wire::{Pool, Replica, Replicas, RingSpec};
use crate::base::Base;

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take that waits for nothing.
const READ: Duration = Duration::from_secs(60);

/// How long a change may take: the balancer answers when new replicas are ready, or says that they are late.
const CHANGE: Duration = Duration::from_secs(600);

/// No answer is longer.
const ANSWER_LIMIT: usize = 64 << 20;

/// Calls a balancer. Each call is a connection of its own and happens at most once.
#[derive(Clone, Debug)]
pub struct Client {
    traffic: Base,
    admin: Base,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// Why a call has not done what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection.
    #[error("no balancer answers on {base}: {why}")]
    Unreachable {
        /// Where it was looked for.
        base: Base,
        /// What the system says.
        why: io::Error,
    },
    /// The connection broke, or its time was up. Whether the call was carried out is not known.
    #[error("the balancer on {base} broke off: {why}")]
    Broken {
        /// Where it is.
        base: Base,
        /// What happened.
        why: String,
    },
    /// The balancer said no, and nothing was changed.
    #[error("{message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its reason.
        message: String,
    },
    /// The answer is not of a balancer's control API.
    #[error("what answers on {base} is no Ringkeeper: {why}")]
    Foreign {
        /// Where it is.
        base: Base,
        /// What is wrong with the answer.
        why: String,
    },
}

impl Client {
    /// A client of the balancer that takes requests at `traffic` and operators at `admin`.
    pub fn new(traffic: Base, admin: Base) -> Self {
        Client { traffic, admin }
    }

    /// The replicas.
    pub async fn rep(&self) -> Result<Replicas, ClientError> {
        let answer = exchange(&self.traffic, Method::GET, "/rep", None, READ).await?;
        Ok(read::<Reply<Replicas>>(&self.traffic, &answer)?.message)
    }

    /// Adds `n` replicas, the first of them with these names. Done when they are ready; all or nothing.
    pub async fn add(&self, n: u64, names: &[String]) -> Result<Replicas, ClientError> {
        self.change(Method::POST, "/add", n, names).await
    }

    /// Removes `n` replicas, those with these names among them. All or nothing.
    pub async fn rm(&self, n: u64, names: &[String]) -> Result<Replicas, ClientError> {
        self.change(Method::DELETE, "/rm", n, names).await
    }

    /// The default pool: its ring and its replicas.
    pub async fn pool(&self) -> Result<Pool, ClientError> {
        let answer = exchange(&self.admin, Method::GET, "/v1/pools/default", None, READ).await?;
        read(&self.admin, &answer)
    }

    /// Requests a path, as any client of the replicas does. Every status is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        exchange(&self.traffic, Method::GET, path, None, READ).await
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        n: u64,
        names: &[String],
    ) -> Result<Replicas, ClientError> {
        let payload =
            serde_json::to_vec(&Change { n, hostnames: names }).expect("numbers and texts are JSON");
        let answer = exchange(&self.traffic, method, path, Some(payload), CHANGE).await?;
        Ok(read::<Reply<Replicas>>(&self.traffic, &answer)?.message)
    }
}

impl Answer {
    /// The `message` of an answer in the assignment's form, without its `<Error>`.
    pub fn message(&self) -> Option<String> {
        let reply: Reply<String> = serde_json::from_slice(&self.body).ok()?;
        Some(reply.message.strip_prefix("<Error> ").unwrap_or(&reply.message).to_owned())
    }
}

/// The answer's content where it is a success.
fn read<T: DeserializeOwned>(base: &Base, answer: &Answer) -> Result<T, ClientError> {
    let foreign = |why: String| ClientError::Foreign { base: base.clone(), why };
    if answer.status.is_success() {
        return serde_json::from_slice(&answer.body).map_err(|error| foreign(error.to_string()));
    }
    match answer.message() {
        Some(message) => Err(ClientError::Refused { status: answer.status, message }),
        None => Err(foreign(format!("it answers {}", answer.status))),
    }
}

async fn exchange(
    base: &Base,
    method: Method,
    path: &str,
    json: Option<Vec<u8>>,
    deadline: Duration,
) -> Result<Answer, ClientError> {
    let broken = |why: String| ClientError::Broken { base: base.clone(), why };
    let request = request(base, method, path, json).map_err(|error| ClientError::Refused {
        status: StatusCode::BAD_REQUEST,
        message: format!("'{path}' is no path: {error}"),
    })?;
    let stream = connect(base).await.map_err(|why| ClientError::Unreachable { base: base.clone(), why })?;
    let answered = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
        driver.abort();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer { status: head.status, body })
    };
    match timeout(deadline, answered).await {
        Ok(answered) => answered.map_err(|error| broken(error.to_string())),
        Err(_) => Err(broken(format!("no answer within {}", humantime::format_duration(deadline)))),
    }
}

fn request(
    base: &Base,
    method: Method,
    path: &str,
    json: Option<Vec<u8>>,
) -> http::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(method).uri(base.path(path)).header(HOST, base.authority());
    if json.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(Full::from(json.unwrap_or_default()))
}

async fn connect(base: &Base) -> io::Result<TcpStream> {
    let connected = timeout(CONNECT, TcpStream::connect((base.host(), base.port()))).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).expect("a status"), body: Bytes::from(body.to_owned()) }
    }

    fn replicas(answer: &Answer) -> Result<Reply<Replicas>, ClientError> {
        read(&"h:5000".parse().expect("a base"), answer)
    }

    #[test]
    fn a_success_is_read() {
        let answer = answer(200, r#"{"message":{"N":1,"replicas":["S1"]},"status":"successful"}"#);
        let replicas = replicas(&answer).expect("a success").message;
        assert_eq!(replicas, Replicas { count: 1, replicas: vec!["S1".into()] });
    }

    #[test]
    fn a_refusal_gives_its_reason() {
        let refused = answer(400, r#"{"message":"<Error> 'n' must be more than 0","status":"failure"}"#);
        let error = replicas(&refused).expect_err("refused");
        assert!(matches!(&error, ClientError::Refused { status, .. } if status.as_u16() == 400));
        assert_eq!(error.to_string(), "'n' must be more than 0");
    }

    #[test]
    fn another_servers_answer_is_told_from_a_balancers() {
        for other in [answer(200, "<html>"), answer(404, "not found"), answer(200, "{}")] {
            assert!(matches!(replicas(&other), Err(ClientError::Foreign { .. })), "{other:?}");
        }
    }
}
