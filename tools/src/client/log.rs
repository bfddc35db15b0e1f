//! A replica's log as it comes.

use bytes::Bytes;
use http_body_util::BodyExt;

use super::{
    ClientError,
    call::{self, Open},
};
use crate::base::Base;

/// The log of a replica; ends where the balancer ends it. Dropping it ends the call.
#[derive(Debug)]
pub struct Log {
    base: Base,
    open: Open,
}

impl Log {
    pub(super) fn new(base: Base, open: Open) -> Self {
        Log { base, open }
    }

    /// The next piece, as long as it came; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.open.body.frame().await {
            let frame = frame.map_err(|error| call::broken(&self.base, &error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
