//! `/v1`: what of ours the assignment does not know.

use std::{fmt::Display, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    payload::{is_nothing, number, payload},
    wire::{Events, Pool, Problem, status},
};
use crate::{
    fleet::{CallError, ChangeError, Handle, Pools, View},
    ring::Weight,
};

/// The longest that a question for events is held.
const LONGEST_WAIT: u64 = 60;
/// The most lines of a log at once.
const MOST_LINES: usize = 10_000;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Since {
    after: u64,
    /// Seconds.
    wait: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lines {
    tail: usize,
    follow: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Lines { tail: 100, follow: false }
    }
}

pub(super) async fn pool(State(pools): State<Pools>, Path(pool): Path<String>) -> Response {
    match known(&pools, &pool) {
        Ok(fleet) => Json(Pool::from(&*fleet.view())).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Holds the answer until there is something after the place that is asked for, or the wait is over.
pub(super) async fn events(
    State(pools): State<Pools>,
    Path(pool): Path<String>,
    query: Result<Query<Since>, QueryRejection>,
) -> Response {
    let fleet = match known(&pools, &pool) {
        Ok(fleet) => fleet,
        Err(refused) => return refused.into_response(),
    };
    match query {
        Ok(Query(Since { wait, .. })) if wait > LONGEST_WAIT => {
            bad(&format!("'wait' is {LONGEST_WAIT} seconds at most"))
        }
        Ok(Query(Since { after, wait })) => {
            Json(Events::of(fleet.events(after, Duration::from_secs(wait)).await)).into_response()
        }
        Err(error) => bad(&error),
    }
}

pub(super) async fn scale(State(pools): State<Pools>, Path(pool): Path<String>, body: Bytes) -> Response {
    let fleet = match known(&pools, &pool) {
        Ok(fleet) => fleet,
        Err(refused) => return refused.into_response(),
    };
    match number(&body, "replicas", r#"{"replicas": 5}"#) {
        Ok(count) => answer(fleet.scale(usize::try_from(count).unwrap_or(usize::MAX)).await),
        Err(error) => bad(&error),
    }
}

pub(super) async fn add(pools: State<Pools>, pool: Path<String>, body: Bytes) -> Response {
    change(pools, pool, &body, Handle::add).await
}

pub(super) async fn rm(pools: State<Pools>, pool: Path<String>, body: Bytes) -> Response {
    change(pools, pool, &body, Handle::remove).await
}

/// A call with the assignment's payload.
async fn change(
    State(pools): State<Pools>,
    Path(pool): Path<String>,
    body: &[u8],
    call: impl AsyncFnOnce(&Handle, usize, Vec<String>) -> Result<Arc<View>, CallError>,
) -> Response {
    match (known(&pools, &pool), payload(body)) {
        (Err(refused), _) => refused.into_response(),
        (_, Err(error)) => bad(&error),
        (Ok(fleet), Ok((count, names))) => answer(call(&fleet, count, names).await),
    }
}

pub(super) async fn weigh(
    State(pools): State<Pools>,
    Path((pool, name)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let fleet = match known(&pools, &pool) {
        Ok(fleet) => fleet,
        Err(refused) => return refused.into_response(),
    };
    let weight = match number(&body, "weight", r#"{"weight": 2}"#) {
        Ok(weight) => u8::try_from(weight).ok().and_then(Weight::new),
        Err(error) => return bad(&error),
    };
    match weight {
        Some(weight) => answer(fleet.weigh(name, weight).await),
        None => bad(&"a weight is a whole number from 1 to 100"),
    }
}

pub(super) async fn drain(pools: State<Pools>, path: Path<(String, String)>, body: Bytes) -> Response {
    one(pools, path, &body, Handle::drain).await
}

pub(super) async fn restore(pools: State<Pools>, path: Path<(String, String)>, body: Bytes) -> Response {
    one(pools, path, &body, Handle::restore).await
}

pub(super) async fn restart(pools: State<Pools>, path: Path<(String, String)>, body: Bytes) -> Response {
    one(pools, path, &body, Handle::restart).await
}

/// A call about one replica that says all in its path.
async fn one(
    State(pools): State<Pools>,
    Path((pool, name)): Path<(String, String)>,
    body: &[u8],
    call: impl AsyncFnOnce(&Handle, String) -> Result<Arc<View>, CallError>,
) -> Response {
    match known(&pools, &pool) {
        Err(refused) => refused.into_response(),
        Ok(_) if !is_nothing(body) => bad(&"this call says all in its path and has no payload"),
        Ok(fleet) => answer(call(&fleet, name).await),
    }
}

pub(super) async fn logs(
    State(pools): State<Pools>,
    Path((pool, name)): Path<(String, String)>,
    query: Result<Query<Lines>, QueryRejection>,
) -> Response {
    let fleet = match known(&pools, &pool) {
        Ok(fleet) => fleet,
        Err(refused) => return refused.into_response(),
    };
    let Lines { tail, follow } = match query {
        Ok(Query(lines)) => lines,
        Err(error) => return bad(&error),
    };
    if tail > MOST_LINES {
        return bad(&format!("'tail' is {MOST_LINES} lines at most"));
    }
    match fleet.logs(name, tail, follow).await {
        Ok(pieces) => {
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(pieces)).into_response()
        }
        Err(error) => refusal(&error),
    }
}

pub(super) async fn down(State(pools): State<Pools>, body: Bytes) -> Response {
    if !is_nothing(&body) {
        return bad(&"this call takes everything down and has no payload");
    }
    match pools.down().await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => Problem::of(StatusCode::SERVICE_UNAVAILABLE, &error).into_response(),
    }
}

/// Refuses a pool that there is not.
fn known(pools: &Pools, pool: &str) -> Result<Handle, Problem> {
    pools.get(pool).map_err(|error| Problem::of(StatusCode::NOT_FOUND, &error))
}

fn answer(result: Result<Arc<View>, CallError>) -> Response {
    match result {
        Ok(view) => Json(Pool::from(&*view)).into_response(),
        Err(error) => refusal(&error),
    }
}

pub(super) fn refusal(error: &CallError) -> Response {
    let status = match error {
        CallError::Change(ChangeError::Unknown(_)) => StatusCode::NOT_FOUND, // it stands in the path
        error => status(error),
    };
    Problem::of(status, error).into_response()
}

pub(super) fn bad(error: &impl Display) -> Response {
    Problem::of(StatusCode::BAD_REQUEST, error).into_response()
}
