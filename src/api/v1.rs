//! `/v1`: what of ours the assignment does not know.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::wire::{Pool, Problem};
use crate::fleet::Handle;

pub(super) async fn pool(State(fleet): State<Handle>, Path(name): Path<String>) -> Response {
    let view = fleet.view();
    if name != *view.pool {
        return Problem::of(StatusCode::NOT_FOUND, &format!("there is no pool '{name}'")).into_response();
    }
    Json(Pool::from(&*view)).into_response()
}

pub(super) async fn down(State(fleet): State<Handle>, body: Bytes) -> Response {
    if !body.is_empty() {
        let detail = "this call takes everything down and has no payload";
        return Problem::of(StatusCode::BAD_REQUEST, &detail).into_response();
    }
    match fleet.down().await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => Problem::of(StatusCode::SERVICE_UNAVAILABLE, &error).into_response(),
    }
}
