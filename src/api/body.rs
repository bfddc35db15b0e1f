//! A call's body, read whole before anything is decided: a connection that is closed over unread bytes may take the
//! answer with it.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::wire::refusal;

/// The longest body of a call, in bytes.
const LIMIT: usize = 64 * 1024;
/// How much of a longer one is read, and forgotten, so that its sender is there to hear the answer.
const HEARD_OUT: usize = 8 * 1024 * 1024;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BodyError {
    #[error("the body of a call has 64 KiB at most")]
    Long,
    #[error("the body of this call broke off or cannot be read")]
    Broken,
    #[error("the body of this call did not come within 10 seconds")]
    Late,
}

/// Gives the call on with its whole body, or refuses it.
pub(super) async fn read(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let error = match timeout(PATIENCE, whole(body)).await {
        Ok(Ok(body)) => return next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(error)) => error,
        Err(_) => BodyError::Late,
    };
    let status = match error {
        BodyError::Long => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Broken => StatusCode::BAD_REQUEST,
        BodyError::Late => StatusCode::REQUEST_TIMEOUT,
    };
    refusal(head.uri.path(), status, &error)
}

async fn whole(mut body: Body) -> Result<Bytes, BodyError> {
    let (mut taken, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        length += data.len();
        if length <= LIMIT {
            taken.extend_from_slice(&data);
        } else if length > HEARD_OUT {
            break;
        }
    }
    if length <= LIMIT { Ok(taken.into()) } else { Err(BodyError::Long) }
}
