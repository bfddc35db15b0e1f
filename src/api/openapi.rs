//! The description of the whole control API, for programs (OpenAPI 3.1).

use axum::{http::header::CONTENT_TYPE, response::IntoResponse};

/// The document.
const DOCUMENT: &str = include_str!("openapi.json");

/// Answers `/v1/openapi.json`.
pub(super) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests;
