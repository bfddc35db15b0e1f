//! Where settings come from: each flag of a command is also an environment variable and a key of the file.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};

use super::{
    file::{Entry, File, Shape},
    refusal,
    section::Sections,
    settings::{Origin, Setting, Settings},
};

/// Read where no other file is named, if it is there.
const DEFAULT_FILE: &str = "ringkeeper.toml";

/// The command line with all that is behind it.
#[derive(Debug)]
pub struct Settled {
    /// What was typed, and for what was not, what the environment, the file or the defaults say.
    pub matches: ArgMatches,
    /// The same, setting by setting; none for a command that has none.
    pub settings: Settings,
    /// What the file has beside them.
    pub sections: Sections,
}

/// Settings that cannot be used.
#[derive(Debug)]
pub struct Invalid {
    /// What is wrong, and where.
    pub problems: Vec<String>,
    /// The command line alone.
    pub typed: ArgMatches,
}

/// What the environment or the file says of a setting.
pub(super) struct Said<'a> {
    arg: &'a Arg,
    values: Vec<String>,
    origin: Origin,
}

/// Parses the command line; behind its flags stand the environment and the configuration file, for the balancer's own
/// commands and others that reach a balancer. Ends the program where the line itself is wrong or asks for help.
pub fn parse(command: Command, line: &[OsString]) -> Result<Settled, Invalid> {
    let typed = match command.clone().try_get_matches_from(line) {
        Ok(typed) => typed,
        Err(_) => with_environment(command.clone()).get_matches_from(line), // its help tells the variables
    };
    let name = typed.subcommand_name().map(str::to_owned);
    let used = name.as_ref().and_then(|name| command.find_subcommand(name)).unwrap_or(&command);
    if !takes_settings(used) {
        let (settings, sections) = (Settings::default(), Sections::default());
        return Ok(Settled { matches: typed, settings, sections });
    }
    let flags = typed.subcommand().map_or(&typed, |(_, flags)| flags);
    let heard = read(&command, flags).and_then(|file| Ok((said(used, flags, file.as_ref())?, file)));
    let (said, file) = match heard {
        Ok(heard) => heard,
        Err(problems) => return Err(Invalid { problems, typed }),
    };
    let layered = layered(used.clone(), &said);
    let layered = match &name {
        Some(name) => command.clone().mut_subcommand(name, |_| layered),
        None => layered,
    };
    let matches = layered.get_matches_from(line);
    let mut settings = settings(used, &said, matches.subcommand().map_or(&matches, |(_, matches)| matches));
    settings.read_from(file.as_ref().map(|file| file.path.clone()));
    Ok(Settled { matches, settings, sections: file.map(Sections::of).unwrap_or_default() })
}

/// The name of a setting in the file: the flag's, with underscores.
pub(super) fn key(arg: &Arg) -> Option<String> {
    arg.get_long().filter(|long| *long != "help" && *long != "version").map(|long| long.replace('-', "_"))
}

/// The balancer's own commands and those that reach one; not `ring`, which depends on nothing but its line.
fn takes_settings(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == "admin_listen")
}

fn variable(key: &str) -> String {
    format!("RINGKEEPER_{}", key.to_uppercase())
}

/// A variable's value. An empty one counts as not set, as compose passes on what is not there.
fn value_of(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

/// The command with the variables in its help.
fn with_environment(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let shown = |arg: Arg| match key(&arg) {
        Some(key) if value_of(&variable(&key)).is_some() || env::var_os(variable(&key)).is_none() => {
            arg.env(variable(&key))
        }
        _ => arg,
    };
    let command = if takes_settings(&command) { command.mut_args(shown) } else { command };
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_environment))
}

