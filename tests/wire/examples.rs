//! The examples, by their own files and programs: the pipeline and the images. The tasks need Docker.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    pools::{File, admin, ready},
    support::{
        Answer, Balancer, Client, Deployment, RINGKEEPER,
        process::{children, kill, variable},
        stderr, until, within,
    },
};

const PIPELINE: &str = include_str!("../../examples/pipeline/ringkeeper.toml");
const IMAGES: &str = include_str!("../../examples/images/ringkeeper.toml");
const SERVICES: [&str; 4] = ["service1", "service2", "service3", "service4"];

/// The program of the examples.
fn program() -> String {
    let program = PathBuf::from(RINGKEEPER).with_file_name("ringkeeper-example");
    assert!(program.exists(), "the examples' program is not built: cargo test --workspace builds it");
    program.to_str().expect("text").to_owned()
}

/// An address of loopback for this test alone, whose ports are all free.
fn loopback() -> [u8; 4] {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    [127, 80 + high % 100, high, low.clamp(1, 254)]
}

/// The pipeline, at ports 8061 to 8064 of an address of its own.
struct Pipeline {
    balancer: Balancer,
    ip: [u8; 4],
    _file: File,
    _deployment: Deployment,
}

impl Pipeline {
    async fn start() -> Self {
        let (deployment, ip) = (Deployment::of_processes(), loopback());
        let own = format!("{}.{}.{}.{}:", ip[0], ip[1], ip[2], ip[3]);
        let settings = PIPELINE.replace("dist/ringkeeper-example", &program()).replace("127.0.0.1:", &own);
        let file = File::of(&deployment, &settings);
        let balancer = deployment.launch(&["--config", file.path()]).await;
        for service in SERVICES {
            ready(&balancer, service, 4).await;
        }
        Pipeline { balancer, ip, _file: file, _deployment: deployment }
    }

    /// Where the balancer has this service, from 1.
    fn port(&self, service: usize) -> SocketAddr {
        (self.ip, 8060 + service as u16).into()
    }

    async fn get(&self, service: usize, path: &str) -> Answer {
        Client::connect(self.port(service)).await.call("GET", path, "").await
    }

    async fn stats(&self, service: usize) -> Value {
        self.get(service, "/stats").await.json()
    }

    async fn row(&self, service: usize, name: &str) -> Value {
        let path = format!("/v1/pools/service{service}");
        let pool = admin(&self.balancer, "GET", &path, &Value::Null).await.json();
        let rows = pool["replicas"].as_array().expect("rows");
        rows.iter().find(|row| row["name"] == name).expect("it is there").clone()
    }

    /// The process of a replica.
    async fn process(&self, service: usize, name: &str) -> Pid {
        let row = self.row(service, name).await;
        let address: SocketAddr = row["address"].as_str().expect("it runs").parse().expect("an address");
        let port = address.port().to_string();
        let mut pids = children(self.balancer.pid()).into_iter().map(|child| child.pid);
        pids.find(|pid| variable(*pid, "PORT").as_ref() == Some(&port)).expect("a process")
    }
}

