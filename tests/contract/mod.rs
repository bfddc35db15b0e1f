//! The contract of `Engine`, sentence by sentence, for every engine: each fact is a test of each of them.
//!
//! An engine brings a [`Harness`] and says `contract!(run)`, where `run` gives a fact a harness of its own and cleans
//! up after it, also when it panics. One that does not own its instances launches none; what holds of it is in its own tests.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use ringkeeper::engine::{Instance, Launch, State, Stop};
use tokio::time::{Instant, timeout};

mod harness;

pub use harness::*;

/// Makes a test of each fact.
macro_rules! contract {
    ($run:path) => {
        contract::contract_of_all!($run);
        contract::facts!(
            $run:
            one_that_does_not_heed_its_stop_signal_is_killed_in_time,
            an_ended_one_stays_listed_with_its_exit_code_until_it_is_stopped,
            what_it_wrote_can_be_read_while_it_runs_and_after_its_end,
            a_death_is_hinted_at_also_when_it_came_before_the_call
        );
    };
}

/// Makes a test of each fact that also holds of an engine that does not own its instances.
macro_rules! contract_of_all {
    ($run:path) => {
        contract::facts!(
            $run:
            at_first_there_is_nothing,
            a_started_one_is_listed_as_launched_and_answers_at_its_address,
            a_start_that_is_repeated_changes_nothing,
            many_start_at_once_and_each_is_there_once,
            a_start_takes_the_name_over_from_an_older_one,
            a_start_that_was_cut_off_is_finished_by_the_next,
            a_created_one_is_listed_and_started,
            a_released_one_runs_on_without_its_name,
            a_stopped_one_is_gone_whichever_way_and_however_often,
            a_stop_that_was_cut_off_is_finished_by_the_next,
            one_that_was_declared_dead_is_not_waited_for,
            a_replacement_starts_while_its_predecessor_is_stopped,
            another_deployment_is_neither_listed_nor_touched,
            a_start_under_another_name_that_was_cut_off_is_finished_too,
            clearing_is_idempotent
        );
    };
}

macro_rules! facts {
    ($run:path: $($fact:ident),*) => {
        $(#[test]
        fn $fact() {
            $run(stringify!($fact), async |harness| contract::$fact(harness).await);
        })*
    };
}

#[allow(unused_imports, reason = "an engine takes the whole contract or the part for all")]
pub(crate) use {contract, contract_of_all, facts};

pub async fn at_first_there_is_nothing(harness: &dyn Harness) {
    assert_eq!(harness.engine().list().await.unwrap(), []);
}

pub async fn a_started_one_is_listed_as_launched_and_answers_at_its_address(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    engine.start(&launch).await.unwrap();
    let listed = one(&*engine, &launch).await;
    let launched = (&launch.instance, &launch.owner, &*launch.pool, &launch.name, launch.number);
    assert_eq!((&listed.id, &listed.owner, &*listed.pool, &listed.name, listed.number), launched);
    assert!(listed.holds_name);
    let address = listed.address().expect("one that runs has an address");
    until("its heartbeat is answered", async || harness.answers(address).await).await;
}

pub async fn a_start_that_is_repeated_changes_nothing(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    engine.start(&launch).await.unwrap();
    let before = engine.list().await.unwrap();
    engine.start(&launch).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), before);
}

pub async fn many_start_at_once_and_each_is_there_once(harness: &dyn Harness) {
    let engine = harness.engine();
    let launches: Vec<_> = (1..=5).map(|number| harness.launch(number)).collect();
    for started in join_all(launches.iter().map(|launch| engine.start(launch))).await {
        started.unwrap();
    }
    let listed: BTreeMap<_, _> =
        engine.list().await.unwrap().into_iter().map(|i| (i.id.clone(), i)).collect();
    assert_eq!(listed.len(), 5);
    assert!(launches.iter().all(|launch| listed[&launch.instance].address().is_some()));
    assert!(listed.values().all(|instance| instance.holds_name));
}

pub async fn a_start_takes_the_name_over_from_an_older_one(harness: &dyn Harness) {
    let engine = harness.engine();
    let (older, newer) = (harness.launch(1), Launch { instance: id(2), ..harness.launch(1) });
    engine.start(&older).await.unwrap();
    engine.start(&newer).await.unwrap();
    let (older, newer) = (one(&*engine, &older).await, one(&*engine, &newer).await);
    assert_eq!((older.holds_name, newer.holds_name), (false, true));
    assert!(older.address().is_some() && newer.address().is_some());
    let one_address = older.address() == newer.address();
    assert_eq!(
        one_address,
        !engine.kind().owns_instances(),
        "what somebody else runs is where its name says"
    );
    assert_eq!(older.name, newer.name, "the name it was launched with stays");
}

