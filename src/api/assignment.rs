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
use crate::fleet::{CallError, Handle, View};

pub(super) async fn rep(State(fleet): State<Handle>) -> Response {
    Json(Success::of(&fleet.view())).into_response()
}

pub(super) async fn add(State(fleet): State<Handle>, body: Bytes) -> Response {
    match payload(&body) {
        Ok((count, names)) => answer(fleet.add(count, names).await),
        Err(error) => bad(&error),
    }
}

pub(super) async fn rm(State(fleet): State<Handle>, body: Bytes) -> Response {
    match payload(&body) {
        Ok((count, names)) => answer(fleet.remove(count, names).await),
        Err(error) => bad(&error),
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
