//! How pools begin.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    Care, Ended, Keeper, Kept,
    open::{Opened, open},
};
use crate::{
    config::{Config, Pool, Section},
    engine::{Kind, docker},
    fleet::{self, DEFAULT, Desired, Fleet, Handle, Others, Sheet, Store, View},
    policy::Policy,
    proxy,
    ring::Ring,
    table::{PoolId, Table},
};

impl Keeper {
    /// Begins all pools that there are to be, and has those end that are leaving.
    pub(super) async fn begin_all(&mut self, config: &Config) -> anyhow::Result<()> {
        self.begin(&config.default, true).await?;
        for (name, remembered) in self.memory.pools.clone() {
            let Some(given) = remembered.given else { continue };
            let in_file = config.sections.pools.iter().find(|section| *section.name == *name);
            let Some(section) = in_file.filter(|section| section.sheet() == given) else {
                self.begin_of_call(&name, &given).await;
                continue;
            };
            let pool = section.pool(&self.common).map_err(|problems| anyhow!(problems.join("\n       ")))?;
            self.begin(&pool, true).await.with_context(|| format!("pool '{name}'"))?;
        }
        let leaving: Vec<String> = self.memory.leaving.keys().cloned().collect();
        for name in leaving {
            self.remove(&name, None).await;
        }
        self.resume_routes(&config.sections.routes)?;
        if self.common.adopt {
            self.tell_of_strays();
        }
        Ok(())
    }

    /// Begins a pool whose settings are a call's. Where it cannot, it is there all the same, and nobody serves its requests.
    async fn begin_of_call(&mut self, name: &str, given: &Sheet) {
        let (config, why) = match of_call(name, given).pool(&self.common) {
            Ok(config) => {
                let begun = self.begin(&config, false).await;
                let Err(error) = begun else { return };
                (Ok(config), format!("{error:#}"))
            }
            Err(problems) => (of_call(name, &Sheet::new()).pool(&self.common), problems.join("; ")),
        };
        tracing::error!(pool = name, "the pool cannot begin, so nobody serves its requests: {why}");
        let Ok(config) = config else { return };
        let pool = Arc::new(proxy::Pool::new(self.next, name, config.proxy.clone(), self.cores));
        let view = View {
            pool: name.into(),
            epoch: self.published.epoch(),
            ring: config.fleet.ring.clone(),
            policy: Policy::new(&config.policy).kind(),
            queue: None,
            problem: Some(why),
            rows: Vec::new(),
            others: Others::default(),
        };
        let handle = Handle::of_nobody(view, self.silence.subscribe());
        self.insert(Kept { care: Care::Nobody, handle, pool, is_vital: false, is_leaving: false });
    }

    /// Begins a pool, in place of one of this name that has no fleet. Requests go to it when the routing has it. Where it
    /// is `is_vital`, the balancer ends if its fleet cannot begin.
    pub(super) async fn begin(&mut self, config: &Pool, is_vital: bool) -> anyhow::Result<()> {
        let store = self.store.of_pool(&config.name)?;
        let (opened, desired) = open(config, &store, &self.docker).await?;
        let pool = Arc::new(proxy::Pool::new(self.next, &config.name, config.proxy.clone(), self.cores));
        let kept = self.keep(config, pool, store, opened, desired).await?;
        self.insert(Kept { is_vital, ..kept });
        Ok(())
    }

    fn insert(&mut self, kept: Kept) {
        self.next = PoolId(kept.pool.id.0 + 1);
        if let Some(before) = self.kept.insert(kept.pool.name.clone(), kept) {
            self.published.remove(before.pool.id);
        }
    }

    /// Has a fleet keep a pool.
    async fn keep(
        &mut self,
        config: &Pool,
        pool: Arc<proxy::Pool>,
        store: Store,
        opened: Opened,
        desired: Desired,
    ) -> anyhow::Result<Kept> {
        let kind = opened.kind();
        let probe = config.probe(kind)?.probe();
        if kind == Kind::Docker {
            match docker::check_image(&config.docker).await {
                Err(error) if is_outage(&error) => {} // whoever is to run it is told
                checked => checked?,
            }
        }
        let (name, replicas, state) = (config.name.clone(), desired.wants().len(), store.directory());
        tracing::info!(pool = %name, engine = %kind, replicas, state = %state.display(), "keeping");
        let ring = Arc::new(Ring::build(&[], &config.fleet.ring)?);
        let table = Table::new(ring, Vec::new()).shared(Policy::new(&config.policy), config.max_in_flight);
        let table = table.queued(config.queue).bare(desired.is_empty());
        let engine = opened.engine(config);
        let parts = fleet::Parts {
            engine: engine.clone(),
            probe,
            store,
            desired,
            pool: pool.id,
            table,
            published: self.published.clone(),
            epochs: self.epochs.clone(),
            rerouted: self.rerouted.clone(),
            rng: StdRng::from_rng(&mut rand::rng()),
        };
        let (fleet, handle) = Fleet::new(config.fleet.clone(), parts);
        let (nudge, id) = (pool.nudge.clone(), pool.id);
        self.fleets.spawn(async move { Ended { name, pool: id, result: fleet.run(nudge).await } });
        Ok(Kept { care: Care::Fleet { opened, engine }, handle, pool, is_vital: false, is_leaving: false })
    }
}

/// Whether there was only nobody to ask about an image.
fn is_outage(error: &docker::CheckError) -> bool {
    match error {
        docker::CheckError::Connect(error) => error.may_come,
        docker::CheckError::Engine(error) => error.is_outage(),
    }
}

/// The settings of a pool that are not, or not just so, in the file.
pub(super) fn of_call(name: &str, given: &Sheet) -> Section {
    let place = if name == DEFAULT { "the default pool".to_owned() } else { format!("pool '{name}'") };
    Section::of_sheet(&place, name, given)
}