pub async fn a_start_that_was_cut_off_is_finished_by_the_next(harness: &dyn Harness) {
    let engine = harness.engine();
    for (number, milliseconds) in [(1, 1), (2, 10), (3, 60), (4, 200)] {
        let launch = harness.launch(number);
        let _may_be_in_time = timeout(Duration::from_millis(milliseconds), engine.start(&launch)).await;
        engine.start(&launch).await.unwrap();
        let listed = one(&*engine, &launch).await;
        assert!(
            listed.address().is_some() && listed.holds_name,
            "cut off after {milliseconds} ms: {listed:?}"
        );
    }
    assert_eq!(engine.list().await.unwrap().len(), 4);
}

pub async fn a_created_one_is_listed_and_started(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    if !harness.create_only(&launch).await {
        return;
    }
    assert_eq!(one(&*engine, &launch).await.state, State::Created);
    engine.start(&launch).await.unwrap();
    assert!(one(&*engine, &launch).await.address().is_some());
}

pub async fn a_released_one_runs_on_without_its_name(harness: &dyn Harness) {
    let (engine, older) = (harness.engine(), harness.launch(1));
    engine.start(&older).await.unwrap();
    let before = one(&*engine, &older).await;
    engine.release(&older.instance).await.unwrap();
    engine.release(&older.instance).await.unwrap();
    engine.release(&id(99)).await.unwrap();
    assert_eq!(one(&*engine, &older).await, Instance { holds_name: false, ..before });
    let newer = Launch { instance: id(2), ..harness.launch(1) };
    engine.start(&newer).await.unwrap();
    assert!(one(&*engine, &newer).await.holds_name);
}

pub async fn a_stopped_one_is_gone_whichever_way_and_however_often(harness: &dyn Harness) {
    let (engine, stays) = (harness.engine(), harness.launch(3));
    engine.start(&stays).await.unwrap();
    for how in [Stop::Gracefully, Stop::Kill] {
        let launch = harness.launch(1);
        engine.start(&launch).await.unwrap();
        engine.stop(&launch.instance, how).await.unwrap();
        assert!(find(&*engine, &launch).await.is_none(), "{how:?}");
        engine.stop(&launch.instance, how).await.unwrap();
        engine.stop(&id(99), how).await.unwrap();
    }
    assert!(one(&*engine, &stays).await.address().is_some());
}

pub async fn a_stop_that_was_cut_off_is_finished_by_the_next(harness: &dyn Harness) {
    let engine = harness.engine();
    for (number, milliseconds) in [(1, 1), (2, 10), (3, 30), (4, 100)] {
        let launch = harness.launch(number);
        engine.start(&launch).await.unwrap();
        let how = if number % 2 == 0 { Stop::Kill } else { Stop::Gracefully };
        let _may_be_in_time =
            timeout(Duration::from_millis(milliseconds), engine.stop(&launch.instance, how)).await;
        engine.stop(&launch.instance, how).await.unwrap();
        assert!(find(&*engine, &launch).await.is_none(), "cut off after {milliseconds} ms");
    }
}

pub async fn one_that_does_not_heed_its_stop_signal_is_killed_in_time(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    engine.start(&launch).await.unwrap();
    harness.freeze(&one(&*engine, &launch).await).await;
    let begun = Instant::now();
    engine.stop(&launch.instance, Stop::Gracefully).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= harness.stop_timeout(), "killed after {took:?} already");
    assert!(took <= harness.stop_timeout() + Duration::from_secs(5), "killed after {took:?} only");
    assert!(find(&*engine, &launch).await.is_none());
}

pub async fn one_that_was_declared_dead_is_not_waited_for(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    engine.start(&launch).await.unwrap();
    harness.freeze(&one(&*engine, &launch).await).await;
    let killed = timeout(harness.stop_timeout(), engine.stop(&launch.instance, Stop::Kill)).await;
    killed.expect("sooner than the stop timeout").unwrap();
    assert!(find(&*engine, &launch).await.is_none());
}

pub async fn an_ended_one_stays_listed_with_its_exit_code_until_it_is_stopped(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    engine.start(&launch).await.unwrap();
    harness.kill(&one(&*engine, &launch).await).await;
    let killed = State::Exited { code: Some(137), out_of_memory: false };
    until("it is listed as killed", async || one(&*engine, &launch).await.state == killed).await;
    engine.start(&launch).await.unwrap();
    assert_eq!(one(&*engine, &launch).await.state, killed, "an instance has one life");
    engine.release(&launch.instance).await.unwrap();
    engine.stop(&launch.instance, Stop::Gracefully).await.unwrap();
    assert!(find(&*engine, &launch).await.is_none());
}

