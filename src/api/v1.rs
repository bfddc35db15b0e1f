//! `/v1`: what of ours the assignment does not know.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::wire::{Failure, Pool};
use crate::fleet::Handle;

pub(super) async fn pool(State(fleet): State<Handle>, Path(name): Path<String>) -> Response {
    let view = fleet.view();
    if name != *view.pool {
        let missing = Failure::of(&format!("there is no pool '{name}'"));
        return (StatusCode::NOT_FOUND, Json(missing)).into_response();
    }
    Json(Pool::from(&*view)).into_response()
}

pub(super) async fn down(State(fleet): State<Handle>) -> Response {
    match fleet.down().await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(Failure::of(&error))).into_response(),
    }
}
