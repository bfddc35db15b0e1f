//! Child processes keep the contract of an engine.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{Harness, contract, find, one, until};
use futures_util::future::{BoxFuture, FutureExt, ready};
use ringkeeper::{
    engine::{
        Engine, EngineError, Instance, Launch,
        process::{Config, ProcessEngine},
    },
    fleet::HttpProbe,
};
use rustix::process::{Pid, Signal};

mod contract;

contract!(run);

const STOP_TIMEOUT: Duration = Duration::from_secs(1);

struct Processes(Arc<ProcessEngine>);

fn run(_fact: &str, check: impl AsyncFnOnce(&dyn Harness)) {
    runtime().block_on(async { check(&Processes(engine(&server()))).await });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn engine(program: &str) -> Arc<ProcessEngine> {
    let config = Config { command: vec![program.to_owned()], env: Vec::new(), stop_timeout: STOP_TIMEOUT };
    Arc::new(ProcessEngine::new(config))
}

/// The sample replica, built beside these tests: `cargo build --workspace --bins` with the same flags.
fn server() -> String {
    let test = std::env::current_exe().unwrap();
    let beside = test.ancestors().nth(2).unwrap().join("ringkeeper-server");
    assert!(beside.exists(), "{} is missing: build it first (`make test` does)", beside.display());
    beside.into_os_string().into_string().unwrap()
}

/// The child that listens at an instance's address: what an outsider would have to look for.
fn pid(instance: &Instance) -> Pid {
    let port = format!("PORT={}", instance.address().expect("it runs").port());
    let has_port = |process: &PathBuf| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == port.as_bytes())
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let process = processes.find(has_port).expect("a process with its port");
    Pid::from_raw(process.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap()
}

fn signal(instance: &Instance, signal: Signal) {
    rustix::process::kill_process(pid(instance), signal).unwrap();
}

impl Harness for Processes {
    fn word(&self) -> &str {
        "process"
    }

    fn engine(&self) -> Arc<dyn Engine> {
        self.0.clone()
    }

    fn neighbour(&self) -> Arc<dyn Engine> {
        engine(&server())
    }

    fn shares_names(&self) -> bool {
        false
    }

    fn stop_timeout(&self) -> Duration {
        STOP_TIMEOUT
    }

    fn kill<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()> {
        signal(instance, Signal::KILL);
        ready(()).boxed()
    }

    fn freeze<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, ()> {
        let stat = format!("/proc/{}/stat", pid(instance).as_raw_nonzero());
        signal(instance, Signal::STOP);
        let deadline = Instant::now() + STOP_TIMEOUT;
        async move {
            while !std::fs::read_to_string(&stat).unwrap().rsplit(')').next().unwrap().starts_with(" T") {
                assert!(Instant::now() < deadline, "it does not stop");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        .boxed()
    }

    fn answers(&self, address: SocketAddr) -> BoxFuture<'_, bool> {
        async move { HttpProbe::new("/heartbeat").asks(address, Duration::from_secs(1)).await == Some(true) }
            .boxed()
    }

    fn create_only<'a>(&'a self, _: &'a Launch) -> BoxFuture<'a, bool> {
        ready(false).boxed() // a child is made in one step
    }
}

#[test]
fn a_missing_program_is_an_error_that_names_it() {
    runtime().block_on(async {
        let engine = engine("/no/such/program");
        let launch = <dyn Harness>::launch(&Processes(engine.clone()), 1);
        let refused = engine.start(&launch).await.unwrap_err();
        assert!(
            matches!(&refused, EngineError::ProgramMissing { program, .. } if program == "/no/such/program")
        );
        assert!(find(&*engine, &launch).await.is_none());
    });
}

#[test]
fn a_child_finds_what_it_is_given_and_its_own_port() {
    runtime().block_on(async {
        let env = ["GREETING=a, b", "PORT=1"].map(|text| text.parse().unwrap()).to_vec();
        let config = Config { command: vec![server()], env, stop_timeout: STOP_TIMEOUT };
        let engine = Arc::new(ProcessEngine::new(config));
        let launch = <dyn Harness>::launch(&Processes(engine.clone()), 1);
        engine.start(&launch).await.unwrap();
        let child = pid(&one(&*engine, &launch).await); // found by its port
        let environment = std::fs::read(format!("/proc/{}/environ", child.as_raw_nonzero())).unwrap();
        assert!(environment.split(|byte| *byte == 0).any(|variable| variable == b"GREETING=a, b"));
    });
}

#[test]
fn the_children_die_with_the_engine() {
    runtime().block_on(async {
        let engine = engine(&server());
        let harness = Processes(engine.clone());
        let mut addresses = Vec::new();
        for number in [1, 2] {
            let launch = <dyn Harness>::launch(&harness, number);
            engine.start(&launch).await.unwrap();
            addresses.push(one(&*engine, &launch).await.address().unwrap());
        }
        for address in &addresses {
            until("it listens", async || harness.answers(*address).await).await;
        }
        drop((engine, harness));
        let gone = async |address| {
            HttpProbe::new("/heartbeat").asks(address, Duration::from_secs(1)).await == Some(false)
        };
        for address in addresses {
            until("its child is gone", async || gone(address).await).await;
        }
    });
}
