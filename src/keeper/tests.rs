//! What becomes of pools and routes that cannot be as they are remembered.

use std::{fs, net::TcpListener, path::PathBuf};

use clap::Parser;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    config::{Args, Sections},
    engine::Kind,
    fleet::{CallError, ClaimError, Desired, Given, Stored},
    name::Owner,
};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A state directory of its own, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let unique = format!("ringkeeper-keeper-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        fs::create_dir_all(&directory).unwrap();
        Directory(directory)
    }

    fn config(&self, pools: &[(&str, Sheet)], routes: &[Sheet]) -> Config {
        let state_dir = self.0.to_str().unwrap();
        let line = ["ringkeeper", "--engine", "process", "--replicas", "0", "--threads", "1"];
        let line = line.into_iter().chain(["--state-dir", state_dir]);
        let pools = pools.iter().map(|(name, sheet)| Section::of_sheet("a pool", name, sheet)).collect();
        let routes = routes.iter().map(|sheet| Section::of_sheet("a route", "", sheet)).collect();
        Config::of(Line::try_parse_from(line).unwrap().args, Sections { pools, routes }).unwrap()
    }

    /// Keeps these pools without a data plane.
    async fn keep(&self, pools: &[(&str, Sheet)]) -> (Keeper, Doors) {
        let config = self.config(pools, &[]);
        let main = Arc::new(Listener::nowhere(config.listen));
        Keeper::new(&config, Store::open(&self.0).unwrap(), main).await.unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}

fn sheet(settings: &[(&str, &str)]) -> Sheet {
    settings.iter().map(|(name, value)| ((*name).to_owned(), Given::One((*value).to_owned()))).collect()
}

/// A pool without replicas.
fn empty() -> Sheet {
    sheet(&[("engine", "process"), ("replicas", "0")])
}

fn route(pool: &str) -> Sheet {
    sheet(&[("pool", pool), ("path", "/x")])
}

/// The end of a fleet that may not touch what is there.
fn refused(keeper: &Keeper, name: &str) -> Ended {
    let result = Err(FleetError::Claim(ClaimError::Several("a, b".to_owned())));
    Ended { name: name.into(), pool: keeper.kept[name].pool.id, result }
}

async fn removal(keeper: &mut Keeper) -> Removed {
    keeper.removals.join_next().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_route_of_a_call_to_a_pool_that_the_file_has_no_more_is_forgotten() {
    let directory = Directory::new("gone");
    let mut memory = Memory::default();
    memory.follow(&BTreeMap::from([("shop".to_owned(), empty())]), &[]);
    memory.route(vec![route("shop"), route("default")]);
    memory.save(&directory.0).unwrap();
    let (keeper, doors) = directory.keep(&[]).await;
    assert_eq!(doors.pools.routes().to_vec(), [route("default")]);
    assert_eq!(keeper.memory.routes(), [route("default")]);
    assert_eq!(Memory::load(&directory.0).unwrap().routes(), [route("default")]);
}

#[tokio::test]
async fn a_route_whose_address_is_taken_keeps_the_balancer_from_starting_only_where_the_file_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listens = sheet(&[("listen", address.as_str())]);
    let main = || {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        Arc::new(Listener::new(address, address, vec![socket]))
    };
    let directory = Directory::new("of-call");
    let mut memory = Memory::default();
    memory.route(vec![listens.clone(), route("default")]);
    memory.save(&directory.0).unwrap();
    let config = directory.config(&[], &[]);
    let begun = Keeper::new(&config, Store::open(&directory.0).unwrap(), main()).await;
    let (keeper, doors) = begun.unwrap();
    assert_eq!(doors.pools.routes().to_vec(), [route("default")]);
    assert_eq!(keeper.memory.routes(), [listens.clone(), route("default")], "the next start may have it");

    let directory = Directory::new("of-file");
    let config = directory.config(&[], &[listens]);
    let begun = Keeper::new(&config, Store::open(&directory.0).unwrap(), main()).await;
    assert!(begun.err().unwrap().to_string().contains("cannot listen on"));
}

