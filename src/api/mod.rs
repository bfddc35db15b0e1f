//! The control API: what an operator asks of the fleet, over HTTP.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};

use crate::fleet::Pools;

mod access;
mod assignment;
mod body;
mod csv;
mod openapi;
mod payload;
mod pipe;
mod pools;
mod sheet;
mod stats;
#[cfg(test)]
mod tests;
mod v1;
pub mod wire;

pub use access::{Access, Secret};
pub use csv::csv;
pub use pipe::{Peer, Pipes};
pub use stats::{Health, Stats};

/// Where HAProxy's CSV is: as HAProxy's own page and those who read it call it.
const STATS: [&str; 6] = [
    "/stats;csv",
    "/stats;csv;norefresh",
    "/stats/;csv",
    "/stats/;csv;norefresh",
    "/;csv",
    "/;csv;norefresh",
];

/// The calls of the assignment, for the traffic port, where the proxy hands them over; and what clients are told of a pool,
/// which nobody has to be let in for: a setting has said where it is.
pub fn control(pools: Pools, access: Arc<Access>) -> Router {
    let calls = assignments(pools.clone(), &access).layer(from_fn_with_state(access, access::on_traffic));
    finish(calls.merge(told(pools))).layer(from_fn(body::read))
}

/// These and everything of ours, for the admin listener.
pub fn admin(pools: Pools, access: Arc<Access>) -> Router {
    let changes = from_fn_with_state(access.clone(), access::on_change);
    let own = STATS
        .iter()
        .fold(Router::new(), |router, path| router.route(path, get(csv::stats)))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/v1/pools", get(pools::all))
        .route(
            "/v1/pools/{pool}",
            get(v1::pool).merge(put(pools::put).delete(pools::remove).route_layer(changes.clone())),
        )
        .route("/v1/pools/{pool}/add", post(v1::add).route_layer(changes.clone()))
        .route("/v1/pools/{pool}/rm", post(v1::rm).route_layer(changes.clone()))
        .route("/v1/routes", get(pools::routes).merge(put(pools::route).route_layer(changes.clone())))
        .route("/v1/pools/{pool}/events", get(v1::events))
        .route("/v1/pools/{pool}/scale", put(v1::scale).route_layer(changes.clone()))
        .route("/v1/pools/{pool}/replicas/{name}/logs", get(v1::logs))
        .route("/v1/pools/{pool}/replicas/{name}/weight", put(v1::weigh).route_layer(changes.clone()))
        .route("/v1/pools/{pool}/replicas/{name}/drain", post(v1::drain).route_layer(changes.clone()))
        .route("/v1/pools/{pool}/replicas/{name}/restore", post(v1::restore).route_layer(changes.clone()))
        .route("/v1/pools/{pool}/replicas/{name}/restart", post(v1::restart).route_layer(changes.clone()))
        .route("/v1/down", post(v1::down).route_layer(changes))
        .layer(Extension(access.clone()))
        .with_state(pools.clone());
    finish(own.merge(assignments(pools, &access)))
        .layer(from_fn_with_state(access, access::on_admin))
        .layer(from_fn(body::read))
}

fn assignments(pools: Pools, access: &Arc<Access>) -> Router {
    let changes = from_fn_with_state(access.clone(), access::on_change);
    Router::new()
        .route("/rep", get(assignment::rep))
        .route("/add", post(assignment::add).route_layer(changes.clone()))
        .route("/rm", delete(assignment::rm).route_layer(changes))
        .with_state(pools)
}

/// What clients are told of a pool, at the paths that its settings say: the data plane asks for it here.
fn told(pools: Pools) -> Router {
    Router::new()
        .route("/pools/{pool}/stats", get(pools::stats))
        .route("/pools/{pool}/health", get(pools::health))
        .with_state(pools)
}

fn finish(router: Router) -> Router {
    router.fallback(async || StatusCode::NOT_FOUND).layer(from_fn(worded))
}

/// Gives the framework's bare refusals (no such path, one that is no text, wrong method) a body that
/// says what is wrong.
async fn worded(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let detail = match response.status() {
        StatusCode::NOT_FOUND if !is_ours(&response) => "there is nothing at this path",
        StatusCode::BAD_REQUEST if !is_ours(&response) => "the path of this call cannot be read",
        StatusCode::METHOD_NOT_ALLOWED => "this path does not know that method; 'Allow' says which it knows",
        _ => return response,
    };
    let mut worded = wire::refusal(&path, response.status(), &detail).into_response();
    if let Some(allow) = response.headers().get(axum::http::header::ALLOW) {
        worded.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
    }
    worded
}

fn is_ours(response: &Response) -> bool {
    let media_type = response.headers().get(axum::http::header::CONTENT_TYPE);
    media_type.is_some_and(|media_type| media_type.as_bytes().ends_with(b"json"))
}
