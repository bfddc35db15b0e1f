//! `/rep`, `/add` and `/rm`, to the letter of the assignment.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::wire::{Failure, Success};
use crate::fleet::{CallError, Handle, View};

/// Why a body is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum PayloadError {
    #[error("The payload is not JSON: {0}")]
    Json(String),
    #[error("The payload must be a JSON object such as {{\"n\": 2, \"hostnames\": [\"S5\", \"S4\"]}}")]
    NotAnObject,
    #[error("'n' is missing: the number of instances")]
    Missing,
    #[error("'n' must be a whole number")]
    NotWhole,
    #[error("'hostnames' must be a list of strings")]
    NotNames,
    #[error("'n' must be more than 0")]
    NotPositive,
}

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
    let status = match &error {
        CallError::Change(_) => StatusCode::BAD_REQUEST,
        CallError::Refused(_) | CallError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        CallError::Slow { .. } => StatusCode::GATEWAY_TIMEOUT,
        CallError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Failure::of(&error))).into_response()
}

fn bad(error: &PayloadError) -> Response {
    (StatusCode::BAD_REQUEST, Json(Failure::of(error))).into_response()
}

/// The `n` and the `hostnames` of a payload, which may be left out.
fn payload(body: &[u8]) -> Result<(usize, Vec<String>), PayloadError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| PayloadError::Json(error.to_string()))?;
    let object = value.as_object().ok_or(PayloadError::NotAnObject)?;
    let number = match object.get("n") {
        None => return Err(PayloadError::Missing),
        Some(Value::Number(number)) if !number.is_f64() => number,
        Some(_) => return Err(PayloadError::NotWhole),
    };
    let names = match object.get("hostnames") {
        None => Vec::new(),
        Some(Value::Array(names)) => {
            let text = |name: &Value| name.as_str().map(str::to_owned).ok_or(PayloadError::NotNames);
            names.iter().map(text).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(PayloadError::NotNames),
    };
    match number.as_u64() {
        Some(count) if count > 0 => Ok((usize::try_from(count).unwrap_or(usize::MAX), names)),
        _ => Err(PayloadError::NotPositive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_a_count_and_perhaps_names() {
        assert_eq!(payload(br#"{"n":2,"hostnames":["S5","S4"]}"#), Ok((2, vec!["S5".into(), "S4".into()])));
        assert_eq!(payload(br#"{"n":1,"hostnames":[]}"#), Ok((1, vec![])));
        assert_eq!(payload(br#"{"n":1}"#), Ok((1, vec![])));
    }

    #[test]
    fn a_bad_payload_says_what_is_wrong_with_it() {
        for (body, error) in [
            ("[]", PayloadError::NotAnObject),
            ("{}", PayloadError::Missing),
            (r#"{"n":"3"}"#, PayloadError::NotWhole),
            (r#"{"n":1.5}"#, PayloadError::NotWhole),
            (r#"{"n":true}"#, PayloadError::NotWhole),
            (r#"{"n":1e99}"#, PayloadError::NotWhole),
            (r#"{"n":0}"#, PayloadError::NotPositive),
            (r#"{"n":-1}"#, PayloadError::NotPositive),
            (r#"{"n":1,"hostnames":"S1"}"#, PayloadError::NotNames),
            (r#"{"n":-1,"hostnames":[1]}"#, PayloadError::NotNames),
        ] {
            assert_eq!(payload(body.as_bytes()), Err(error), "{body}");
        }
        for body in ["", "n=1", r#"{"n":1"#, r#"{"n":1} x"#] {
            assert!(matches!(payload(body.as_bytes()), Err(PayloadError::Json(_))), "{body}");
        }
    }
}
