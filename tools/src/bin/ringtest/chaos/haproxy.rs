//! HAProxy in front of the same replicas, to compare with: with its default checks, and tuned as an expert would.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use ringkeeper_tools::base::Base;
use tempfile::TempDir;

use super::fault::Fault;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(10);

/// Debian's timeouts.
const UNTUNED: &str = "timeout connect 5s\n    timeout client 50s\n    timeout server 50s";

/// Where the program is; the second is not in everybody's `PATH`.
const PROGRAMS: [&str; 2] = ["haproxy", "/usr/sbin/haproxy"];

/// How it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// `option httpchk` and `check`, and nothing else.
    Default,
    /// Fast checks, passive checks, retries on another server.
    Expert,
}

/// A running HAProxy; ended when this is dropped.
pub struct Haproxy {
    process: Child,
    /// Where it takes requests.
    pub base: Base,
    _folder: TempDir,
}

/// The program and its version; `None` where there is none.
pub fn version() -> Option<(&'static str, String)> {
    PROGRAMS.iter().find_map(|program| {
        let output = Command::new(program).arg("-v").output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout);
        Some((*program, said.split_whitespace().nth(2)?.to_owned()))
    })
}

impl Haproxy {
    /// In front of these servers; done when it listens.
    pub async fn start(servers: &[String], tuning: Tuning, fault: Fault) -> anyhow::Result<Self> {
        let (program, _) = version().context("there is no haproxy")?;
        let folder = TempDir::with_prefix("ringtest-haproxy-").context("no temporary directory")?;
        let address = free_address()?;
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, configuration(address, servers, tuning, fault))?;
        let mut haproxy =
            Haproxy { process: run(program, &file)?, base: address.to_string().parse()?, _folder: folder };
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = haproxy.process.try_wait()? {
                bail!("haproxy ended ({status}): `{program} -c -f` says why of {}", file.display());
            }
            anyhow::ensure!(Instant::now() < deadline, "haproxy does not listen on {address}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(haproxy)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(program: &str, file: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("haproxy does not start")
}

/// An address that is free now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn configuration(address: SocketAddr, servers: &[String], tuning: Tuning, fault: Fault) -> String {
    let (timeouts, backend) = match tuning {
        Tuning::Default => (UNTUNED.to_owned(), "default-server check".to_owned()),
        Tuning::Expert => expert(fault),
    };
    let servers: Vec<String> =
        (1..).zip(servers).map(|(number, server)| format!("    server s{number} {server}\n")).collect();
    format!(
        "defaults\n    mode http\n    {timeouts}\n\
         frontend clients\n    bind {address}\n    default_backend replicas\n\
         backend replicas\n    balance url_param request_id\n    hash-type consistent\n    \
         option httpchk GET /heartbeat\n    {backend}\n{}",
        servers.concat()
    )
}

/// Checks every 500 ms, every 100 ms while in doubt; five errors in a row of real requests, or two failed checks, take a
/// server out and end its connections. What failed goes to another server, a POST only where nothing of it was sent.
/// Where the balancer gets a timeout for each try, so does this.
fn expert(fault: Fault) -> (String, String) {
    let server = if fault == Fault::Deaf { "1s" } else { "50s" };
    let timeouts = format!(
        "timeout connect 500ms\n    timeout check 500ms\n    timeout client 50s\n    timeout server {server}"
    );
    let backend = "option redispatch 1\n    retries 3\n    retry-on all-retryable-errors\n    \
                   http-request disable-l7-retry if METH_POST\n    \
                   default-server check inter 500ms fastinter 100ms downinter 500ms fall 2 rise 2 observe layer7 \
                   error-limit 5 on-error mark-down on-marked-down shutdown-sessions";
    (timeouts, backend.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn haproxy_understands_both_configurations() {
        let Some((program, _)) = version() else {
            eprintln!("SKIPPED: no haproxy");
            return;
        };
        let folder = TempDir::new().expect("a temporary directory");
        let file = folder.path().join("haproxy.cfg");
        let servers = ["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        for (tuning, fault) in
            [(Tuning::Default, Fault::Kill), (Tuning::Expert, Fault::Kill), (Tuning::Expert, Fault::Deaf)]
        {
            let text = configuration("127.0.0.1:3".parse().expect("an address"), &servers, tuning, fault);
            std::fs::write(&file, &text).expect("written");
            let output = Command::new(program).args(["-c", "-f"]).arg(&file).output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("WARNING"), "{said}\n{text}");
        }
    }
}
