//! What commands have in common that start balancers of their own.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, ensure};
use ringkeeper_tools::subject::{Engine, Settings};

/// What is going on, on stderr, with the seconds since the start.
pub struct Clock(Instant);

impl Clock {
    /// One that shows 0.
    pub fn start() -> Self {
        Clock(Instant::now())
    }

    /// Says it.
    pub fn say(&self, what: &str) {
        eprintln!("{:>6.1} s  {what}", self.0.elapsed().as_secs_f64());
    }
}

/// How balancers are started, where what is not given is found.
pub fn settings(engine: Option<Engine>, program: Option<&Path>, image: &str) -> anyhow::Result<Settings> {
    let program = match program {
        Some(program) => std::path::absolute(program).context("no such path")?,
        None => this_program()?.with_file_name("ringkeeper"),
    };
    ensure!(program.is_file(), "there is no balancer at {}: say where with --ringkeeper", program.display());
    Ok(Settings { program, engine: engine.unwrap_or_else(Engine::found), image: image.to_owned() })
}

/// Where the tester itself is.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program's own place is not known")
}

/// An engine from its word.
pub fn engine(text: &str) -> Result<Engine, String> {
    match text {
        "docker" => Ok(Engine::Docker),
        "process" => Ok(Engine::Process),
        _ => Err("docker or process".into()),
    }
}
