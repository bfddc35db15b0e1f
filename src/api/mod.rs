//! The control API: what an operator asks of the fleet, over HTTP.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};

use crate::fleet::Handle;

mod access;
mod assignment;
mod payload;
mod pipe;
mod v1;
pub mod wire;

pub use access::{Access, Secret};
pub use pipe::{Peer, Pipes};

/// The longest body of a call, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// The calls of the assignment, for the traffic port, where the proxy hands them over.
pub fn control(fleet: Handle, access: Arc<Access>) -> Router {
    finish(assignments(fleet, &access)).layer(from_fn_with_state(access, access::on_traffic))
}

/// These and everything of ours, for the admin listener.
pub fn admin(fleet: Handle, access: Arc<Access>) -> Router {
    let own = Router::new()
        .route("/v1/pools/{pool}", get(v1::pool))
        .route("/v1/down", post(v1::down).route_layer(from_fn_with_state(access.clone(), access::on_change)))
        .with_state(fleet.clone());
    finish(own.merge(assignments(fleet, &access))).layer(from_fn_with_state(access, access::on_admin))
}

fn assignments(fleet: Handle, access: &Arc<Access>) -> Router {
    let changes = from_fn_with_state(access.clone(), access::on_change);
    Router::new()
        .route("/rep", get(assignment::rep))
        .route("/add", post(assignment::add).route_layer(changes.clone()))
        .route("/rm", delete(assignment::rm).route_layer(changes))
        .with_state(fleet)
}

fn finish(router: Router) -> Router {
    router
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(worded))
}

/// Gives the framework's bare refusals (no such path, wrong method, body too long) a body that says what is wrong.
async fn worded(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let detail = match response.status() {
        StatusCode::NOT_FOUND if is_bare(&response) => "there is nothing at this path",
        StatusCode::METHOD_NOT_ALLOWED => "this path does not know that method; 'Allow' says which it knows",
        StatusCode::PAYLOAD_TOO_LARGE => "the body of a call has 64 KiB at most",
        _ => return response,
    };
    let mut worded = wire::refusal(&path, response.status(), &detail).into_response();
    if let Some(allow) = response.headers().get(axum::http::header::ALLOW) {
        worded.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
    }
    worded
}

fn is_bare(response: &Response) -> bool {
    !response.headers().contains_key(axum::http::header::CONTENT_TYPE)
}