#[tokio::test]
async fn a_pool_that_was_leaving_when_the_balancer_ended_leaves_at_the_next_start() {
    let directory = Directory::new("leaving");
    let store = Store::open(&directory.0).unwrap();
    let desired = Desired::fresh(Owner::from_bits(1), 0, &mut StdRng::seed_from_u64(1));
    store.of_pool("old").unwrap().save(&Stored { engine: Kind::Process, desired }).unwrap();
    drop(store);
    let mut memory = Memory::default();
    memory.put("old", empty());
    memory.remove("old");
    memory.save(&directory.0).unwrap();
    let (mut keeper, doors) = directory.keep(&[]).await;
    assert!(keeper.kept["old"].is_leaving);
    assert!(doors.pools.get("old").is_err());
    assert!(Memory::load(&directory.0).unwrap().leaving.contains_key("old"), "until it is gone");
    let gone = removal(&mut keeper).await;
    keeper.removed(gone).await.unwrap();
    assert!(Memory::load(&directory.0).unwrap().leaving.is_empty());
    assert!(!directory.0.join("pools/old").exists());
}

#[tokio::test]
async fn a_pool_that_could_not_be_removed_is_not_forgotten() {
    let directory = Directory::new("failed");
    let (mut keeper, _doors) = directory.keep(&[]).await;
    keeper.put("x", empty()).await.unwrap();
    keeper.remove("x", None).await;
    let again = keeper.put("x", empty()).await;
    assert!(matches!(again, Err(PoolError::Conflict(_))), "it is being removed");
    assert!(keeper.memory.leaving.contains_key("x"));
    let mut gone = removal(&mut keeper).await;
    gone.result = Err(PoolError::Call(CallError::Left("a container".to_owned())));
    keeper.removed(gone).await.unwrap();
    assert!(Memory::load(&directory.0).unwrap().leaving.contains_key("x"));
    assert!(directory.0.join("pools/x").exists());
    keeper.remove("x", None).await;
    let gone = removal(&mut keeper).await;
    keeper.removed(gone).await.unwrap();
    assert!(keeper.memory.leaving.is_empty());
    assert!(!directory.0.join("pools/x").exists());
}

#[tokio::test]
async fn a_pool_of_a_call_whose_fleet_ends_stays_without_one_and_can_be_removed() {
    let directory = Directory::new("ended");
    let (mut keeper, doors) = directory.keep(&[]).await;
    keeper.put("x", empty()).await.unwrap();
    keeper.route(vec![route("x")]).await.unwrap();
    let (ended, late) = (refused(&keeper, "x"), refused(&keeper, "x"));
    keeper.ended(ended).unwrap();
    let problem = doors.pools.get("x").unwrap().view().problem.clone();
    assert!(problem.unwrap().contains("several balancers"));
    let is_there = doors.routing.borrow().pools().iter().any(|pool| *pool.name == *"x");
    assert!(is_there, "else its requests went to the default pool");

    keeper.route(Vec::new()).await.unwrap();
    let (reply, answer) = oneshot::channel();
    keeper.remove("x", Some(reply)).await;
    let gone = removal(&mut keeper).await;
    keeper.removed(gone).await.unwrap();
    assert_eq!(answer.await.unwrap(), Ok(()));
    assert!(doors.pools.get("x").is_err());
    keeper.ended(late).unwrap(); // which is known too late to matter
}

