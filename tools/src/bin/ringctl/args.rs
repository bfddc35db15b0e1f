//! What can be typed: to start the client, and on a line of its shell.

use std::{path::PathBuf, time::Duration};

use clap::builder::styling::{AnsiColor, Styles};
use ringkeeper_tools::{base::Base, client::DEFAULT};

use super::command::Command;

/// The port of a balancer's host where operators connect.
const ADMIN_PORT: u16 = 5001;

/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(100);

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Ask a running balancer: its replicas, more or fewer of them, how they are, or any path that they serve.
///
/// Without a command it starts a shell with history and completion.
#[derive(clap::Parser, Debug)]
#[command(
    name = "ringctl",
    version,
    styles = STYLES,
    subcommand_value_name = "COMMAND|PATH",
    mut_arg("pool", |pool| pool.env("RINGCTL_POOL")), // not on a line of the shell, whose own pool comes first there
    after_help = "Any other word is a path to request: `ringctl hello/world`.\n\n\
                  Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no balancer reached."
)]
pub struct Args {
    /// Where the balancer takes requests
    #[arg(
        long,
        value_name = "URL",
        env = "RINGCTL_URL",
        default_value = "http://127.0.0.1:5000",
        global = true
    )]
    pub url: Base,
    /// Where operators connect [default: port 5001 of the host of --url]
    #[arg(long, value_name = "URL", env = "RINGCTL_ADMIN_URL", global = true)]
    admin_url: Option<Base>,
    /// The token of the control API
    #[arg(long, value_name = "TOKEN", env = "RINGCTL_TOKEN", hide_env_values = true, global = true)]
    pub token: Option<String>,
    /// A file that holds the token [default: ~/.config/ringctl/token, if there]
    #[arg(long, value_name = "FILE", env = "RINGCTL_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub options: Options,
    /// What to do; without it, a shell.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A line of the shell.
#[derive(clap::Parser, Debug)]
#[command(
    name = "ringctl",
    no_binary_name = true,
    styles = STYLES,
)]
pub struct Line {
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How to do it and how to say it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// How to print the answer [default: text]
    #[arg(short, long, value_name = "FORMAT", global = true)]
    pub output: Option<Format>,
    /// Print bare names where there are names, and nothing for what is done
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Look again and again, this much apart [default: 1s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1s",
          value_parser = pause, global = true)]
    pub watch: Option<Duration>,
    /// The pool of replicas that it is about [default: default]
    #[arg(long, value_name = "POOL", global = true)]
    pub(super) pool: Option<String>,
}

/// How an answer is printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one line of JSON
    Json,
}

impl Args {
    /// Where operators connect.
    pub fn admin_url(&self) -> Base {
        self.admin_url.clone().unwrap_or_else(|| self.url.with_port(ADMIN_PORT))
    }
}

impl Options {
    /// How the answer is printed.
    pub fn format(&self) -> Format {
        self.output.unwrap_or_default()
    }

    /// The pool that is meant.
    pub fn pool(&self) -> &str {
        self.pool.as_deref().filter(|pool| !pool.is_empty()).unwrap_or(DEFAULT)
    }

    /// The same about this pool.
    pub fn with_pool(self, pool: &str) -> Options {
        Options { pool: Some(pool.to_owned()), ..self }
    }

    /// These, where they say something, else what `usual` says.
    pub fn or(self, usual: &Options) -> Options {
        Options {
            output: self.output.or(usual.output),
            quiet: self.quiet || usual.quiet,
            watch: self.watch.or(usual.watch),
            pool: self.pool.or_else(|| usual.pool.clone()),
        }
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|error| format!("{error}, such as 500ms or 2s"))?;
    if pause < SHORTEST { Err("100ms is the shortest".into()) } else { Ok(pause) }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    fn parse(line: &str) -> Args {
        Args::try_parse_from(line.split(' ')).expect(line)
    }

    #[test]
    fn the_definitions_are_sound() {
        Args::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn without_a_command_there_is_none() {
        assert!(Args::try_parse_from(["ringctl"]).expect("a shell").command.is_none());
    }

    #[test]
    fn the_originals_words_work_as_typed_in_the_shell_and_out_of_it() {
        for words in ["rep", "home", "add 5 hello world", "del 5 hello world", "hello/world"] {
            let line = Line::try_parse_from(words.split(' ')).expect(words).command;
            let args = parse(&format!("ringctl {words}")).command.expect("a command");
            assert_eq!(line, args, "{words}");
        }
        assert_eq!(parse("ringctl hello/world").command, Some(Command::Path(vec!["hello/world".to_owned()])));
    }

    #[test]
    fn operators_are_on_the_same_hosts_next_port_unless_said() {
        assert_eq!(parse("ringctl --url http://lb:80 rep").admin_url().to_string(), "http://lb:5001");
        let said = "ringctl rep --url http://lb:80 --admin-url lb:9";
        assert_eq!(parse(said).admin_url().to_string(), "http://lb:9");
    }

    #[test]
    fn a_lines_options_come_before_the_shells() {
        let usual = parse("ringctl -o json --pool web").options;
        let line = Line::try_parse_from(["status", "-o", "text", "--watch=2s"]).expect("a line");
        let options = line.options.or(&usual);
        assert_eq!((options.format(), options.pool()), (Format::Text, "web"));
        assert_eq!(options.watch, Some(Duration::from_secs(2)));
    }

    #[test]
    fn without_a_name_the_default_pool_is_meant() {
        assert_eq!(parse("ringctl rep").options.pool(), "default");
        assert_eq!(parse("ringctl rep --pool=").options.pool(), "default");
        assert_eq!(Options::default().with_pool("web").pool(), "web");
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains("[env: RINGCTL_POOL"), "{help}");
        assert!(!Line::command().render_long_help().to_string().contains("RINGCTL_POOL"));
    }

    #[test]
    fn a_watch_has_a_pause() {
        assert_eq!(parse("ringctl rep --watch").options.watch, Some(Duration::from_secs(1)));
        for bad in ["--watch=1ms", "--watch=x", "--watch=-1s"] {
            assert!(Args::try_parse_from(["ringctl", "rep", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn help_does_not_show_a_token() {
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains("RINGCTL_TOKEN]"), "{help}");
    }
}
