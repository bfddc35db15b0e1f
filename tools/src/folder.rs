//! Where results are kept.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Serialize;

use crate::chart::{Canvas, Picture};

/// A folder of results, made when the first is written.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    written: Vec<String>,
}

impl Folder {
    /// This folder, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Folder { path: path.into(), written: Vec::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of what was written, in order.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// A chart as `STEM.svg` and `STEM.png`, and its numbers as `STEM.csv`.
    pub fn chart(&mut self, stem: &str, canvas: &Canvas, numbers: &str) -> anyhow::Result<()> {
        let picture = Picture::of(canvas)?;
        self.file(&format!("{stem}.svg"), picture.svg)?;
        self.file(&format!("{stem}.png"), picture.png)?;
        self.file(&format!("{stem}.csv"), numbers)
    }

    /// A value as JSON.
    pub fn json(&mut self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.file(name, serde_json::to_string_pretty(value)? + "\n")
    }

    /// Any file; what was there is replaced.
    pub fn file(&mut self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let path = self.path.join(name);
        fs::create_dir_all(&self.path)
            .and_then(|()| fs::write(&path, content))
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.written.push(name.to_owned());
        Ok(())
    }
}
