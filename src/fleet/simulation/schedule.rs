//! One schedule: a storm drawn from a seed, and the calm after it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{
    balancer::{Balancer, config},
    calls::Books,
    state::Temporary,
    witness::Witness,
};
use crate::{
    engine::{
        Instance, Launch, State,
        fake::{Container, Daemon, Faults},
    },
    fleet::Config,
    name::{InstanceId, Number, Owner},
};

/// The acts of a storm.
const ACTS: usize = 40;
/// What is late comes within this.
const LATEST: Duration = Duration::from_secs(100);
/// After that, within which the desired set is reached: the longest pause of one that keeps dying, and some.
const CALM: Duration = Duration::from_secs(150);

/// Runs the schedule of this seed.
///
/// # Panics
/// If a rule is broken or the desired set is not reached.
pub(super) fn run(seed: u64) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut storm = Storm::new(seed).await;
        for _ in 0..ACTS {
            storm.act().await;
            storm.check();
        }
        storm.settle().await;
    });
}

pub(super) struct Storm {
    pub(super) rng: StdRng,
    daemon: Arc<Daemon>,
    pub(super) witness: Arc<Witness>,
    config: Config,
    directory: Temporary,
    balancer: Option<Balancer>,
    strangers: Vec<Container>,
    /// The numbers of those that fail every request.
    sick: BTreeSet<u16>,
    pub(super) books: Arc<Mutex<Books>>,
}

impl Storm {
    async fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let daemon = Daemon::new(rng.random());
        let directory = Temporary::new(seed);
        let witness = Witness::new(&daemon, directory.0.join("state.json"));
        let config = config(&mut rng);
        put_strangers(&daemon);
        daemon.set_faults(faults(&mut rng));
        let balancer = Balancer::start(&daemon, &directory.0, &config, rng.random(), &witness).await;
        daemon.put("ours", &launch(4, witness.owner(), "other", "other-3", 3), true);
        let strangers = daemon.containers();
        let books = Arc::new(Mutex::new(Books { count: config.replicas, ..Books::default() }));
        Storm {
            rng,
            daemon,
            witness,
            config,
            directory,
            balancer: Some(balancer),
            strangers,
            sick: BTreeSet::new(),
            books,
        }
    }

    /// Something happens, after a while in which requests come.
    async fn act(&mut self) {
        let longest = if self.rng.random_bool(0.3) { 5000 } else { 300 };
        let pause = self.rng.random_range(0..longest);
        for _ in 0..4 {
            sleep(Duration::from_millis(pause / 4)).await;
            let takes = Duration::from_millis(self.rng.random_range(1..20_000));
            let id = self.rng.random();
            let (daemon, sick) = (self.daemon.clone(), self.sick.clone());
            let claimed = self.balancer().request(&daemon, &sick, id, takes);
            let mut books = self.books.lock().unwrap();
            let breach = claimed.filter(|name| books.drained.contains(name));
            books.broken.extend(breach.map(|name| format!("{name} is drained and got a request")));
        }
        let victim = self.victim();
        match (self.rng.random_range(0..25), victim) {
            (0..4, Some(victim)) => self.daemon.crash(&victim, 137),
            (4..6, Some(victim)) => self.daemon.freeze(&victim, true),
            (6, Some(victim)) => self.daemon.freeze(&victim, false),
            (7, Some(victim)) => self.daemon.remove(&victim),
            (8, _) => self.daemon.set_away(true),
            (9..11, _) => self.daemon.set_away(false),
            (11, _) => self.restart().await,
            (12..15, _) => self.add(),
            (15..18, _) => self.remove(),
            (18, _) => self.daemon.set_faults(faults(&mut self.rng)),
            (19, _) => match self.rng.random_range(0..10) {
                0..3 => self.all_crash(),
                3..8 => self.weigh(),
                _ => self.scale(),
            },
            (20..22, _) => self.drain(true),
            (22, _) => self.drain(false),
            (23, _) => self.restart_one(),
            (24, _) => self.sick = (1..6).filter(|_| self.rng.random_bool(0.4)).collect(),
            _ => {}
        }
    }

    /// One of ours, if there is one.
    fn victim(&mut self) -> Option<InstanceId> {
        let ours = self.ours();
        let chosen = ours.get(self.rng.random_range(0..ours.len().max(1)))?;
        Some(chosen.id.clone())
    }

    fn ours(&self) -> Vec<Instance> {
        let (containers, owner) = (self.daemon.containers(), self.witness.owner());
        let ours = containers.into_iter().filter(|c| c.is_of("ours")).filter_map(|c| Some(c.labels?.1));
        ours.filter(|instance| instance.owner == owner && *instance.pool == *"default").collect()
    }

    pub(super) fn balancer(&mut self) -> &mut Balancer {
        self.balancer.as_mut().expect("there is one between restarts")
    }

    /// As after a reboot.
    fn all_crash(&self) {
        self.ours().iter().for_each(|instance| self.daemon.crash(&instance.id, 255));
    }

    async fn restart(&mut self) {
        tracing::info!("the balancer is killed");
        let before = self.balancer().handle.view();
        let certain = self.books.lock().unwrap().pending == 0;
        self.balancer.take().expect("there is one").kill().await;
        sleep(Duration::from_millis(self.rng.random_range(0..3000))).await;
        let (daemon, directory, config) = (&self.daemon, &self.directory.0, &self.config);
        let balancer = Balancer::start(daemon, directory, config, self.rng.random(), &self.witness).await;
        let after = balancer.handle.view();
        if certain && !before.names().eq(after.names()) {
            let message = format!("a restart made {:?} of {:?}", names(&after), names(&before));
            self.books.lock().unwrap().broken.push(message);
        }
        self.balancer = Some(balancer);
    }

    fn check(&mut self) {
        let mut broken = self.witness.broken();
        broken.extend(self.books.lock().unwrap().broken.clone());
        assert!(broken.is_empty(), "{}", broken.join("; "));
        assert!(!self.balancer().has_ended(), "the fleet has ended");
        let now = self.daemon.containers();
        assert!(self.strangers.iter().all(|stranger| now.contains(stranger)), "a stranger was touched");
    }

    /// Nothing but hints goes wrong any more, and soon everything is as desired.
    async fn settle(&mut self) {
        self.daemon.set_faults(Faults { lose_hint: 1.0, ..Faults::none() }); // its own looks have to do
        self.daemon.set_away(false);
        self.daemon.remove_foreign("S9"); // else one that a restart kept from being refused would wait for ever
        self.strangers.retain(|stranger| stranger.name != "S9");
        self.ours().iter().for_each(|instance| self.daemon.freeze(&instance.id, false));
        sleep(LATEST).await;
        let deadline = Instant::now() + CALM;
        while let Err(why) = self.is_as_desired() {
            assert!(Instant::now() < deadline, "not reached: {why}");
            sleep(Duration::from_millis(500)).await;
            self.check();
        }
        self.check();
        let books = self.books.lock().unwrap();
        let count = names(&self.balancer.as_ref().expect("there is one").handle.view()).len();
        assert!(books.unknown || books.count == count, "there are {count}, and by the calls {}", books.count);
    }

    fn is_as_desired(&mut self) -> Result<(), String> {
        let view = self.balancer().handle.view();
        let ours = self.ours();
        for row in view.desired() {
            let instance =
                ours.iter().find(|instance| instance.id == row.instance).ok_or("one is missing")?;
            if !row.state.is_up() || !matches!(instance.state, State::Running(_)) {
                return Err(format!("{row:?}"));
            }
            let goes_by = self.daemon.container(&row.instance).map(|container| container.name);
            let own = format!("{}--{}", row.name, row.instance);
            let right = if row.name.as_str() == "Server-2" { own } else { row.name.to_string() };
            if goes_by.as_ref() != Some(&right) {
                return Err(format!("{} goes by {goes_by:?}", row.name));
            }
        }
        let desired = view.desired().count();
        if ours.len() == desired { Ok(()) } else { Err(format!("{} for {desired}", ours.len())) }
    }
}

