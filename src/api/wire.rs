//! The control API's JSON, and how it becomes and comes from what the fleet speaks.

use std::{fmt::Display, time::SystemTime};

use axum::{
    Json,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    fleet::{CallError, Entry, Given, LastExit, Line, Reading, Row, RowState, Sheet, Traffic, View},
    table::{Spread, queue::Stats},
};

/// The assignment's answer to a call that did what it was to do.
#[derive(Debug, Serialize)]
pub struct Success {
    message: Replicas,
    status: &'static str,
}

/// The replicas in the order of their joining.
#[derive(Debug, Serialize)]
struct Replicas {
    #[serde(rename = "N")]
    count: usize,
    replicas: Vec<String>,
}

/// The assignment's answer to a call that did nothing.
#[derive(Debug, Serialize)]
pub struct Failure {
    message: String,
    status: &'static str,
}

/// What `/v1` says of a call that did nothing: problem details (RFC 9457).
#[derive(Debug, Serialize)]
pub struct Problem {
    title: String,
    status: u16,
    detail: String,
}

/// `GET /v1/pools/{pool}`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pool {
    /// The pool's name.
    pub pool: String,
    /// The epoch of the table in force.
    pub epoch: u64,
    /// How the ring is made.
    pub ring: Ring,
    /// What shares its requests out.
    #[serde(default)]
    pub policy: String,
    /// Where requests wait that find all replicas full, where they may.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queue: Option<Queue>,
    /// What keeps the fleet from doing its work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
    /// The desired replicas in the order of joining, then the leaving ones.
    pub replicas: Vec<Replica>,
    /// The requests of all instances that the pool had since the balancer began.
    #[serde(default)]
    pub totals: Requests,
}

/// Requests that wait for a replica.
#[derive(Debug, Serialize, Deserialize)]
pub struct Queue {
    /// How many do.
    pub length: usize,
    /// How many may.
    pub most: usize,
    /// How long those who got one of late had waited, on average.
    pub waited_ms: u64,
    /// How many waited in vain for as long as they may.
    pub timeouts: u64,
    /// How many found it full, or had to make room.
    pub refused: u64,
}

/// A ring's spec, in the words of the flags.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ring {
    /// M.
    pub slots: u32,
    /// A number or `full`.
    #[serde(rename = "virtual")]
    pub placement: String,
    /// `linear` or `quadratic`.
    pub probing: String,
    /// The name of the hash functions.
    pub hash: String,
    /// A decimal.
    pub slack: f64,
}

/// One replica.
#[derive(Debug, Serialize, Deserialize)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Its number on the ring.
    pub number: u16,
    /// `starting`, `ready`, `suspected`, `ejected`, `drained`, `down`, `crash-looping` or `leaving`.
    pub state: String,
    /// Why others are preferred to it, why it is down, or what it dies of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Since when (RFC 3339).
    pub since: String,
    /// Which life of it this is.
    pub instance: String,
    /// `IP:PORT`, once it runs.
    pub address: Option<String>,
    /// How many instances came before this one.
    pub restarts: u32,
    /// Its share of the ring, in comparison with the others: 1 to 100.
    pub weight: u8,
    /// Whether it has a place on the ring: from its first readiness until it leaves.
    pub on_ring: bool,
    /// Whether it is to get no requests, as an operator wants it; also while it is not well.
    pub drained: bool,
    /// Its requests, since the instance began or the balancer.
    #[serde(flatten)]
    pub requests: Requests,
    /// Requests that wait for a connection to it.
    #[serde(default)]
    pub waiting: usize,
    /// How the one before ended.
    pub last_exit: Option<Exit>,
}

