//! Replicas that are killed again and again, as fast as they come back.

use std::{
    collections::BTreeSet,
    io::Write,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rustix::process::Pid;

use crate::support::{
    Balancer, Deployment, Load, PATIENCE,
    process::{children, kill, variable},
    until, within,
};

const KILLS: usize = 500;
/// The kills after which the balancer has whatever memory it needs for more of them.
const WARM_UP: usize = 100;
const CONNECTIONS: u64 = 8;

/// Kills replicas of a balancer, and remembers which.
struct Killer<'a> {
    balancer: &'a Balancer,
    rng: StdRng,
    killed: BTreeSet<i32>,
}

impl Killer<'_> {
    /// Kills the process of one replica: any, in whatever state it is, unless it is the last one that can answer.
    async fn kill_one(&mut self) {
        let victim = within(PATIENCE, "a replica that may be killed", async || self.victim().await).await;
        assert!(kill(victim), "only its parent can take note of its end");
        self.killed.insert(victim.as_raw_nonzero().get());
    }

    async fn victim(&mut self) -> Option<Pid> {
        let alive: Vec<(Pid, u16)> = children(self.balancer.pid())
            .into_iter()
            .filter(|child| !child.is_zombie && !self.killed.contains(&child.pid.as_raw_nonzero().get()))
            .filter_map(|child| Some((child.pid, variable(child.pid, "PORT")?.parse().ok()?)))
            .collect();
        let rows = self.balancer.rows().await.into_iter().filter(|row| row.state == "ready");
        let ready: Vec<u16> = rows.map(|row| row.address.expect("it is ready").port()).collect();
        let answers = |(_, port): &(Pid, u16)| ready.contains(port);
        let can_answer = alive.iter().filter(|replica| answers(replica)).count();
        let may_go: Vec<_> =
            alive.into_iter().filter(|replica| can_answer > 1 || !answers(replica)).collect();
        may_go.choose(&mut self.rng).map(|(pid, _)| *pid)
    }

    /// Kills so many at random moments, now and then several at once.
    async fn kill(&mut self, count: usize) {
        for _ in 0..count {
            if self.rng.random_bool(0.7) {
                let moment = self.rng.random_range(0..60);
                tokio::time::sleep(Duration::from_millis(moment)).await;
            }
            self.kill_one().await;
        }
    }
}

/// Under load, five hundred kills at random moments of the lives of five replicas, of which at least one always answers.
#[tokio::test]
async fn five_hundred_kills_leave_the_same_names_and_numbers_and_nothing_else() {
    let deployment = Deployment::of_processes();
    let settings = ["--replicas", "5", "--restart-pause", "0s", "--idle-timeout", "1s"];
    let balancer = deployment.start(&settings).await;
    let (seats, descriptors) = (balancer.seats().await, balancer.descriptors());
    let load = Load::start(balancer.traffic, CONNECTIONS, Duration::from_millis(1));
    let mut killer = Killer { balancer: &balancer, rng: StdRng::seed_from_u64(5), killed: BTreeSet::new() };

    let begun = Instant::now();
    killer.kill(WARM_UP).await;
    let warm = balancer.resident_kib();
    killer.kill(KILLS - WARM_UP).await;
    let lasted = begun.elapsed();
    until("each kill was noticed", async || balancer.deaths().len() >= KILLS).await;
    balancer.all_ready().await;
    let tally = load.stop();

    let restarts: u64 = balancer.rows().await.iter().map(|row| row.restarts).sum();
    let resident = balancer.resident_kib();
    let _best_effort = writeln!(
        std::io::stderr(),
        "{KILLS} kills of 5 processes within {lasted:.1?}: {tally}; {restarts} restarts, resident {warm} KiB after {WARM_UP} \
         kills, {resident} KiB at the end"
    );
    assert_eq!(balancer.seats().await, seats);
    each_kill_is_accounted_for(&balancer, restarts);
    assert!(tally.only(&["502", "broken"]), "others were ready: {tally}");
    assert!(tally.failed() <= KILLS as u64 * CONNECTIONS, "more than there were in flight: {tally}");
    assert!(resident <= warm + 8 * 1024, "{warm} KiB grew to {resident} KiB");
    until("it has no more children than replicas, and no zombies", async || {
        let children = children(balancer.pid());
        children.len() == 5 && children.iter().all(|child| !child.is_zombie)
    })
    .await;
    until("it has no more descriptors than before", async || balancer.descriptors() <= descriptors).await;
}

/// A port that was free when it was chosen may be taken by a connection of someone's before the replica listens there.
fn each_kill_is_accounted_for(balancer: &Balancer, restarts: u64) {
    let (killed, others): (Vec<_>, Vec<_>) =
        balancer.deaths().into_iter().partition(|death| death.ends_with("(signal 9)"));
    let no_port =
        balancer.log().iter().filter(|line| line.starts_with("ringkeeper-server: cannot listen on")).count();
    assert_eq!((killed.len(), others.len()), (KILLS, no_port), "{others:?}");
    assert_eq!(restarts, (KILLS + no_port) as u64);
}