pub(super) fn names(view: &crate::fleet::View) -> Vec<String> {
    view.names().map(ToString::to_string).collect()
}

/// What is nobody's business: a neighbour that has the name Server-2, another pool with instances of another owner (and
/// later of ours), and a container without labels.
fn put_strangers(daemon: &Daemon) {
    daemon.put("theirs", &launch(1, Owner::from_bits(1), "default", "Server-2", 2), true);
    daemon.put("ours", &launch(2, Owner::from_bits(2), "other", "other-1", 1), true);
    daemon.put("ours", &launch(3, Owner::from_bits(3), "other", "other-2", 2), false);
    daemon.put_foreign("S9");
}

fn launch(id: u64, owner: Owner, pool: &str, name: &str, number: u16) -> Launch {
    Launch {
        instance: InstanceId::from_bits(id),
        owner,
        pool: pool.into(),
        name: name.parse().unwrap(),
        number: Number::new(number).unwrap(),
    }
}

/// The faults of some weather, from fair to foul.
fn faults(rng: &mut StdRng) -> Faults {
    let foul: f64 = if rng.random_bool(0.3) { 0.0 } else { rng.random() };
    let slow = if rng.random_bool(0.2) { 3000 } else { 40 };
    let mut some = |most: f64| foul * most * rng.random::<f64>();
    Faults {
        delay: Duration::ZERO..Duration::from_millis(slow),
        boot: Duration::ZERO..Duration::from_millis(slow * 2),
        refuse: some(0.2),
        lose: some(0.2),
        hang: some(0.1),
        half: some(0.2),
        stillborn: some(0.3),
        lose_hint: some(1.0),
        delay_hint: some(0.5),
    }
}
