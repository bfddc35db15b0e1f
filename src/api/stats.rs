//! What a pool says of itself where its clients ask, in the shape of a small balancer's `/stats` and `/health`.
//!
//! Both are made of a [`View`] alone, and are whole responses: `Stats::of(&handle.view()).into_response()`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};

use crate::{
    fleet::{Row, View},
    name::Name,
    table::Counts,
};

/// `{"instances":["NAME",…],"stats":{"NAME":{"requests":5,"errors":0},…}}`: the desired replicas in the order of
/// joining. What is counted of one is of all instances of its name under this balancer.
#[derive(Debug, Serialize)]
pub struct Stats {
    instances: Vec<String>,
    #[serde(serialize_with = "as_object")]
    stats: Vec<(String, Count)>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Count {
    /// Requests that it was chosen for, those that moved on to another among them.
    requests: u64,
    /// Those that it failed, and those for which there was no connection to it.
    errors: u64,
}

/// `{"status":"healthy","instances":3,"healthy":2}`: how many replicas are desired, and how many of them serve. Where
/// nobody does, it is `unhealthy`, and the response's status is 503.
#[derive(Debug, Serialize)]
pub struct Health {
    status: &'static str,
    instances: usize,
    healthy: usize,
}

impl Stats {
    /// What this pool's replicas did.
    pub fn of(view: &View) -> Self {
        let count = |name: &Name| (name.to_string(), Count::of(&view.counts_of(name)));
        Stats {
            instances: view.names().map(Name::to_string).collect(),
            stats: view.names().map(count).collect(),
        }
    }
}

impl Count {
    fn of(counts: &Counts) -> Self {
        Count { requests: counts.dispatched(), errors: counts.errors + counts.unreached }
    }
}

impl Health {
    /// How this pool is.
    pub fn of(view: &View) -> Self {
        let healthy = view.desired().filter(|row: &&Row| row.state.serves()).count();
        let status = if healthy > 0 { "healthy" } else { "unhealthy" };
        Health { status, instances: view.desired().count(), healthy }
    }
}

impl IntoResponse for Stats {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

impl IntoResponse for Health {
    fn into_response(self) -> Response {
        let status = if self.healthy > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

fn as_object<S: Serializer>(stats: &[(String, Count)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(stats.iter().map(|(name, count)| (name, count)))
}