fn text() -> Request<Full<Bytes>> {
    let request = Request::post("/process").header("content-type", "application/json");
    request.body(r#"{"text": "To be, or not to be"}"#.into()).expect("a request")
}

/// Fails where that is not the whole report; tells who made it.
fn check(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let paper = answer.json();
    assert_eq!(paper["report"], "6 words, 4 of them different");
    assert_eq!(paper["counts"], json!({ "be": 2, "not": 1, "or": 1, "to": 2 }));
    let stages = paper["served_by"].as_array().expect("a list").iter();
    stages.map(|stage| stage.as_str().expect("text").to_owned()).collect()
}

/// Clients that send text after text. Ends when it is told to.
struct Readers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Readers {
    fn start(address: SocketAddr, count: usize) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let (stop, answered) = (stop.clone(), answered.clone());
            clients.spawn(async move {
                let mut client = Client::connect(address).await;
                while !stop.load(SeqCst) {
                    check(&client.send(text()).await);
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        Readers { stop, answered, clients }
    }

    /// Waits until so many more are answered.
    async fn go_on(&self, more: u64) {
        let goal = self.answered.load(SeqCst) + more;
        until("requests are answered", async || self.answered.load(SeqCst) >= goal).await;
    }

    /// Ends it; fails where a request failed.
    async fn end(mut self) -> u64 {
        self.stop.store(true, SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.expect("no request is lost");
        }
        self.answered.load(SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_four_services_is_even_counts_and_loses_nothing_when_replicas_are_killed() {
    let pipeline = Pipeline::start().await;
    let mut client = Client::connect(pipeline.port(1)).await;
    let mut served: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..20 {
        for stage in check(&client.send(text()).await) {
            *served.entry(stage).or_default() += 1;
        }
    }
    assert_eq!(served.len(), 16, "{served:?}");
    assert!(served.values().all(|count| *count == 5), "{served:?}");
    let count = json!({ "requests": 5, "errors": 0 });
    let names = ["Server-1", "Server-2", "Server-3", "Server-4"];
    let counts: BTreeMap<_, _> = names.iter().map(|name| (name, &count)).collect();
    let stats = json!({ "instances": names, "stats": counts });
    for service in 1..=4 {
        assert_eq!(pipeline.stats(service).await, stats, "service {service}");
        let health = pipeline.get(service, "/health").await;
        assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")));
    }

    let readers = Readers::start(pipeline.port(1), 16);
    for service in 1..=3 {
        readers.go_on(100).await;
        let old = pipeline.process(service, "Server-2").await;
        kill_process(old, Signal::STOP).expect("delivered");
        until("it has requests that it will not answer", async || {
            pipeline.row(service, "Server-2").await["pending"].as_u64() > Some(0)
        })
        .await;
        assert!(kill(old));
        until("what it had is counted as its errors", async || {
            pipeline.stats(service).await["stats"]["Server-2"]["errors"].as_u64() > Some(0)
        })
        .await;
        ready(&pipeline.balancer, SERVICES[service - 1], 4).await;
        let before = pipeline.stats(service).await;
        readers.go_on(100).await;
        let after = pipeline.stats(service).await;
        let of = |stats: &Value, field: &str| stats["stats"]["Server-2"][field].as_u64().expect("a number");
        assert!(of(&after, "requests") > of(&before, "requests"), "it has requests again: {after}");
        assert!(of(&after, "errors") >= of(&before, "errors") && of(&after, "errors") > 0, "{after}");
    }
    let answered = readers.end().await;
    let first = pipeline.stats(1).await;
    let requests = |name: &str| first["stats"][name]["requests"].as_u64().expect("a number");
    assert!(names.iter().map(|name| requests(name)).sum::<u64>() >= answered + 20, "{first}");
}

/// A service of the images, which ends when this is dropped.
struct Service {
    process: Child,
    address: String,
}

impl Service {
    fn start(step: &str) -> Self {
        let mut command = Command::new(program());
        command.arg(step).env("BIND", "127.0.0.1").env("PORT", "0").stderr(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut line = String::new();
        let mut log = BufReader::new(process.stderr.take().expect("piped"));
        log.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Service { process, address }
    }

    fn kill(&mut self) {
        let _may_have_ended = self.process.kill();
        let _may_have_ended = self.process.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The services of the images, and the balancer before them.
struct Images {
    resize: Vec<Service>,
    filter: Vec<Service>,
    watermark: Vec<Service>,
    balancer: Balancer,
    _file: File,
    _deployment: Deployment,
}

impl Images {
    async fn start() -> Self {
        let services =
            |step: &str, count: usize| (0..count).map(|_| Service::start(step)).collect::<Vec<_>>();
        let (resize, filter, watermark) =
            (services("resize", 3), services("filter", 5), services("watermark", 3));
        let hosts = |services: &[Service]| {
            let hosts: Vec<&str> = services.iter().map(|service| service.address.as_str()).collect();
            hosts.join(",")
        };
        let environment = [
            ("RESIZE_SERVICE_HOSTS", hosts(&resize)),
            ("FILTER_SERVICE_HOSTS", hosts(&filter)),
            ("WATERMARK_SERVICE_HOSTS", hosts(&watermark)),
        ];
        let deployment = Deployment::of_processes();
        let file = File::of(&deployment, IMAGES);
        let balancer = deployment.launch_in(&environment, &["--config", file.path()]).await;
        for (pool, count) in [("resize", 3), ("filter", 5), ("watermark", 3)] {
            ready(&balancer, pool, count).await;
        }
        Images { resize, filter, watermark, balancer, _file: file, _deployment: deployment }
    }

    /// Has so many images done over one connection.
    fn orchestrate(&self, count: usize) -> Command {
        let mut command = Command::new(program());
        command.args(["orchestrate", &self.balancer.traffic.to_string(), &count.to_string()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

async fn ended(mut process: Child) -> Output {
    within(crate::support::PATIENCE, "it ends", async || process.try_wait().expect("a child")).await;
    process.wait_with_output().expect("a child")
}

/// How many calls each service answered, of those that an orchestrator tells of.
fn shares(output: &Output) -> BTreeMap<String, usize> {
    assert!(output.status.success(), "{}", stderr(output));
    let mut shares = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (_, by) = line.rsplit_once("(by ").expect("who did it");
        *shares.entry(by.trim_end_matches(')').to_owned()).or_default() += 1;
    }
    shares
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_one_connection_are_spread_evenly_over_the_images_services() {
    let mut images = Images::start().await;
    let output = ended(images.orchestrate(15).spawn().expect("it starts")).await;
    let share = shares(&output);
    for (services, calls) in [(&images.resize, 5), (&images.filter, 9), (&images.watermark, 5)] {
        for service in services {
            assert_eq!(share.get(&service.address), Some(&calls), "{}: {share:?}", service.address);
        }
    }
    assert_eq!(share.len(), 11, "{share:?}");

    let work = images.orchestrate(60).spawn().expect("it starts");
    let filtered = async |images: &Images| {
        let pool = admin(&images.balancer, "GET", "/v1/pools/filter", &Value::Null).await.json();
        pool["totals"]["dispatched"].as_u64().expect("a number")
    };
    until("it is under way", async || filtered(&images).await > 75).await;
    images.filter[2].kill();
    let output = ended(work).await;
    let share = shares(&output);
    assert_eq!(share.values().sum::<usize>(), 5 * 60, "every image is done: {share:?}");
}