pub async fn what_it_wrote_can_be_read_while_it_runs_and_after_its_end(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    engine.start(&launch).await.unwrap();
    until("it says that it listens", async || wrote(&*engine, &launch, 50).await.contains("listening")).await;
    let follower = engine.logs(&launch.instance, 50, true).await.unwrap();
    harness.kill(&one(&*engine, &launch).await).await;
    let followed = timeout(SOON, text(follower)).await.expect("it ends with the instance");
    assert!(followed.contains("listening"), "{followed}");
    let exited = async || matches!(one(&*engine, &launch).await.state, State::Exited { .. });
    until("it is listed as ended", exited).await;
    assert!(wrote(&*engine, &launch, 50).await.contains("listening"));
    let last = wrote(&*engine, &launch, 1).await;
    assert_eq!(last.trim_end().lines().count(), 1, "one line was asked for: {last}");
    engine.stop(&launch.instance, Stop::Kill).await.unwrap();
    assert_eq!(wrote(&*engine, &launch, 50).await, "");
}

pub async fn a_death_is_hinted_at_also_when_it_came_before_the_call(harness: &dyn Harness) {
    let engine = harness.engine();
    let dies = async |number, waits: bool| {
        let launch = harness.launch(number);
        engine.start(&launch).await.unwrap();
        let runs = one(&*engine, &launch).await;
        while timeout(Duration::from_secs(1), engine.changed()).await.is_ok() {} // the hints of its start
        let (engine, launch) = (&engine, &launch);
        let shown = async move || matches!(one(&**engine, launch).await.state, State::Exited { .. });
        let (killed, hinted) = (harness.kill(&runs), async {
            while !shown().await {
                timeout(SOON, engine.changed())
                    .await
                    .expect("a hint once the list shows the death, or before");
            }
        });
        if waits {
            tokio::join!(killed, hinted);
        } else {
            killed.await;
            let _one_that_gives_up = timeout(Duration::ZERO, engine.changed()).await;
            hinted.await;
        }
    };
    dies(1, true).await;
    dies(2, false).await;
}

pub async fn a_replacement_starts_while_its_predecessor_is_stopped(harness: &dyn Harness) {
    let engine = harness.engine();
    let mut last = harness.launch(1);
    engine.start(&last).await.unwrap();
    for life in 2..6 {
        let next = Launch { instance: id(life), ..last.clone() };
        harness.kill(&one(&*engine, &last).await).await;
        let (started, stopped) = tokio::join!(engine.start(&next), engine.stop(&last.instance, Stop::Kill));
        started.and(stopped).unwrap();
        assert!(find(&*engine, &last).await.is_none());
        assert!(one(&*engine, &next).await.holds_name);
        last = next;
    }
}

pub async fn another_deployment_is_neither_listed_nor_touched(harness: &dyn Harness) {
    let (engine, neighbour) = (harness.engine(), harness.neighbour());
    let (theirs, ours) = (harness.launch(1), Launch { instance: id(2), ..harness.launch(1) });
    neighbour.start(&theirs).await.unwrap();
    let before = neighbour.list().await.unwrap();
    engine.start(&ours).await.unwrap();
    engine.release(&theirs.instance).await.unwrap();
    engine.stop(&theirs.instance, Stop::Kill).await.unwrap();
    let own = one(&*engine, &ours).await;
    assert_eq!(engine.list().await.unwrap(), std::slice::from_ref(&own));
    assert_eq!(neighbour.list().await.unwrap(), before);
    assert_eq!(own.holds_name, !harness.shares_names(), "the name is the neighbour's while they share names");
    let address = own.address().expect("it runs by any name");
    until("its heartbeat is answered", async || harness.answers(address).await).await;
    engine.stop(&ours.instance, Stop::Gracefully).await.unwrap();
    engine.clear().await.unwrap();
    assert_eq!(neighbour.list().await.unwrap(), before);
}

pub async fn a_start_under_another_name_that_was_cut_off_is_finished_too(harness: &dyn Harness) {
    let (engine, neighbour) = (harness.engine(), harness.neighbour());
    neighbour.start(&harness.launch(1)).await.unwrap();
    for (life, milliseconds) in [(2, 10), (3, 40), (4, 120)] {
        let launch = Launch { instance: id(life), ..harness.launch(1) };
        let _may_be_in_time = timeout(Duration::from_millis(milliseconds), engine.start(&launch)).await;
        engine.start(&launch).await.unwrap();
        assert!(one(&*engine, &launch).await.address().is_some(), "cut off after {milliseconds} ms");
        engine.stop(&launch.instance, Stop::Kill).await.unwrap();
    }
}

pub async fn clearing_is_idempotent(harness: &dyn Harness) {
    let (engine, launch) = (harness.engine(), harness.launch(1));
    engine.clear().await.unwrap();
    engine.start(&launch).await.unwrap();
    engine.stop(&launch.instance, Stop::Kill).await.unwrap();
    engine.clear().await.unwrap();
    engine.clear().await.unwrap();
    engine.start(&launch).await.unwrap();
    assert!(one(&*engine, &launch).await.address().is_some());
}