/// The file that is named, or that is there; its keys are settings of `serve`.
fn read(serve: &Command, flags: &ArgMatches) -> Result<Option<File>, Vec<String>> {
    let typed = flags.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    let path = match typed.or_else(|| value_of("RINGKEEPER_CONFIG").map(PathBuf::from)) {
        Some(path) => path,
        None if Path::new(DEFAULT_FILE).exists() => DEFAULT_FILE.into(),
        None => return Ok(None),
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| vec![format!("cannot use the configuration file {}: {error}", path.display())])?;
    let file = File::parse(path, &text)?;
    unknown(serve, &file)?;
    Ok(Some(file))
}

/// An error where the file has a key that is no setting.
pub(super) fn unknown(serve: &Command, file: &File) -> Result<(), Vec<String>> {
    let keys: Vec<String> = serve.get_arguments().filter_map(key).filter(|key| key != "config").collect();
    let unknown = file.entries.iter().filter(|entry| !keys.contains(&entry.key));
    let told = unknown.map(|Entry { key, line, .. }| {
        let near = keys.iter().max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
        let near = near.map_or("", String::as_str);
        format!("{}: there is no setting '{key}'; did you mean '{near}'?", file.line(*line))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { Ok(()) } else { Err(told) }
}

/// What environment and file say where the command line is silent, each value tried; or all that is wrong in them.
pub(super) fn said<'a>(
    used: &'a Command,
    flags: &ArgMatches,
    file: Option<&File>,
) -> Result<Vec<Said<'a>>, Vec<String>> {
    let (mut said, mut problems) = (Vec::new(), Vec::new());
    for arg in used.get_arguments() {
        let Some(key) = key(arg).filter(|key| key != "config") else { continue };
        let entry = file.and_then(|file| Some((file, file.get(&key)?)));
        let by_file = entry.map(|(file, entry)| of_file(used, arg, file, entry));
        let by_environment = value_of(&variable(&key)).map(|text| of_environment(used, arg, &key, &text));
        for result in by_environment.into_iter().chain(by_file) {
            match result {
                Ok(new) => said.push(new),
                Err(found) => problems.extend(found),
            }
        }
    }
    if problems.is_empty() { Ok(strongest(used, flags, said)) } else { Err(problems) }
}

/// What the file alone says, each value tried; or all that is wrong in it.
pub(super) fn by_file<'a>(used: &'a Command, file: &File) -> Result<Vec<Said<'a>>, Vec<String>> {
    let entries = used.get_arguments().filter_map(|arg| Some((arg, file.get(&key(arg)?)?)));
    let read = entries.map(|(arg, entry)| of_file(used, arg, file, entry));
    let (said, problems): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let problems: Vec<String> = problems.into_iter().filter_map(Result::err).flatten().collect();
    if problems.is_empty() { Ok(said.into_iter().flatten().collect()) } else { Err(problems) }
}

/// Of what is said of each setting, or of settings that exclude each other, what has the strongest origin.
fn strongest<'a>(used: &Command, flags: &ArgMatches, said: Vec<Said<'a>>) -> Vec<Said<'a>> {
    let typed = |arg: &Arg| flags.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let beaten = |weak: &Said<'_>| {
        let rival = |arg: &Arg| arg.get_id() == weak.arg.get_id() || exclude(used, arg, weak.arg);
        used.get_arguments().any(|arg| rival(arg) && typed(arg))
            || said.iter().any(|strong| rival(strong.arg) && strong.rank() < weak.rank())
    };
    let stays: Vec<bool> = said.iter().map(|said| !beaten(said)).collect();
    said.into_iter().zip(stays).filter_map(|(said, stays)| stays.then_some(said)).collect()
}

/// Whether one of the two says that it excludes the other.
fn exclude(used: &Command, one: &Arg, other: &Arg) -> bool {
    let names = |one: &Arg, other: &Arg| {
        used.get_arg_conflicts_with(one).iter().any(|named| named.get_id() == other.get_id())
    };
    names(one, other) || names(other, one)
}

impl Said<'_> {
    fn rank(&self) -> u8 {
        matches!(self.origin, Origin::File(..)).into()
    }
}