#[tokio::test]
async fn a_fleet_that_ends_by_itself_while_its_pool_is_removed_has_nothing_to_take_down() {
    let directory = Directory::new("race");
    let (mut keeper, _doors) = directory.keep(&[]).await;
    keeper.put("x", empty()).await.unwrap();
    let ended = refused(&keeper, "x");
    keeper.fleets = JoinSet::new(); // the fleet hears nothing any more
    keeper.fleets.spawn(async move { ended });
    let (reply, answer) = oneshot::channel();
    keeper.remove("x", Some(reply)).await;
    let gone = removal(&mut keeper).await;
    keeper.removed(gone).await.unwrap();
    assert_eq!(answer.await.unwrap(), Ok(()));
    assert!(keeper.memory.leaving.is_empty());
}

#[tokio::test]
async fn the_balancer_ends_only_for_pools_that_are_just_as_the_file_has_them() {
    let directory = Directory::new("vital");
    let file = [("as-it-is", empty()), ("changed", empty())];
    let mut memory = Memory::default();
    memory.follow(&file.clone().map(|(name, sheet)| (name.to_owned(), sheet)).into(), &[]);
    memory.put("changed", sheet(&[("engine", "process"), ("replicas", "0"), ("rise", "2")]));
    memory.save(&directory.0).unwrap();
    let (mut keeper, _doors) = directory.keep(&file).await;
    for (name, is_vital) in [("changed", false), ("as-it-is", true), ("default", true)] {
        let ended = refused(&keeper, name);
        assert_eq!(keeper.ended(ended).is_err(), is_vital, "{name}");
    }
}

#[tokio::test]
async fn a_pool_of_a_call_that_cannot_begin_is_there_all_the_same() {
    let directory = Directory::new("unable");
    let unable = sheet(&[("upstreams_env", "A_VARIABLE_THAT_NOBODY_SETS")]);
    let mut memory = Memory::default();
    memory.put("mended", unable.clone());
    memory.put("other", unable);
    memory.route(vec![route("mended")]);
    memory.save(&directory.0).unwrap();
    let (mut keeper, doors) = directory.keep(&[]).await;
    let problem = || doors.pools.get("mended").unwrap().view().problem.clone();
    assert!(problem().unwrap().contains("upstreams_env"));
    let refused = doors.pools.get("mended").unwrap().scale(1).await.unwrap_err();
    let (pool, why) = ("mended".into(), problem().unwrap());
    assert_eq!(refused, CallError::Nobody { pool, why }, "that it is stopping would be no help");
    assert!(refused.to_string().contains("PUT /v1/pools/mended"), "{refused}");
    assert_eq!(doors.pools.routes().to_vec(), [route("mended")]);
    keeper.put("mended", empty()).await.unwrap();
    assert_eq!(problem(), None);
    keeper.down().await.unwrap();
    assert_eq!(Memory::load(&directory.0).unwrap(), Memory::default());
}

#[tokio::test]
async fn nothing_of_a_pool_is_stored_once_all_is_taken_down() {
    let directory = Directory::new("down");
    let (mut keeper, _doors) = directory.keep(&[("of-file", empty())]).await;
    keeper.put("of-call", empty()).await.unwrap();
    assert!(directory.0.join("pools/of-call").exists() && directory.0.join("pools/of-file").exists());
    keeper.down().await.unwrap();
    assert!(!directory.0.join("pools").exists());
}

#[tokio::test]
async fn what_cannot_be_stored_changes_nothing() {
    let directory = Directory::new("unstored");
    let (mut keeper, _doors) = directory.keep(&[]).await;
    keeper.put("there", empty()).await.unwrap();
    let before = keeper.memory.clone();
    fs::create_dir(directory.0.join("pools.json.new")).unwrap();
    assert!(matches!(keeper.put("x", empty()).await, Err(PoolError::Failed(_))));
    assert!(matches!(keeper.route(vec![route("there")]).await, Err(PoolError::Failed(_))));
    let (reply, answer) = oneshot::channel();
    keeper.remove("there", Some(reply)).await;
    assert!(matches!(answer.await.unwrap(), Err(PoolError::Failed(_))));
    assert_eq!(keeper.memory, before);
    assert!(!keeper.kept["there"].is_leaving);
}
