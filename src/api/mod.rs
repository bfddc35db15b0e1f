//! The control API: what an operator asks of the fleet, over HTTP.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    routing::{delete, get, post},
};

use crate::fleet::Handle;

mod assignment;
mod pipe;
mod v1;
pub mod wire;

pub use pipe::{Peer, Pipes};

/// The longest body of a call, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// The calls of the assignment: on the traffic port where the proxy hands them over, and on the admin listener.
pub fn control(fleet: Handle) -> Router {
    Router::new()
        .route("/rep", get(assignment::rep))
        .route("/add", post(assignment::add))
        .route("/rm", delete(assignment::rm))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(fleet)
}

/// Everything of ours, for the admin listener.
pub fn admin(fleet: Handle) -> Router {
    let own = Router::new()
        .route("/v1/pools/{pool}", get(v1::pool))
        .route("/v1/down", post(v1::down))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(fleet.clone());
    own.merge(control(fleet)).fallback(async || (StatusCode::NOT_FOUND, "there is nothing at this path\n"))
}
