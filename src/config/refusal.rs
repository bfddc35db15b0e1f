//! Why a value is refused, without the flag's name, which may not be how it was given.

use std::error::Error;

use clap::error::{ContextKind, ContextValue};

/// The reason in an error of clap's about one flag.
pub(super) fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) {
        return format!("not {}", valid.join(" or "));
    }
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
