//! One call: a connection of its own, a request, an answer, deadlines for each.

use std::{
    io,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST},
    response,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use super::{
    ClientError,
    wire::{Problem, Reply},
};
use crate::base::Base;

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// No answer is longer.
const ANSWER_LIMIT: usize = 64 << 20;

/// A request to a balancer. Sending it happens at most once.
#[derive(Debug)]
pub(super) struct Call<'a> {
    base: &'a Base,
    method: Method,
    path: String,
    json: Option<Vec<u8>>,
    token: Option<&'a HeaderValue>,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    /// What the balancer's clock said, to the second, where it said so.
    pub date: Option<SystemTime>,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub(super) struct Open {
    pub head: response::Parts,
    pub body: Incoming,
    driver: JoinHandle<hyper::Result<()>>,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl<'a> Call<'a> {
    pub fn new(base: &'a Base, method: Method, path: &str) -> Self {
        Call { base, method, path: base.path(path), json: None, token: None }
    }

    /// With this as its JSON body.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.json = Some(serde_json::to_vec(body).expect("numbers and texts are JSON"));
        self
    }

    /// With an empty body that is called JSON, as a balancer wants it of every change: web pages cannot send that.
    pub fn empty(mut self) -> Self {
        self.json = Some(Vec::new());
        self
    }

    /// With this token, where there is one.
    pub fn token(mut self, token: Option<&'a HeaderValue>) -> Self {
        self.token = token;
        self
    }

    /// The whole answer, whatever its status.
    pub async fn answer(self, deadline: Duration) -> Result<Answer, ClientError> {
        let base = self.base.clone();
        let answered = async {
            let open = self.open(deadline).await?;
            let date = open.date();
            let status = open.head.status;
            let body = open.collect().await.map_err(|error| broken(&base, &*error))?;
            Ok(Answer { status, body, date })
        };
        timeout(deadline, answered).await.unwrap_or_else(|_| Err(late(&base, deadline)))
    }

    /// The head of the answer, and the body to be read as it comes.
    pub async fn open(self, deadline: Duration) -> Result<Open, ClientError> {
        let request = self.request().map_err(|error| ClientError::Refused {
            status: StatusCode::BAD_REQUEST,
            message: format!("'{}' is no path: {error}", self.path),
        })?;
        let base = self.base;
        let unreachable = |why| ClientError::Unreachable { base: base.clone(), why };
        let stream = connect(base).await.map_err(unreachable)?;
        let opened = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let driver = tokio::spawn(connection);
            let (head, body) = sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>(Open { head, body, driver })
        };
        match timeout(deadline, opened).await {
            Ok(opened) => opened.map_err(|error| broken(base, &error)),
            Err(_) => Err(late(base, deadline)),
        }
    }

    fn request(&self) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.path.as_str())
            .header(HOST, self.base.authority());
        if self.json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = self.token {
            request = request.header(AUTHORIZATION, token);
        }
        request.body(Full::from(self.json.clone().unwrap_or_default()))
    }
}

impl Open {
    fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.head.headers.get(DATE)?.to_str().ok()?).ok()
    }

    /// The rest of the body.
    async fn collect(mut self) -> Result<Bytes, Failed> {
        Ok(Limited::new(&mut self.body, ANSWER_LIMIT).collect().await?.to_bytes())
    }

    /// The answer's whole body as a refusal.
    pub async fn refusal(self, base: &Base) -> ClientError {
        let (status, date) = (self.head.status, self.date());
        match self.collect().await {
            Ok(body) => refusal(base, &Answer { status, body, date }),
            Err(error) => broken(base, &*error),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Answer {
    /// The `message` of an answer in the assignment's form, without its `<Error>`, or the `detail` of a problem.
    pub fn message(&self) -> Option<String> {
        if let Ok(Reply::<String> { message }) = serde_json::from_slice(&self.body) {
            return Some(message.strip_prefix("<Error> ").unwrap_or(&message).to_owned());
        }
        serde_json::from_slice(&self.body).ok().map(|problem: Problem| problem.detail)
    }
}

/// The answer's content where it is a success.
pub(super) fn read<T: DeserializeOwned>(base: &Base, answer: &Answer) -> Result<T, ClientError> {
    if !answer.status.is_success() {
        return Err(refusal(base, answer));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| ClientError::Foreign { base: base.clone(), why: error.to_string() })
}

/// Nothing where it is a success, whatever it has.
pub(super) fn done(base: &Base, answer: &Answer) -> Result<(), ClientError> {
    if answer.status.is_success() { Ok(()) } else { Err(refusal(base, answer)) }
}

fn refusal(base: &Base, answer: &Answer) -> ClientError {
    match answer.message() {
        Some(message) => ClientError::Refused { status: answer.status, message },
        None => ClientError::Foreign { base: base.clone(), why: format!("it answers {}", answer.status) },
    }
}

/// Says what broke down to its cause, which hyper's own words leave out.
pub(super) fn broken(base: &Base, error: &dyn std::error::Error) -> ClientError {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let why = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    ClientError::Broken { base: base.clone(), why }
}

fn late(base: &Base, deadline: Duration) -> ClientError {
    let why = format!("no answer within {}", humantime::format_duration(deadline));
    ClientError::Broken { base: base.clone(), why }
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
    use crate::client::Replicas;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, body: Bytes::from(body.to_owned()), date: None }
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
    fn a_refusal_gives_its_reason_in_either_form() {
        for refused in [
            answer(400, r#"{"message":"<Error> 'n' must be more than 0","status":"failure"}"#),
            answer(400, r#"{"title":"Bad Request","status":400,"detail":"'n' must be more than 0"}"#),
        ] {
            let error = replicas(&refused).expect_err("refused");
            assert!(matches!(&error, ClientError::Refused { status, .. } if status.as_u16() == 400));
            assert_eq!(error.to_string(), "'n' must be more than 0");
        }
    }

    #[test]
    fn another_servers_answer_is_told_from_a_balancers() {
        for other in [answer(200, "<html>"), answer(404, "not found"), answer(200, "{}")] {
            assert!(matches!(replicas(&other), Err(ClientError::Foreign { .. })), "{other:?}");
        }
    }
}
