//! Where the results of a comparison go.

use std::path::PathBuf;

use ringkeeper_tools::folder::Folder;

use super::super::run::print;

/// What is printed, and what is written.
#[derive(clap::Args, Clone, Debug)]
pub struct Output {
    /// Print JSON in place of a table
    #[arg(long)]
    json: bool,
    /// Where the page, the chart (SVG, PNG), the CSV and the JSON go
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
        print(&if self.json { json()? } else { text() })?;
        if self.no_files {
            return Ok(());
        }
        let mut folder = Folder::new(&self.out);
        keep(&mut folder)?;
        if !self.json {
            print(&format!("\nin {}: {}", folder.path().display(), folder.written().join(" ")))?;
        }
        Ok(())
    }
}
