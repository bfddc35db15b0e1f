//! Where settings come from: each flag of a command is also an environment variable and a key of the file.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Read where no other file is named, if it is there.
const DEFAULT_FILE: &str = "ringkeeper.toml";

/// Parses the command line, with the environment and the configuration file behind the flags of `command` and of those
/// of its subcommands that take `--config`.
pub fn parse(command: Command, line: &[OsString]) -> anyhow::Result<ArgMatches> {
    let command = with_environment(command);
    // once to find the file: a later pass has its values as defaults
    let first = command.clone().get_matches_from(line);
    let configured = first.subcommand().map_or(&first, |(_, matches)| matches);
    let named = configured.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    let file = match named {
        Some(file) => file,
        None if Path::new(DEFAULT_FILE).exists() => DEFAULT_FILE.into(),
        None => return Ok(first),
    };
    let table =
        read(&file).with_context(|| format!("cannot use the configuration file {}", file.display()))?;
    let command = with_file(command, &table).with_context(|| format!("in {}", file.display()))?;
    Ok(command.get_matches_from(line))
}

/// The name of a setting in the file: the flag's, with underscores.
pub(super) fn key(arg: &Arg) -> Option<String> {
    arg.get_long().filter(|long| *long != "help" && *long != "version").map(|long| long.replace('-', "_"))
}

/// Whether a setting can be given several times.
fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// The balancer's own commands and `status`, which all have one; not `ring`, which depends on nothing but its line.
fn takes_settings(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == "admin_listen")
}

fn on_each(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = if takes_settings(&command) { command.mut_args(change) } else { command };
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |sub| on_each(sub, change)))
}

/// An empty variable counts as not set, as compose passes on what is not there.
fn with_environment(command: Command) -> Command {
    on_each(command, &|arg| {
        let Some(key) = key(&arg) else { return arg };
        let name = format!("RINGKEEPER_{}", key.to_uppercase());
        if env::var_os(&name).is_some_and(|value| value.is_empty()) { arg } else { arg.env(name) }
    })
}

fn read(file: &Path) -> anyhow::Result<toml::Table> {
    Ok(std::fs::read_to_string(file)?.parse()?)
}

pub(super) fn with_file(command: Command, table: &toml::Table) -> anyhow::Result<Command> {
    let keys: Vec<String> = command.get_arguments().filter_map(key).filter(|key| key != "config").collect();
    for (name, value) in table {
        if !keys.contains(name) {
            let near = keys.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            bail!("there is no setting '{name}'; did you mean '{}'?", near.map_or("", String::as_str));
        }
        let takes_list =
            || command.get_arguments().any(|arg| key(arg).as_ref() == Some(name) && takes_several(arg));
        let is_list = |values: &[toml::Value]| values.iter().all(toml::Value::is_str) && takes_list();
        match value {
            toml::Value::Array(values) if is_list(values) => {}
            toml::Value::Array(_) | toml::Value::Table(_) | toml::Value::Datetime(_) => {
                bail!(
                    "'{name}' is {}",
                    if takes_list() {
                        "a text or a list of texts"
                    } else {
                        "a text, a number, true or false"
                    }
                )
            }
            _ => {}
        }
    }
    Ok(on_each(command, &|arg| match key(&arg).and_then(|key| table.get(&key)) {
        Some(toml::Value::String(text)) => arg.default_value(text.clone()),
        Some(toml::Value::Array(values)) => {
            let texts = values.iter().filter_map(|value| value.as_str().map(str::to_owned));
            arg.default_values(texts.collect::<Vec<_>>())
        }
        Some(value) => arg.default_value(value.to_string()),
        None => arg,
    }))
}
