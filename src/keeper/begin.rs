//! How pools begin.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, anyhow};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    Keeper, Kept,
    open::{Opened, open},
};
use crate::{
    config::{Config, Pool, Section},
    engine::{Kind, docker},
    fleet::{self, DEFAULT, Desired, Fleet, Sheet, Store},
    policy::Policy,
    proxy,
    ring::Ring,
    table::{PoolId, Table},
};

impl Keeper {
    /// Begins all pools that there are to be, and has those end that the file had and has no more.
    pub(super) async fn begin_all(
        &mut self,
        config: &Config,
        gone: BTreeMap<String, Sheet>,
    ) -> anyhow::Result<()> {
        self.begin(&config.default).await?;
        for (name, remembered) in self.memory.pools.clone() {
            let Some(given) = remembered.given else { continue };
            let in_file = config.sections.pools.iter().find(|section| *section.name == *name);
            let in_file = in_file.filter(|section| section.sheet() == given).cloned();
            let section = in_file.unwrap_or_else(|| of_call(&name, &given));
            let pool = section.pool(&self.common).map_err(|problems| anyhow!(problems.join("\n       ")))?;
            self.begin(&pool).await.with_context(|| format!("pool '{name}'"))?;
        }
        for (name, given) in gone {
            let pool = of_call(&name, &given).pool(&self.common);
            match pool.map_err(|problems| anyhow!(problems.join("; "))) {
                Ok(pool) if self.store.of_pool(&name)?.load()?.is_some() => {
                    self.begin(&pool).await.with_context(|| format!("pool '{name}', which is to end"))?;
                    self.remove(&name, None);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(pool = name, %error, "a pool that is not configured any more cannot be ended")
                }
            }
        }
        let routes = self.memory.routes().to_vec();
        self.take_routes(routes)?; // nobody has to follow yet
        Ok(())
    }

    /// Begins a pool. Requests go to it when the routing has it.
    pub(super) async fn begin(&mut self, config: &Pool) -> anyhow::Result<()> {
        let store = self.store.of_pool(&config.name)?;
        let (opened, desired) = open(config, &store, &mut self.docker).await?;
        let id = self.next;
        let pool = Arc::new(proxy::Pool::new(id, &config.name, config.proxy.clone(), self.cores));
        let kept = self.keep(config, pool, store, opened, desired).await?;
        self.next = PoolId(id.0 + 1);
        self.kept.insert(config.name.clone(), kept);
        Ok(())
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
            docker::check_image(&config.docker).await?;
        }
        let (name, replicas, state) = (config.name.clone(), desired.wants().len(), store.directory());
        tracing::info!(pool = %name, engine = %kind, replicas, state = %state.display(), "keeping");
        let ring = Arc::new(Ring::build(&[], &config.fleet.ring)?);
        let table = Table::new(ring, Vec::new()).shared(Policy::new(&config.policy), config.max_in_flight);
        let (engine, table) = (opened.engine(config), table.queued(config.queue));
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
        let nudge = pool.nudge.clone();
        self.fleets.spawn(async move { (name, fleet.run(nudge).await) });
        Ok(Kept { opened, engine, handle, pool, is_vital: true, is_leaving: false })
    }
}

/// The settings of a pool that are not, or not just so, in the file.
pub(super) fn of_call(name: &str, given: &Sheet) -> Section {
    let place = if name == DEFAULT { "the default pool".to_owned() } else { format!("pool '{name}'") };
    Section::of_sheet(&place, name, given)
}
