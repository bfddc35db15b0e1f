//! The settings in force, each with who says so.

use std::{fmt, path::PathBuf};

use super::Config;

/// What the preset sets, where nothing else does.
const OF_THE_PRESET: [&str; 7] =
    ["slots", "virtual", "probing", "hash", "heartbeat_interval", "heartbeat_concurrency", "max_fail_count"];

/// The settings in force of the command that is run, in the order of its help.
#[derive(Clone, Debug, Default)]
pub struct Settings(pub Vec<Setting>);

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the file.
    pub name: String,
    /// Its values as texts; none where nothing is set.
    pub values: Vec<String>,
    /// Who says so.
    pub origin: Origin,
}

/// Who sets a setting, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This variable of the environment.
    Environment(String),
    /// This line of this file.
    File(PathBuf, usize),
    /// The preset that is set.
    Preset,
    /// Nobody.
    Default,
}

impl Settings {
    /// The setting of this name.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.name == name)
    }

    /// A message that begins with a flag, with the place instead where that setting was made.
    pub fn placed(&self, message: String) -> String {
        let Some(after) = message.strip_prefix("--") else { return message };
        let ends = |c: char| !c.is_ascii_lowercase() && c != '-';
        let (flag, rest) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let name = flag.replace('-', "_");
        match self.get(&name).map(|setting| &setting.origin) {
            Some(Origin::Environment(variable)) => format!("{variable}{rest}"),
            Some(origin @ Origin::File(..)) => format!("{origin}: {name}{rest}"),
            _ => message,
        }
    }

    /// The same with what is meant where nothing is set, and without what is secret: for people to read.
    pub fn explained(mut self, config: &Config) -> Self {
        let preset = self.get("preset").is_some_and(|preset| !preset.values.is_empty());
        self.0.extend(config.sections.settings());
        for setting in &mut self.0 {
            if setting.values.is_empty() && setting.origin == Origin::Default {
                setting.values.extend(meant(&setting.name, config));
                if preset && OF_THE_PRESET.contains(&setting.name.as_str()) {
                    setting.origin = Origin::Preset;
                }
            }
            mask(setting);
        }
        self
    }

    /// Enters the file that they were read from, where no flag named it.
    pub(super) fn read_from(&mut self, file: Option<PathBuf>) {
        let config = self.0.iter_mut().find(|setting| setting.name == "config");
        if let (Some(config), Some(file)) = (config, file) {
            let by_environment = || std::env::var("RINGKEEPER_CONFIG").is_ok_and(|value| !value.is_empty());
            if config.origin == Origin::Default && by_environment() {
                config.origin = Origin::Environment("RINGKEEPER_CONFIG".to_owned());
            }
            config.values = vec![file.display().to_string()];
        }
    }
}

/// What it means that a setting is not set; none where it means nothing but that.
fn meant(name: &str, config: &Config) -> Option<String> {
    let (ring, heartbeat) = (&config.default.fleet.ring, &config.default.fleet.heartbeat);
    Some(match name {
        "slots" => ring.slots.to_string(),
        "virtual" => ring.placement.to_string(),
        "slack" => ring.slack.to_string(),
        "hash" => ring.hash.to_string(),
        "probing" => ring.probing.to_string(),
        "heartbeat_interval" => humantime::format_duration(heartbeat.interval).to_string(),
        "heartbeat_concurrency" => match config.default.fleet.heartbeat_concurrency {
            Some(most) => most.to_string(),
            None => "one for each replica".to_owned(),
        },
        "max_fail_count" => heartbeat.max_fail_count.to_string(),
        "state_dir" => config.state_dir.display().to_string(),
        "threads" => config.threads.to_string(),
        "command" => shlex::try_join(config.default.process.command.iter().map(String::as_str)).ok()?,
        "port" => "the one that the image exposes, or 5000".to_owned(),
        "engine" => "docker if one answers at the first start, else process".to_owned(),
        _ => return None,
    })
}

fn mask(setting: &mut Setting) {
    for value in &mut setting.values {
        match setting.name.rsplit('.').next().unwrap_or_default() {
            "admin_token" => *value = "***".to_owned(),
            "env" => *value = format!("{}=***", value.split('=').next().unwrap_or_default()),
            _ => {}
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Environment(variable) => f.write_str(variable),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Preset => f.write_str("preset"),
            Origin::Default => f.write_str("default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_place_where_its_setting_was_made() {
        let setting = |name: &str, origin| Setting { name: name.into(), values: Vec::new(), origin };
        let settings = Settings(vec![
            setting("replicas", Origin::File("r.toml".into(), 3)),
            setting("heartbeat_path", Origin::Environment("RINGKEEPER_HEARTBEAT_PATH".into())),
            setting("port", Origin::Flag),
        ]);
        for (message, placed) in [
            ("--replicas 57: too many", "r.toml:3: replicas 57: too many"),
            ("--heartbeat-path: no", "RINGKEEPER_HEARTBEAT_PATH: no"),
            ("--port: no", "--port: no"),
            ("something else", "something else"),
        ] {
            assert_eq!(settings.placed(message.to_owned()), placed);
        }
    }
}
