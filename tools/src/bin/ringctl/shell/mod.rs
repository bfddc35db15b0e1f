//! The interactive shell. Its lines are edited by rustyline: it asks the terminal no questions, so it also works where
//! nobody answers them (a serial line, a pipe, a test), and its hints and completions are plain functions of the line.

mod assistant;
mod completion;
mod help;
mod hint;
mod live;

use std::{
    fs, io,
    io::IsTerminal,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use anyhow::Context;
use clap::Parser;
use ringkeeper_tools::client::{Client, DEFAULT};
use rustyline::{CompletionType, Config, Editor, error::ReadlineError, history::FileHistory};
use tokio::runtime::Runtime;

use self::{assistant::Assistant, completion::EXIT, live::Live};
use super::{
    args::{Line, Options},
    command::Command,
    failure::{Failure, INTERRUPTED, USAGE},
    place,
    session::Session,
    show::counted,
};

/// How many lines are remembered.
const REMEMBERED: usize = 1000;

/// Reads lines and does what they ask for, until `exit` or the end of the input. On a terminal the exit code is 0: who
/// typed has seen what failed. Else it is that of the first line that failed.
pub fn run(runtime: Runtime, session: Session, options: Options) -> anyhow::Result<u8> {
    let mut shell = Shell::new(runtime, session, options)?;
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    if interactive {
        shell.greet();
    }
    let code = shell.lines(interactive)?;
    Ok(if interactive { 0 } else { code })
}

struct Shell {
    runtime: Rc<Runtime>,
    session: Session,
    options: Options,
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
}

impl Shell {
    fn new(runtime: Runtime, session: Session, options: Options) -> anyhow::Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .history_ignore_dups(true)
            .and_then(|config| config.max_history_size(REMEMBERED))
            .context("the line editor cannot be set")?
            .history_ignore_space(true)
            .build();
        let mut editor = Editor::with_config(config).context("lines cannot be edited here")?;
        let runtime = Rc::new(runtime);
        editor.set_helper(Some(Assistant::new(Live::new(runtime.clone(), session.of_pool(&options)))));
        let history = place::history().filter(|path| made_room(path));
        if let Some(path) = &history {
            let _there_may_be_none_yet = editor.load_history(path);
        }
        Ok(Shell { runtime, session, options, editor, history })
    }

    /// Says where this is, and how to go on.
    fn greet(&self) {
        let client = self.session.of_pool(&self.options);
        match self.runtime.block_on(client.rep()) {
            Ok(rep) => {
                say(&format!("Ringkeeper on {}, with {}.", client.traffic(), having(&client, rep.count)))
            }
            Err(error) => complain(&Failure::of(error, &client)),
        }
        say("`help` lists the commands, Tab completes, Ctrl-D leaves.");
    }

    /// Does what the lines ask for. The exit code of the first one that failed.
    fn lines(&mut self, interactive: bool) -> anyhow::Result<u8> {
        let mut code = 0;
        loop {
            let line = match self.editor.readline(&prompt(self.options.pool())) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(code),
                Err(error) => return Err(error).context("the next line cannot be read"),
            };
            if interactive {
                self.remember(&line);
            }
            match words(&line) {
                Ok(words) if words.is_empty() => {}
                Ok(words) if words == [EXIT] || words == ["quit"] => return Ok(code),
                Ok(words) => {
                    let done = self.perform(words);
                    code = if code == 0 { done } else { code };
                }
                Err(failure) => {
                    complain(&failure);
                    code = if code == 0 { failure.code } else { code };
                }
            }
        }
    }

    fn perform(&mut self, mut words: Vec<String>) -> u8 {
        if words[0] == help::WORD {
            words.rotate_left(1);
            words.pop();
            if words.is_empty() {
                say(&help::all());
                return 0;
            }
            words.push("-h".into());
        }
        let line = match Line::try_parse_from(words) {
            Ok(line) => line,
            Err(error) => {
                let _the_terminal_is_gone = error.print();
                return if error.use_stderr() { USAGE } else { 0 };
            }
        };
        let options = line.options.or(&self.options);
        if let Command::Pool { name } = line.command {
            return self.turn_to(name.as_deref().unwrap_or(options.pool()), &options);
        }
        match self.runtime.block_on(self.session.run(&line.command, &options)) {
            Ok(()) => 0,
            Err(failure) if failure.code == INTERRUPTED => {
                say(""); // the terminal has shown ^C
                if failure.hint.is_some() {
                    complain(&failure);
                }
                failure.code
            }
            Err(failure) => {
                complain(&failure);
                failure.code
            }
        }
    }

    /// Talks about this pool from now on, if there is one.
    fn turn_to(&mut self, pool: &str, options: &Options) -> u8 {
        let usual = self.options.clone().with_pool(pool);
        let client = self.session.of_pool(&usual);
        match self.runtime.block_on(client.rep()) {
            Ok(rep) => {
                if !options.quiet {
                    say(&having(&client, rep.count));
                }
                if let Some(assistant) = self.editor.helper_mut() {
                    assistant.live().turn_to(client);
                }
                self.options = usual;
                0
            }
            Err(error) => {
                let failure = Failure::of(error, &client);
                complain(&failure);
                failure.code
            }
        }
    }

    /// A shell that cannot write its history is still a shell.
    fn remember(&mut self, line: &str) {
        let _added = self.editor.add_history_entry(line);
        if let Some(path) = &self.history {
            let _not_written = self.editor.append_history(path);
        }
    }
}

/// The prompt, bare and coloured, with the pool where it is not the default one.
fn prompt(pool: &str) -> (String, String) {
    let words = if pool == DEFAULT { "ringctl>".to_owned() } else { format!("ringctl {pool}>") };
    (format!("{words} "), format!("\u{1b}[36m{words}\u{1b}[0m "))
}

/// How many replicas there are, with the pool where it is not the default one.
fn having(client: &Client, replicas: usize) -> String {
    let replicas = counted(replicas, "replica");
    if client.is_of_default() { replicas } else { format!("{replicas} in pool '{}'", client.pool_name()) }
}

/// Whether there is a folder for this file, made for its owner alone if need be.
fn made_room(file: &Path) -> bool {
    file.parent()
        .is_some_and(|folder| fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).is_ok())
}

/// A line's words, as a shell splits them.
fn words(line: &str) -> Result<Vec<String>, Failure> {
    shlex::split(line).ok_or_else(|| {
        Failure::usage("a quote is open at the end of the line", "close it with the same mark")
    })
}

/// What failed. In the shell a command goes without `ringctl` before it.
fn complain(failure: &Failure) {
    failure.tell(|hint| hint.replace("`ringctl ", "`"));
}

fn say(text: &str) {
    anstream::println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_names_the_pool_unless_it_is_the_default_one() {
        assert_eq!(prompt("default").0, "ringctl> ");
        assert_eq!(prompt("web").0, "ringctl web> ");
        assert_eq!(anstream::adapter::strip_str(&prompt("web").1).to_string(), "ringctl web> ");
    }

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        assert_eq!(words("explain 'a key' ").expect("words"), ["explain", "a key"]);
        assert!(words("  ").expect("words").is_empty());
        assert_eq!(words("explain 'a").expect_err("open").code, USAGE);
    }
}
