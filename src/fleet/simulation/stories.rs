//! Single stories of what went wrong once, on the same stage as the schedules.

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{sleep, timeout};

use super::{
    balancer::{Balancer, config},
    state::Temporary,
    witness::Witness,
};
use crate::{
    engine::{Launch, fake::Daemon},
    fleet::Config,
    name::{InstanceId, Number, Owner},
};

struct Stage {
    daemon: Arc<Daemon>,
    directory: Temporary,
    witness: Arc<Witness>,
    config: Config,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let (daemon, directory) = (Daemon::new(seed), Temporary::new(seed));
        let witness = Witness::new(&daemon, directory.0.join("state.json"));
        let config = Config { replicas: 3, ..config(&mut StdRng::seed_from_u64(seed)) };
        Stage { daemon, directory, witness, config }
    }

    async fn balancer(&self) -> Balancer {
        Balancer::start(&self.daemon, &self.directory.0, &self.config, 1, &self.witness).await
    }
}

fn play(story: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story);
}

/// `ringkeeper down --adopt` told the fleet to take all down before it had looked at the engine once. Then it looked,
/// adopted what was there, and kept it alive for ever.
#[test]
fn what_is_adopted_is_taken_down_also_when_down_is_the_first_thing_said() {
    play(async {
        let mut stage = Stage::new(1 << 40);
        stage.config.adopt = true;
        let launch = Launch {
            instance: InstanceId::from_bits(1),
            owner: Owner::from_bits(1),
            pool: "default".into(),
            name: "Server-1".parse().unwrap(),
            number: Number::new(1).unwrap(),
        };
        stage.daemon.put("ours", &launch, true);
        let balancer = stage.balancer().await;
        let down = timeout(Duration::from_secs(300), balancer.handle.down()).await;
        down.expect("it comes to an end").unwrap();
        assert_eq!(stage.daemon.containers(), []);
    });
}

/// Before the engine had answered once, nothing was shown: a removal was answered with a set that still had what it
/// removed.
#[test]
fn what_is_removed_before_the_engine_answers_is_not_in_the_answer() {
    play(async {
        let stage = Stage::new(2 << 40);
        stage.daemon.set_away(true);
        let balancer = stage.balancer().await;
        let left = balancer.handle.remove(1, vec!["Server-2".into()]).await.unwrap();
        let names: Vec<_> = left.names().map(ToString::to_string).collect();
        assert_eq!(names, ["Server-1", "Server-3"]);
        stage.daemon.set_away(false);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(stage.daemon.containers().len(), 2);
        assert_eq!(stage.witness.broken(), [""; 0]);
        balancer.kill().await;
    });
}
