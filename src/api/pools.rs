//! The pools and the routes themselves, and what clients are told of a pool.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    access::Access,
    payload::is_nothing,
    sheet,
    stats::{Health, Stats},
    v1::{bad, refusal},
    wire::{Pool, Problem, Routes},
};
use crate::fleet::{PoolError, Pools};

/// The most routes that there may be.
const MOST_ROUTES: usize = 1000;

/// All pools, each as by itself.
pub(super) async fn all(State(pools): State<Pools>) -> Response {
    let all: Vec<Pool> = pools.all().values().map(|fleet| Pool::from(&*fleet.view())).collect();
    Json(serde_json::json!({ "pools": all })).into_response()
}

pub(super) async fn put(
    State(pools): State<Pools>,
    Extension(access): Extension<Arc<Access>>,
    Path(pool): Path<String>,
    body: Bytes,
) -> Response {
    let settings = match sheet::settings(&body) {
        Ok(settings) => settings,
        Err(error) => return bad(&error),
    };
    if let Err(why) = access.check_powers(&settings) {
        return Problem::of(StatusCode::FORBIDDEN, &why).into_response();
    }
    match pools.put(pool.clone(), settings).await {
        Ok(()) => told(&pools, &pool),
        Err(error) => refused(&error),
    }
}

pub(super) async fn remove(State(pools): State<Pools>, Path(pool): Path<String>, body: Bytes) -> Response {
    if !is_nothing(&body) {
        return bad(&"this call says all in its path and has no payload");
    }
    match pools.remove(pool).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

pub(super) async fn routes(State(pools): State<Pools>) -> Response {
    Json(Routes::of(&pools.routes())).into_response()
}

pub(super) async fn route(State(pools): State<Pools>, body: Bytes) -> Response {
    match sheet::routes(&body) {
        Err(error) => bad(&error),
        Ok(sheets) if sheets.len() > MOST_ROUTES => {
            bad(&format!("there may be {MOST_ROUTES} routes at most"))
        }
        Ok(sheets) => match pools.route(sheets).await {
            Ok(()) => Json(Routes::of(&pools.routes())).into_response(),
            Err(error) => refused(&error),
        },
    }
}

/// What clients are told of a pool: who there is, and what each did.
pub(super) async fn stats(State(pools): State<Pools>, Path(pool): Path<String>) -> Response {
    match pools.get(&pool) {
        Ok(fleet) => Stats::of(&fleet.view()).into_response(),
        Err(error) => refused(&error),
    }
}

/// Whether anybody of a pool serves.
pub(super) async fn health(State(pools): State<Pools>, Path(pool): Path<String>) -> Response {
    match pools.get(&pool) {
        Ok(fleet) => Health::of(&fleet.view()).into_response(),
        Err(error) => refused(&error),
    }
}

fn told(pools: &Pools, name: &str) -> Response {
    match pools.get(name) {
        Ok(fleet) => Json(Pool::from(&*fleet.view())).into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &PoolError) -> Response {
    let status = match error {
        PoolError::Unknown(_) => StatusCode::NOT_FOUND,
        PoolError::Invalid(_) => StatusCode::BAD_REQUEST,
        PoolError::Conflict(_) => StatusCode::CONFLICT,
        PoolError::Call(error) => return refusal(error),
        PoolError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::of(status, error).into_response()
}
