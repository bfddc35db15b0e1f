//! Long tasks: `POST /task?seconds=3` takes that long. `GET /health` says that the service lives.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::Query,
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{listen, told_to_end};

/// How long tasks are taken still when the service was told to end: whoever sends them may hear of that a moment later.
const NOTICE: Duration = Duration::from_millis(500);

/// The longest task.
const LONGEST: f64 = 3600.0;

#[derive(Deserialize)]
struct Task {
    seconds: f64,
}

/// Serves until it is told to end and every task is done.
pub async fn serve() -> anyhow::Result<()> {
    let router = Router::new().route("/task", post(work)).route("/health", get(|| async { "healthy\n" }));
    let (listener, _) = listen().await?;
    let end = async {
        told_to_end().await;
        sleep(NOTICE).await;
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(end).await?)
}

async fn work(Query(task): Query<Task>) -> (StatusCode, Json<Value>) {
    if !(0.0..=LONGEST).contains(&task.seconds) {
        let error = json!({ "error": format!("a task takes from 0 to {LONGEST} seconds") });
        return (StatusCode::BAD_REQUEST, Json(error));
    }
    sleep(Duration::from_secs_f64(task.seconds)).await;
    let by = std::env::var("HOSTNAME").unwrap_or_default();
    (StatusCode::OK, Json(json!({ "status": "completed", "seconds": task.seconds, "instance": by })))
}
