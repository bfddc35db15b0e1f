//! A sign of life on a terminal, for what takes longer than a second.

use std::{io::IsTerminal, pin::pin, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::timeout;

/// What is over before this needs no sign of life.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the sign moves.
const TICK: Duration = Duration::from_millis(100);

/// The work's result. If it takes longer than a second, and stderr is a terminal, that says so until then.
pub async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = timeout(PATIENCE, &mut work).await {
        return done;
    }
    let _sign = Sign::new(what);
    work.await
}

/// The sign while it is shown; it goes when this is dropped, also when the work is broken off.
struct Sign(ProgressBar);

impl Sign {
    fn new(what: &str) -> Self {
        let template = "{spinner:.cyan} {msg} {elapsed:.dim}";
        let bar = ProgressBar::new_spinner()
            .with_elapsed(PATIENCE)
            .with_style(ProgressStyle::with_template(template).expect("a sound template"))
            .with_message(what.to_owned());
        bar.enable_steady_tick(TICK);
        Sign(bar)
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
