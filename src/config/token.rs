//! The token of the control API.

use std::{fs, path::PathBuf};

use anyhow::{Context, ensure};

use crate::api::Secret;

/// Where the token is found.
#[derive(clap::Args, Clone, Default)]
pub struct TokenArgs {
    /// The token that callers of the control API bring; without one only this machine may call
    #[arg(long, value_name = "TOKEN", hide_env_values = true, conflicts_with = "admin_token_file")]
    pub admin_token: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

impl std::fmt::Debug for TokenArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let masked = self.admin_token.as_ref().map(|_| "***");
        f.debug_struct("TokenArgs")
            .field("admin_token", &masked)
            .field("admin_token_file", &self.admin_token_file)
            .finish()
    }
}

impl TokenArgs {
    /// The token, if one is set. White space around it does not count.
    pub fn token(&self) -> anyhow::Result<Option<Secret>> {
        let text = match (&self.admin_token, &self.admin_token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => fs::read_to_string(file)
                .with_context(|| format!("--admin-token-file: cannot read {}", file.display()))?,
            (None, None) => return Ok(None),
        };
        let token = text.trim();
        ensure!(!token.is_empty(), "--admin-token: an empty token lets nobody in and keeps nobody out");
        ensure!(
            token.bytes().all(|b| b.is_ascii_graphic()),
            "--admin-token: a token is printable ASCII without spaces"
        );
        Ok(Some(Secret(token.to_owned())))
    }
}
