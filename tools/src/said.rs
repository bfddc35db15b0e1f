//! What a program says.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
};

/// The lines that have come out of a pipe so far. They are read on as they come, so that who writes them never waits.
#[derive(Clone, Debug, Default)]
pub struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    /// Reads this pipe to its end, in the background.
    pub fn on(pipe: impl Read + Send + 'static) -> Self {
        let said = Said::default();
        let Said(kept) = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                kept.lock().expect("nobody panics while holding it").push(line);
            }
        });
        said
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics while holding it").clone()
    }

    /// What follows these words in the first line that has them.
    pub fn after(&self, words: &str) -> Option<String> {
        self.lines().iter().find_map(|line| Some(line.split_once(words)?.1.trim().to_owned()))
    }
}
