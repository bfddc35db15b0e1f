//! A sign of life on a terminal, for what takes longer than a second.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is over before this needs no sign of life.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar on stderr that appears after a second, and only where stderr is a terminal. It goes when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// When it is to appear; `None` when it has, or never will.
    appears: Option<Instant>,
    failed: u64,
}

impl Progress {
    /// A bar that is full after so many requests.
    pub fn new(requests: u64) -> Self {
        let template = "{bar:30} {pos}/{len} requests, {per_sec}, {msg}eta {eta}";
        let style = ProgressStyle::with_template(template).expect("a sound template").progress_chars("#>-");
        let bar =
            ProgressBar::with_draw_target(Some(requests), ProgressDrawTarget::hidden()).with_style(style);
        Progress {
            bar,
            appears: std::io::stderr().is_terminal().then(|| Instant::now() + PATIENCE),
            failed: 0,
        }
    }

    /// One more is done.
    pub fn advance(&mut self, failed: bool) {
        if failed {
            self.failed += 1;
            self.bar.set_message(format!("{} failed, ", self.failed));
        }
        if self.appears.is_some_and(|appears| Instant::now() >= appears) {
            self.appears = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