/// Requests, counted at one moment: what was dispatched is what has completed and what is pending together.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// Requests that it has now: the same as `pending`.
    pub in_flight: u64,
    /// Requests that it was ever chosen for: the same as `dispatched`.
    pub requests: u64,
    /// Requests that chose it, retries among them.
    pub dispatched: u64,
    /// Those of which nothing is to be done any more.
    pub completed: u64,
    /// Those that are under way.
    pub pending: u64,
    /// Requests that failed: by an error of its own (5xx), by breaking off, or by not being answered in time.
    pub errors: u64,
    /// Responses that broke off when their head had gone to the client.
    pub truncated: u64,
    /// Requests that could not be sent: no connection to it was there or could be opened.
    pub unreached: u64,
    /// Requests that moved on from it to another.
    pub retries: u64,
    /// How often others came to be preferred to it for what it failed.
    pub ejections: u64,
    /// How long it took from choosing it to the response's head, in the last minute or two; `null` where there was none.
    pub latency: Option<Latency>,
}

/// How long answers took: at most a sixteenth less than this.
#[derive(Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Milliseconds that half of them did not take longer than.
    pub p50_ms: f64,
    /// 90 of 100.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// All of them.
    pub max_ms: f64,
}

/// How an instance ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exit {
    /// In words.
    pub reason: String,
    /// Its exit code, where one is known.
    pub code: Option<i32>,
    /// Whether the kernel ended it for want of memory.
    pub oom: bool,
    /// When it was noticed (RFC 3339).
    pub at: String,
    /// The last lines that it wrote.
    pub log: Vec<String>,
}

