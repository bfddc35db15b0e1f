//! What helps on the line: completion, hints, colours.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use clap::CommandFactory;
use rustyline::{
    Context, Helper,
    completion::{Completer, Pair},
    highlight::{CmdKind, Highlighter},
    hint::{Hint as Shown, Hinter, HistoryHinter},
    validate::Validator,
};

use super::{
    completion::{EXIT, choices},
    help,
    hint::{Hint, hint},
    live::Live,
};
use crate::{
    args::Line,
    show::{FAINT, styled},
};

const KNOWN: Style = AnsiColor::Green.on_default();

/// Helps whoever types a line.
pub struct Assistant {
    live: Live,
    commands: Vec<String>,
}

impl Assistant {
    /// With the names that `live` knows.
    pub fn new(live: Live) -> Self {
        let line = Line::command();
        let names = line.get_subcommands().flat_map(|command| command.get_name_and_visible_aliases());
        let commands = names.chain([EXIT, help::WORD]).map(ToOwned::to_owned).collect();
        Assistant { live, commands }
    }

    /// What it asks for names.
    pub fn live(&mut self) -> &mut Live {
        &mut self.live
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, choices) = choices(&line[..pos], || self.live.names());
        let width = choices.iter().map(|choice| choice.word.len()).max().unwrap_or_default();
        let pair = |choice: super::completion::Choice| Pair {
            display: match &choice.about {
                Some(about) => format!("{:width$}  {about}", choice.word),
                None => choice.word.clone(),
            },
            replacement: format!("{} ", choice.word),
        };
        Ok((start, choices.into_iter().map(pair).collect()))
    }
}

impl Hinter for Assistant {
    type Hint = Hint;

    fn hint(&self, line: &str, pos: usize, context: &Context<'_>) -> Option<Hint> {
        if pos < line.len() {
            return None;
        }
        let past = HistoryHinter::new().hint(line, pos, context).map(|rest| format!("{line}{rest}"));
        hint(line, past.as_deref())
    }
}

impl Shown for Hint {
    fn display(&self) -> &str {
        match self {
            Hint::Rest(text) | Hint::Usage(text) => text,
        }
    }

    fn completion(&self) -> Option<&str> {
        match self {
            Hint::Rest(text) => Some(text),
            Hint::Usage(_) => None,
        }
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let word = line.split_whitespace().next().unwrap_or_default();
        if !self.commands.iter().any(|command| command == word) {
            return line.into();
        }
        line.replacen(word, &styled(KNOWN, word), 1).into()
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        styled(FAINT, hint).into()
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}
