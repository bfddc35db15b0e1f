//! A Docker engine of a test's own, which can be killed and started again without anybody else noticing.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    say,
    support::{
        Deployment,
        docker::image,
        process::{children, kill},
        stderr,
    },
};

/// How long it may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine with a directory, a socket, a containerd and addresses of its own. All of it goes when this is dropped, with
/// whatever runs there.
///
/// Its addresses are from the block for measurements of network devices (RFC 2544), which nobody routes. It has a bridge
/// of its own, and each network is told its addresses: an engine without a bridge, or with other default addresses than
/// usual, removes `docker0`, which is the machine's. It makes no rules for packets, since those would be the machine's
/// too, and replicas are spoken to from here only.
pub struct OwnEngine {
    root: PathBuf,
    bridge: Bridge,
    daemon: Option<Child>,
}

/// Whether containers live on while there is no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Containers {
    LiveOn,
    EndWithIt,
}

/// How an engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Killed,
    Told,
}

/// The bridge whose number says which addresses are the engine's.
struct Bridge(u8);

impl OwnEngine {
    /// One that answers and has the replicas' image; none where this machine or user cannot run engines, which is said.
    pub fn start(containers: Containers) -> Option<Self> {
        let bridge = match can_run().and_then(|()| Bridge::claim()) {
            Ok(bridge) => bridge,
            Err(why) => {
                say(&format!("*** SKIPPED: a test with a Docker engine of its own: {why}. ***"));
                return None;
            }
        };
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos();
        let root = std::env::temp_dir().join(format!("rkengine-{}-{nanos:x}", std::process::id()));
        fs::create_dir(&root).expect("a directory for temporary files");
        fs::write(root.join("daemon.json"), "{}").expect("a file in it");
        let mut engine = OwnEngine { root, bridge, daemon: None };
        engine.bridge.set_up();
        engine.run(containers);
        engine.load_image();
        Some(engine)
    }

    /// A deployment there, with its network.
    pub fn deployment(&self) -> Deployment {
        let deployment = Deployment::of_containers_on(self.host());
        let subnet = format!("--subnet={}0/24", self.bridge.networks());
        self.docker(&["network", "create", &subnet, &deployment.name]);
        deployment
    }

    /// Its socket, as `DOCKER_HOST` names it.
    fn host(&self) -> String {
        format!("unix://{}", self.root.join("docker.sock").display())
    }

    /// What `docker ARGUMENTS…` prints, trimmed.
    fn docker(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().expect("there is a docker command");
        assert!(output.status.success(), "docker {arguments:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Each container's name, state and time of start, sorted.
    pub fn containers(&self) -> Vec<String> {
        let ids = self.docker(&["ps", "--all", "--quiet"]);
        if ids.is_empty() {
            return Vec::new();
        }
        let inspect = ["inspect", "--format", "{{.Name}} {{.State.Status}} {{.State.StartedAt}}"];
        let arguments: Vec<&str> = inspect.into_iter().chain(ids.lines()).collect();
        let mut shown: Vec<String> = self.docker(&arguments).lines().map(str::to_owned).collect();
        shown.sort();
        shown
    }

    /// Ends the engine and waits until it is gone.
    pub fn end(&mut self, how: End) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let signal = if how == End::Killed { Signal::KILL } else { Signal::TERM };
        let _may_have_ended = kill_process(Pid::from_child(&daemon), signal);
        let deadline = Instant::now() + PATIENCE;
        while daemon.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > deadline {
                let _best_effort = daemon.kill();
            }
            rest();
        }
        // A containerd that dies with its engine is a zombie until init takes note; the next engine would wait for it.
        let _none_if_told = fs::remove_file(self.root.join("exec/containerd/containerd.pid"));
    }

    /// Starts the engine and waits until it answers.
    pub fn run(&mut self, containers: Containers) {
        self.try_to_run(containers).unwrap_or_else(|why| panic!("the engine does not start: {why}"));
    }