/// `GET /v1/routes`, and what is put there.
#[derive(Debug, Serialize)]
pub struct Routes {
    /// As they were given, in the order in which they were.
    pub routes: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// `GET /v1/pools/{pool}/events`.
#[derive(Debug, Serialize)]
pub struct Events {
    events: Vec<Happening>,
    /// The place of the newest event there is, to ask for what comes after it.
    last: u64,
}

#[derive(Debug, Serialize)]
struct Happening {
    seq: u64,
    /// When it was noticed (RFC 3339).
    at: String,
    name: String,
    instance: String,
    kind: &'static str,
    text: String,
    /// Of a death: the last lines that the instance wrote.
    log: Vec<String>,
}

impl Routes {
    /// These.
    pub fn of(sheets: &[Sheet]) -> Self {
        let value = |given: &Given| match given {
            Given::One(text) if text == "true" || text == "false" => (text == "true").into(),
            Given::One(text) => text.clone().into(),
            Given::List(texts) => texts.clone().into(),
        };
        let route = |sheet: &Sheet| sheet.iter().map(|(name, given)| (name.clone(), value(given))).collect();
        Routes { routes: sheets.iter().map(route).collect() }
    }
}

impl Success {
    /// What `/rep` shows.
    pub fn of(view: &View) -> Self {
        let replicas: Vec<String> = view.names().map(ToString::to_string).collect();
        Success { message: Replicas { count: replicas.len(), replicas }, status: "successful" }
    }
}

impl Failure {
    /// Says what is wrong.
    pub fn of(error: &impl Display) -> Self {
        Failure { message: format!("<Error> {error}"), status: "failure" }
    }
}

impl Problem {
    /// Says what is wrong.
    pub fn of(status: StatusCode, error: &impl Display) -> Self {
        let title = status.canonical_reason().unwrap_or("Refused").to_owned();
        Problem { title, status: status.as_u16(), detail: error.to_string() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("made from one");
        (status, [(CONTENT_TYPE, "application/problem+json")], Json(self)).into_response()
    }
}

/// An error in the shape of its path: the assignment's on its three, problem details elsewhere.
pub fn refusal(path: &str, status: StatusCode, error: &impl Display) -> Response {
    match path {
        "/rep" | "/add" | "/rm" => (status, Json(Failure::of(error))).into_response(),
        _ => Problem::of(status, error).into_response(),
    }
}

/// The status of the answer to a call that was not done.
pub fn status(error: &CallError) -> StatusCode {
    match error {
        CallError::Change(_) => StatusCode::BAD_REQUEST,
        CallError::Refused(_) | CallError::Store(_) | CallError::Left(_) => StatusCode::INTERNAL_SERVER_ERROR,
        CallError::Slow { .. } => StatusCode::GATEWAY_TIMEOUT,
        CallError::Nobody { .. } => StatusCode::CONFLICT,
        CallError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl Events {
    /// These, and the place of the last.
    pub fn of((entries, last): (Vec<Entry>, u64)) -> Self {
        Events { events: entries.iter().map(Happening::of).collect(), last }
    }
}

impl Happening {
    fn of(entry: &Entry) -> Self {
        Happening {
            seq: entry.seq,
            at: rfc3339(entry.at),
            name: entry.event.name.to_string(),
            instance: entry.event.instance.to_string(),
            kind: entry.event.what.word(),
            text: entry.event.what.to_string(),
            log: entry.log.to_vec(),
        }
    }
}

impl From<&View> for Pool {
    fn from(view: &View) -> Self {
        let ring = Ring {
            slots: view.ring.slots,
            placement: view.ring.placement.to_string(),
            probing: view.ring.probing.to_string(),
            hash: view.ring.hash.to_string(),
            slack: f64::from(view.ring.slack.millionths()) / 1e6,
        };
        let readings = view.read();
        Pool {
            pool: view.pool.to_string(),
            epoch: view.epoch,
            ring,
            policy: view.policy.to_string(),
            queue: view.queue.as_ref().map(Queue::from),
            problem: view.problem.clone(),
            replicas: view.rows.iter().zip(&readings.rows).map(Replica::from).collect(),
            totals: Requests::from(&readings.total),
        }
    }
}

impl From<&Line> for Queue {
    fn from(line: &Line) -> Self {
        let Stats { length, most, waited, timeouts, refused } = line.stats();
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Queue { length, most, waited_ms, timeouts, refused }
    }
}

impl From<(&Row, &Reading)> for Replica {
    fn from((row, reading): (&Row, &Reading)) -> Self {
        let (state, reason) = match &row.state {
            RowState::Starting => ("starting", None),
            RowState::Ready => ("ready", None),
            RowState::Suspected => ("suspected", Some("a connection to it failed".to_owned())),
            RowState::Ejected(reason) => ("ejected", Some(reason.clone())),
            RowState::Drained => ("drained", None),
            RowState::Down(reason) => ("down", Some(reason.clone())),
            RowState::CrashLooping(reason) => ("crash-looping", Some(reason.clone())),
            RowState::Leaving => ("leaving", None),
        };
        Replica {
            name: row.name.to_string(),
            number: row.number.get(),
            state: state.to_owned(),
            reason,
            since: rfc3339(row.since),
            instance: row.instance.to_string(),
            address: row.address.map(|address| address.to_string()),
            restarts: row.restarts,
            weight: row.weight.get(),
            on_ring: row.on_ring,
            drained: row.drained,
            requests: Requests::from(reading),
            waiting: row.traffic.as_ref().map_or(0, Traffic::waiting),
            last_exit: row.last_exit.as_ref().map(Exit::from),
        }
    }
}

impl From<&Reading> for Requests {
    fn from(Reading { counts, times }: &Reading) -> Self {
        Requests {
            in_flight: counts.pending(),
            requests: counts.dispatched(),
            dispatched: counts.dispatched(),
            completed: counts.completed(),
            pending: counts.pending(),
            errors: counts.errors,
            truncated: counts.truncated,
            unreached: counts.unreached,
            retries: counts.retries,
            ejections: counts.ejections,
            latency: Latency::of(times),
        }
    }
}

impl Latency {
    fn of(times: &Spread) -> Option<Self> {
        let ms = |part| times.quantile(part).map(|time| time.as_micros() as f64 / 1e3);
        Some(Latency { p50_ms: ms(0.5)?, p90_ms: ms(0.9)?, p99_ms: ms(0.99)?, max_ms: ms(1.0)? })
    }
}

impl From<&LastExit> for Exit {
    fn from(exit: &LastExit) -> Self {
        let (reason, log) = (exit.reason.clone(), exit.log.to_vec());
        Exit { reason, code: exit.code, oom: exit.out_of_memory, at: rfc3339(exit.at), log }
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
