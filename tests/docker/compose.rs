//! What compose starts and stops.

use std::{path::PathBuf, process::Command};

use crate::{
    say,
    support::{Deployment, stderr},
};

/// A project of compose, called like its deployment. Taken down when this is dropped.
pub struct Project {
    name: String,
    file: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Project {
    /// One of these lines, with these variables; none where there is no compose.
    pub fn new(deployment: &Deployment, lines: &str, environment: &[(&'static str, String)]) -> Option<Self> {
        if Command::new("docker-compose").arg("version").output().is_err() {
            say("*** SKIPPED: there is no docker-compose. ***");
            return None;
        }
        let file = std::env::temp_dir().join(format!("{}.yml", deployment.name));
        std::fs::write(&file, lines).expect("a temporary file");
        Some(Project { name: deployment.name.clone(), file, environment: environment.to_vec() })
    }

    pub fn compose(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().expect("there is a docker-compose command");
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// Has so many containers of a service.
    pub fn scale(&self, service: &str, count: usize) {
        self.compose(&["up", "--detach", "--scale", &format!("{service}={count}")]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker-compose");
        command.args(["--project-name", &self.name, "--file"]).arg(&self.file).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _best_effort = self.command(&["down", "--timeout", "1"]).output();
        let _best_effort = std::fs::remove_file(&self.file);
    }
}
