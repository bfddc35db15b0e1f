//! The control API's JSON, and how it becomes and comes from what the fleet speaks.

use std::{fmt::Display, time::SystemTime};

use axum::{
    Json,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::fleet::{CallError, Entry, LastExit, Row, RowState, Traffic, View};

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
    /// What keeps the fleet from doing its work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
    /// The desired replicas in the order of joining, then the leaving ones.
    pub replicas: Vec<Replica>,
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
    /// Requests that it has now.
    pub in_flight: usize,
    /// Requests that this instance was ever chosen for.
    pub requests: u64,
    /// Requests that this instance failed: by an error of its own (5xx), by breaking off, or by not answering in time.
    pub errors: u64,
    /// Requests that moved on from it to another.
    pub retries: u64,
    /// Its responses that broke off when their head had gone to the client.
    pub truncated: u64,
    /// How the one before ended.
    pub last_exit: Option<Exit>,
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
        Pool {
            pool: view.pool.to_string(),
            epoch: view.epoch,
            ring,
            policy: view.policy.to_string(),
            problem: view.problem.clone(),
            replicas: view.rows.iter().map(Replica::from).collect(),
        }
    }
}

impl From<&Row> for Replica {
    fn from(row: &Row) -> Self {
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
            in_flight: row.traffic.as_ref().map_or(0, Traffic::in_flight),
            requests: row.traffic.as_ref().map_or(0, Traffic::requests),
            errors: row.traffic.as_ref().map_or(0, Traffic::errors),
            retries: row.traffic.as_ref().map_or(0, Traffic::retries),
            truncated: row.traffic.as_ref().map_or(0, Traffic::truncated),
            last_exit: row.last_exit.as_ref().map(Exit::from),
        }
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
