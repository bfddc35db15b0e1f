//! `/rep`, `/add` and `/rm`, to the letter of the assignment.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    payload::{PayloadError, payload},
    wire::{Failure, Success, status},
};
use crate::fleet::{CallError, DEFAULT, Handle, Pools, View};

pub(super) async fn rep(State(pools): State<Pools>) -> Response {
    match pools.get(DEFAULT) {
        Ok(fleet) => Json(Success::of(&fleet.view())).into_response(),
        Err(_) => answer(Err(CallError::Stopping)),
    }
}

pub(super) async fn add(State(pools): State<Pools>, body: Bytes) -> Response {
    change(&pools, &body, Handle::add).await
}

pub(super) async fn rm(State(pools): State<Pools>, body: Bytes) -> Response {
    change(&pools, &body, Handle::remove).await
}

async fn change(
    pools: &Pools,
    body: &[u8],
    call: impl AsyncFnOnce(&Handle, usize, Vec<String>) -> Result<Arc<View>, CallError>,
) -> Response {
    match (payload(body), pools.get(DEFAULT)) {
        (Ok((count, names)), Ok(fleet)) => answer(call(&fleet, count, names).await),
        (Err(error), _) => bad(&error),
        (_, Err(_)) => answer(Err(CallError::Stopping)),
    }
}

fn answer(result: Result<Arc<View>, CallError>) -> Response {
    let error = match result {
        Ok(view) => return Json(Success::of(&view)).into_response(),
        Err(error) => error,
    };
    (status(&error), Json(Failure::of(&error))).into_response()
}

fn bad(error: &PayloadError) -> Response {
    (StatusCode::BAD_REQUEST, Json(Failure::of(error))).into_response()
}
