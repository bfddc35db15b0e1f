//! Where the results of a command go.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use ringkeeper_tools::folder::Folder;

/// What is printed, and what is written.
#[derive(clap::Args, Clone, Debug)]
pub struct Output {
    /// Print JSON in place of tables
    #[arg(long)]
    pub json: bool,
    /// Where the files go: numbers (CSV, JSON), and what there is of charts (SVG, PNG) and pages
    #[arg(long, value_name = "DIR", default_value = "plots")]
    out: PathBuf,
    /// Write no files
    #[arg(long)]
    no_files: bool,
}

impl Output {
    /// Prints one of both forms, and unless no files are wanted has them written and says which there are.
    pub fn show(
        &self,
        json: impl FnOnce() -> serde_json::Result<String>,
        text: impl FnOnce() -> String,
        keep: impl FnOnce(&mut Folder) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.print(json, text)?;
        if let Some(folder) = self.keep(keep)?
            && !self.json
        {
            print(&format!("\nin {}: {}", folder.path().display(), folder.written().join(" ")))?;
        }
        Ok(())
    }

    /// Prints one of both forms.
    pub fn print(
        &self,
        json: impl FnOnce() -> serde_json::Result<String>,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        Ok(print(&if self.json { json()? } else { text() })?)
    }

    /// Has files written, unless none are wanted.
    pub fn keep(
        &self,
        keep: impl FnOnce(&mut Folder) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Folder>> {
        if self.no_files {
            return Ok(None);
        }
        let mut folder = Folder::new(&self.out);
        keep(&mut folder)?;
        Ok(Some(folder))
    }
}

/// Prints a line; nobody has to read it to its end.
pub fn print(text: &str) -> io::Result<()> {
    match writeln!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
