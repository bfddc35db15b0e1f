//! A terminal's whole screen, for what is shown in place.

use std::io::{self, IsTerminal, Write, stdout};

use console::truncate_str;
use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers},
    execute, queue,
    style::Print,
    terminal::{
        BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
    },
};
use futures_util::StreamExt;

/// What a key, or another thing that happens to a terminal, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To leave.
    Leave,
    /// To look at once.
    Now,
}

/// How many columns this stream's terminal has, if it is one.
pub fn width(stream: &impl IsTerminal) -> Option<usize> {
    let columns = stream.is_terminal().then(size)?.ok()?.0;
    Some(columns.into())
}

/// The screen, from when it was taken until this is dropped; then it is as it was.
pub struct Screen {
    events: EventStream,
}

impl Screen {
    /// `None` where there is no terminal on both sides.
    pub fn take() -> io::Result<Option<Self>> {
        if !stdout().is_terminal() || !io::stdin().is_terminal() {
            return Ok(None);
        }
        enable_raw_mode()?;
        let screen = Screen { events: EventStream::new() }; // from here on dropping it puts everything back
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(Some(screen))
    }

    /// Shows these lines from the top, as far as they fit, without a flicker.
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let (columns, rows) = size()?;
        let mut out = Vec::new();
        queue!(out, BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(fitting(text, columns.into(), rows.into())) {
            queue!(out, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        let mut stdout = anstream::stdout();
        stdout.write_all(&out)?;
        stdout.flush()
    }

    /// Waits for a key that means something, or a new size.
    pub async fn wish(&mut self) -> Wish {
        while let Some(event) = self.events.next().await {
            if let Some(wish) = event.ok().as_ref().and_then(meaning) {
                return wish;
            }
        }
        Wish::Leave // the terminal is gone
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _nothing_more_can_be_done = execute!(stdout(), Show, LeaveAlternateScreen);
        let _nothing_more_can_be_done = disable_raw_mode();
    }
}

fn meaning(event: &Event) -> Option<Wish> {
    let key = match event {
        Event::Resize(..) => return Some(Wish::Now),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    match (key.code, key.modifiers) {
        (KeyCode::Char('c' | 'd'), KeyModifiers::CONTROL) => Some(Wish::Leave),
        (KeyCode::Char('q') | KeyCode::Esc, _) => Some(Wish::Leave),
        (KeyCode::Char(' ') | KeyCode::Enter, _) => Some(Wish::Now),
        _ => None,
    }
}

/// The lines cut to the width; where there are more than rows, the last row says how many.
fn fitting(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let mut lines: Vec<String> =
        text.lines().map(|line| truncate_str(line, columns, "…").into_owned()).collect();
    if lines.len() > rows {
        let hidden = lines.len() - rows.saturating_sub(1);
        lines.truncate(rows.saturating_sub(1));
        lines.push(format!("… {hidden} more lines"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_counted() {
        assert_eq!(fitting("one\ntwo", 3, 2), ["one", "two"]);
        assert_eq!(fitting("one\ntwo\nthree\nfour", 80, 3), ["one", "two", "… 2 more lines"]);
        assert_eq!(fitting("a long line", 6, 1), ["a lon…"]);
    }

    #[test]
    fn the_usual_keys_leave() {
        let key = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        for (code, modifiers) in [
            (KeyCode::Char('q'), KeyModifiers::NONE),
            (KeyCode::Esc, KeyModifiers::NONE),
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
        ] {
            assert_eq!(key(code, modifiers), Some(Wish::Leave), "{code:?}");
        }
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Wish::Now));
    }
}
