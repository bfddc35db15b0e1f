//! `ringkeeper check`: the settings as `serve` would have them, and where each comes from.

use std::io::Write;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::config::{Args, Config, Invalid, Origin, Sections, Setting, Settings};

/// Check the settings as serve would read them, and show each with its value and where that comes from
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// The settings.
    #[command(flatten)]
    pub settings: Args,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// Writes every setting in force, or returns what is wrong with them. Connects to nothing.
pub fn run(
    args: CheckArgs,
    settings: Settings,
    sections: Sections,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let config = match Config::of(args.settings, sections) {
        Ok(config) => config,
        Err(error) => {
            let problem = settings.placed(format!("{error:#}"));
            tell(std::slice::from_ref(&problem), args.json, out)?;
            return Err(anyhow!(problem));
        }
    };
    let mut settings = settings.explained(&config);
    settings.0.retain(|setting| setting.name != "json");
    if args.json { write_json(&settings, out) } else { write_table(&settings, out) }
}

/// Settings that could not even be read: for programs, where they asked for it.
pub fn refuse(invalid: &Invalid, out: &mut impl Write) -> anyhow::Result<()> {
    let json =
        invalid.typed.subcommand().is_some_and(|(name, flags)| name == "check" && flags.get_flag("json"));
    tell(&invalid.problems, json, out)
}

fn tell(problems: &[String], as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if as_json {
        writeln!(out, "{:#}", json!({ "valid": false, "problems": problems }))?;
    }
    Ok(())
}

fn write_json(settings: &Settings, out: &mut impl Write) -> anyhow::Result<()> {
    let settings: Vec<Value> = settings.0.iter().map(as_json).collect();
    writeln!(out, "{:#}", json!({ "valid": true, "settings": settings }))?;
    Ok(())
}

fn as_json(setting: &Setting) -> Value {
    let (source, place) = match &setting.origin {
        Origin::Flag => ("flag", Value::Null),
        Origin::Environment(variable) => ("environment", json!(variable)),
        Origin::File(path, line) => ("file", json!(format!("{}:{line}", path.display()))),
        Origin::Preset => ("preset", Value::Null),
        Origin::Default => ("default", Value::Null),
    };
    json!({ "name": setting.name, "values": setting.values, "source": source, "place": place })
}

fn write_table(settings: &Settings, out: &mut impl Write) -> anyhow::Result<()> {
    let rows: Vec<[String; 3]> = std::iter::once(["SETTING", "VALUE", "SOURCE"].map(str::to_owned))
        .chain(settings.0.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (name, value) = (width(0), width(1));
    for row in &rows {
        writeln!(out, "{:name$}  {:value$}  {}", row[0], row[1], row[2])?;
    }
    Ok(())
}

fn row(setting: &Setting) -> [String; 3] {
    let value = match setting.values.as_slice() {
        [] => "-".to_owned(),
        values => values.join(" "),
    };
    [setting.name.clone(), value, setting.origin.to_string()]
}