fn of_environment<'a>(
    used: &Command,
    arg: &'a Arg,
    key: &str,
    text: &OsStr,
) -> Result<Said<'a>, Vec<String>> {
    let (name, written) = (variable(key), text.to_string_lossy());
    let values = words(arg, &written).and_then(|values| tried(used, arg, &values)).map_err(|why| {
        let shown = if arg.is_hide_env_values_set() { "***" } else { &*written };
        vec![format!("{name}={shown}: {why}")]
    })?;
    Ok(Said { arg, values, origin: Origin::Environment(name) })
}

fn of_file<'a>(used: &Command, arg: &'a Arg, file: &File, entry: &Entry) -> Result<Said<'a>, Vec<String>> {
    let key = &entry.key;
    let misshaped = match (entry.shape, is_list(arg)) {
        (Shape::List, false) => Some("is one value, not a list"),
        (Shape::Table, _) if !is_table(arg) => Some("is no table"),
        _ => None,
    };
    if let Some(misshaped) = misshaped {
        return Err(vec![format!("{}: '{key}' {misshaped}", file.line(entry.line))]);
    }
    let (mut values, mut problems) = (Vec::new(), Vec::new());
    for value in &entry.values {
        let split =
            if entry.shape == Shape::One { words(arg, &value.text) } else { Ok(vec![value.text.clone()]) };
        match split.and_then(|split| tried(used, arg, &split)) {
            Ok(good) => values.extend(good),
            Err(why) => problems.push(format!("{}: {key} = {}: {why}", file.line(value.line), value.written)),
        }
    }
    let origin = Origin::File(file.path.clone(), entry.line);
    if problems.is_empty() { Ok(Said { arg, values, origin }) } else { Err(problems) }
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Whether each value is a pair, so that a table can stand for the list.
fn is_table(arg: &Arg) -> bool {
    let is_pair = |name: &clap::builder::Str| name.as_str() == "NAME=VALUE";
    is_list(arg) && arg.get_value_names().is_some_and(|names| names.iter().any(is_pair))
}

/// The values in one text: a list's are words as a shell has them, or parted by the setting's own delimiter.
fn words(arg: &Arg, text: &str) -> Result<Vec<String>, String> {
    if is_list(arg) && arg.get_value_delimiter().is_none() {
        return shlex::split(text).ok_or_else(|| "a quote is not closed".to_owned());
    }
    Ok(vec![text.to_owned()])
}

/// The values as the command takes them, or why it does not.
fn tried(used: &Command, arg: &Arg, values: &[String]) -> Result<Vec<String>, String> {
    let long = arg.get_long().unwrap_or_default();
    let one = |value: &String| {
        if !arg.get_action().takes_values() {
            return switch(value).map(|on| on.to_string()).ok_or_else(|| "true or false".to_owned());
        }
        let line = [used.get_name().to_owned(), format!("--{long}={value}")];
        match used.clone().try_get_matches_from(line) {
            Ok(_) => Ok(value.clone()),
            Err(error) => Err(refusal::reason(&error)),
        }
    };
    values.iter().map(one).collect()
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The command with what is said as the defaults of its flags.
pub(super) fn layered(command: Command, said: &[Said<'_>]) -> Command {
    command.mut_args(|arg| match said.iter().find(|said| said.arg.get_id() == arg.get_id()) {
        Some(said) => arg.default_values(said.values.clone()),
        None => arg,
    })
}

fn settings(used: &Command, said: &[Said<'_>], matches: &ArgMatches) -> Settings {
    let setting = |arg: &Arg| {
        let (name, id) = (key(arg)?, arg.get_id());
        let values = matches.get_raw(id.as_str()).into_iter().flatten();
        let values = values.map(|value| value.to_string_lossy().into_owned()).collect();
        let said = said.iter().find(|said| said.arg.get_id() == id).map(|said| said.origin.clone());
        let origin = match matches.value_source(id.as_str()) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            _ => said.unwrap_or(Origin::Default),
        };
        Some(Setting { name, values, origin })
    };
    Settings(used.get_arguments().filter_map(setting).collect())
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n       "))
    }
}

impl std::error::Error for Invalid {}
