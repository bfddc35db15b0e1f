//! The settings of images that are not ours.

use std::{fs, path::PathBuf};

use anyhow::{Context, ensure};

use crate::engine::{
    Variable,
    docker::{Given, Gpus, Login, Pull, Pulling, Tmpfs, Volume},
};

/// What replicas are given beside their image or their command.
#[derive(clap::Args, Clone, Debug)]
pub struct GivenArgs {
    /// A variable of the replicas' environment; once for each
    #[arg(long, value_name = "NAME=VALUE", hide_env_values = true)]
    pub env: Vec<Variable>,
    /// What runs in a replica's container, or the arguments of its entrypoint [default: the image's]
    #[arg(long, value_name = "PROGRAM ARG…", allow_hyphen_values = true)]
    pub container_command: Option<String>,
    /// The entrypoint of a replica's container [default: the image's]
    #[arg(long, value_name = "PROGRAM ARG…")]
    pub container_entrypoint: Option<String>,
    /// Who runs it in a replica's container [default: the image's]
    #[arg(long, value_name = "USER[:GROUP]")]
    pub container_user: Option<String>,
    /// A volume or a directory of the engine's host in every replica's container; once for each
    #[arg(long, value_name = "NAME|/DIR:/INSIDE[:ro]")]
    pub volume: Vec<Volume>,
    /// A file system in memory in a replica's container, such as /run:size=16m; once for each
    #[arg(long, value_name = "/PATH[:OPTIONS]")]
    pub tmpfs: Vec<Tmpfs>,
    /// Graphics processors of a replica's container: all of them, or how many
    #[arg(long, value_name = "all|N")]
    pub gpus: Option<Gpus>,
    /// When the image is pulled: missing, always (before containers are created) or never
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub pull: Pull,
    /// Who pulls the image [default: whom `docker login` made known]
    #[arg(long, value_name = "USER")]
    pub registry_user: Option<String>,
    /// A file that holds the password of --registry-user
    #[arg(long, value_name = "FILE")]
    pub registry_password_file: Option<PathBuf>,
}

impl GivenArgs {
    /// What the containers are given.
    pub(super) fn given(&self) -> anyhow::Result<Given> {
        let user = self.container_user.clone();
        ensure!(user.as_ref().is_none_or(|user| !user.trim().is_empty()), "--container-user: names a user");
        Ok(Given {
            env: self.env.clone(),
            command: split("--container-command", self.container_command.as_deref())?,
            entrypoint: split("--container-entrypoint", self.container_entrypoint.as_deref())?,
            user,
            volumes: self.volume.clone(),
            tmpfs: self.tmpfs.clone(),
            gpus: self.gpus,
        })
    }

    /// How the image gets there.
    pub(super) fn pulling(&self) -> anyhow::Result<Pulling> {
        Ok(Pulling { when: self.pull, login: self.login()? })
    }

    fn login(&self) -> anyhow::Result<Option<Login>> {
        let (user, file) = match (&self.registry_user, &self.registry_password_file) {
            (None, None) => return Ok(None),
            (Some(user), Some(file)) => (user.clone(), file),
            (Some(_), None) => anyhow::bail!("--registry-user: needs --registry-password-file beside it"),
            (None, Some(_)) => anyhow::bail!("--registry-password-file: needs --registry-user beside it"),
        };
        let password = fs::read_to_string(file)
            .with_context(|| format!("--registry-password-file: cannot read {}", file.display()))?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        ensure!(!password.is_empty(), "--registry-password-file: {} is empty", file.display());
        Ok(Some(Login { user, password }))
    }
}

/// The words of a command line, as a shell splits them.
pub(super) fn split(flag: &str, line: Option<&str>) -> anyhow::Result<Option<Vec<String>>> {
    let Some(line) = line else { return Ok(None) };
    let words = shlex::split(line).with_context(|| format!("{flag} {line}: a quote is not closed"))?;
    ensure!(!words.is_empty(), "{flag}: names a program");
    Ok(Some(words))
}