    fn try_to_run(&mut self, containers: Containers) -> Result<(), String> {
        assert!(self.daemon.is_none(), "one at a time");
        let log = File::options().create(true).append(true).open(self.root.join("log")).expect("a log");
        let mut command = Command::new("dockerd");
        for (flag, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(flag).arg(self.root.join(name));
        }
        let host = self.host();
        command.args(["--host", &host, "--bridge", &self.bridge.name()]);
        command.args(["--iptables=false", "--ip-masq=false", "--ip-forward=false"]);
        if containers == Containers::LiveOn {
            command.arg("--live-restore");
        }
        let daemon = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).spawn();
        let daemon = self.daemon.insert(daemon.map_err(|error| error.to_string())?);
        let deadline = Instant::now() + PATIENCE;
        while !client(&host).arg("version").output().is_ok_and(|output| output.status.success()) {
            match daemon.try_wait() {
                Ok(None) if Instant::now() < deadline => rest(),
                ended => return Err(format!("{ended:?}")),
            }
        }
        Ok(())
    }

    /// Gives it the image of the replicas, which the machine's engine has.
    fn load_image(&self) {
        let mut save = Command::new("docker").args(["save", &image()]).stdout(Stdio::piped()).spawn();
        let save = save.as_mut().expect("there is a docker command");
        let loaded = self.client(&["load"]).stdin(save.stdout.take().expect("piped")).output();
        assert!(save.wait().expect("a child").success(), "the machine's engine has the image");
        assert!(loaded.expect("there is a docker command").status.success());
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = client(&self.host());
        command.args(arguments);
        command
    }

    /// Removes the containers and networks by the engine, which leaves least behind, if it can be had once more.
    fn clear(&mut self) {
        if self.daemon.is_none() {
            let _best_effort = self.try_to_run(Containers::EndWithIt);
        }
        let ids = self.client(&["ps", "--all", "--quiet"]).output();
        let ids = ids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !ids.is_empty() {
            let arguments: Vec<&str> =
                ["rm", "--force", "--volumes"].into_iter().chain(ids.lines()).collect();
            let _best_effort = self.client(&arguments).output();
        }
        let _best_effort = self.client(&["network", "prune", "--force"]).output();
    }

    /// Ends what an engine that was killed left running: each container's keeper names the engine's socket, and has the
    /// container's first process for a child.
    fn end_what_is_left(&self) {
        let root = self.root.to_str().expect("text");
        let entries = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
        let pids =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
        let is_ours = |pid: &Pid| {
            let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(root)
        };
        for keeper in pids.filter(is_ours) {
            for child in children(keeper) {
                kill(child.pid);
            }
            kill(keeper);
        }
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the engine's last words:\n{}\n---",
                lines[lines.len().saturating_sub(20)..].join("\n")
            );
        }
        self.clear();
        self.end(End::Told);
        self.end_what_is_left();
        unmount_below(&self.root);
        self.bridge.take_down();
        let _best_effort = fs::remove_dir_all(&self.root);
    }
}

impl Bridge {
    /// The first that nobody has.
    fn claim() -> Result<Self, String> {
        for number in 0..=u8::MAX / 2 {
            let bridge = Bridge(number);
            let made = ip(&["link", "add", &bridge.name(), "type", "bridge"])?;
            if made.status.success() {
                return Ok(bridge);
            }
            if !stderr(&made).contains("exists") {
                return Err(format!("no bridge can be made ({})", stderr(&made).trim()));
            }
        }
        Err("there are 128 of them".to_owned())
    }

    fn name(&self) -> String {
        format!("rkengine{}", self.0)
    }

    /// The beginning of the addresses on the bridge itself.
    fn addresses(&self) -> String {
        format!("198.18.{}.", 2 * self.0)
    }

    /// The beginning of the addresses in the deployment's network.
    fn networks(&self) -> String {
        format!("198.18.{}.", 2 * self.0 + 1)
    }

    fn set_up(&self) {
        let address = format!("{}1/24", self.addresses());
        for arguments in
            [["addr", "add", &address, "dev", &self.name()], ["link", "set", "dev", &self.name(), "up"]]
        {
            let output = ip(&arguments).expect("there is an ip command");
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }

    /// Removes it, and that of the deployment's network.
    fn take_down(&self) {
        let Ok(shown) = ip(&["-brief", "-4", "addr", "show"]) else { return };
        for line in String::from_utf8_lossy(&shown.stdout).lines() {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            if words.any(|word| word.starts_with(&self.addresses()) || word.starts_with(&self.networks())) {
                let _best_effort = ip(&["link", "del", name]);
            }
        }
    }
}

/// Between two looks at a condition, where nothing can be awaited: an engine also ends as it is dropped.
#[expect(clippy::disallowed_methods, reason = "its callers wait for a condition with a deadline")]
fn rest() {
    std::thread::sleep(Duration::from_millis(5));
}

fn client(host: &str) -> Command {
    let mut command = Command::new("docker");
    command.args(["--host", host]);
    command
}

/// Whether engines can be run here; else why not.
fn can_run() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can run one".to_owned());
    }
    match Command::new("dockerd").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("dockerd does not work ({})", stderr(&output).trim())),
        Err(error) => Err(format!("there is no dockerd ({error})")),
    }
}

fn ip(arguments: &[&str]) -> Result<Output, String> {
    Command::new("ip").args(arguments).output().map_err(|error| format!("there is no ip command ({error})"))
}

fn unmount_below(root: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|point| Path::new(point).starts_with(root)).collect::<Vec<_>>().iter().rev() {
        let _best_effort = Command::new("umount").args(["--lazy", point]).output();
    }
}
