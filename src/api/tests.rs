//! What is said of a pool, from its view to the text.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::response::IntoResponse;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;

use super::{Health, Stats, csv, wire};
use crate::{
    fleet::{Others, Row, RowState, Traffic, View},
    name::{InstanceId, Name, Number},
    policy::{self, Request},
    ring::{Member, Ring, Spec, Weight},
    table::{PoolId, Published, Replica, Table},
};

/// A pool of replicas with these names and states that had so many requests each. Whoever had some has one of them yet,
/// was late with one, broke one response off, could not be reached by another, and answered the rest after 20 ms.
fn view(rows: &[(&str, RowState, u64)]) -> View {
    let rows = rows.iter().zip(1..).map(|((name, state, requests), number)| Row {
        name: Name::of_address(name).unwrap(),
        number: Number::new(number).unwrap(),
        state: state.clone(),
        since: SystemTime::now() - Duration::from_secs(90),
        instance: InstanceId::from_bits(number.into()),
        address: Some(([10, 0, 0, 1], number).into()),
        restarts: 0,
        weight: Weight::new(3).unwrap(),
        on_ring: true,
        drained: *state == RowState::Drained,
        traffic: (*requests > 0).then(|| Traffic::of(&busy(name, number, *requests))),
        last_exit: None,
    });
    View {
        pool: "default".into(),
        epoch: 1,
        ring: Spec::assignment(),
        policy: policy::Kind::RoundRobin,
        queue: None,
        problem: None,
        rows: rows.collect(),
        others: Others::default(),
    }
}

fn busy(name: &str, number: u16, requests: u64) -> Arc<Replica> {
    let (name, address) = (Name::of_address(name).unwrap(), ([10, 0, 0, 1], number).into());
    let number = Number::new(number).unwrap();
    let replica = Arc::new(Replica::new(name, number, InstanceId::from_bits(1), address));
    let ring = Ring::build(&[Member { number, weight: Weight::ONE }], &Spec::assignment()).unwrap();
    let table = Table::new(Arc::new(ring), vec![Some(replica.clone())]);
    let (published, pool) = (Published::new(0), PoolId(0));
    published.publish(pool, table);
    let claim = |id| {
        let request = Request { id, now: Duration::ZERO, rng: &mut StdRng::seed_from_u64(id) };
        published.claim(pool, request, None, &[]).unwrap()
    };
    for id in 1..requests {
        claim(id).answered(if id == 1 { 503 } else { 204 }, Some(Duration::from_millis(20)));
    }
    std::mem::forget(claim(0)); // it stays under way
    (0..2).for_each(|_| _ = replica.note(true));
    replica.count_unanswered();
    replica.count_truncated();
    replica.count_unreached();
    replica.count_retry();
    replica
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn stats_have_the_shape_that_small_balancers_have() {
    let view =
        view(&[("b:1", RowState::Ready, 7), ("a:2", RowState::Drained, 0), ("b:1", RowState::Leaving, 9)]);
    assert_eq!(
        json(&Stats::of(&view)),
        r#"{"instances":["b:1","a:2"],"stats":{"b:1":{"requests":16,"errors":6},"a:2":{"requests":0,"errors":0}}}"#
    );
}

#[test]
fn a_pool_is_healthy_while_somebody_serves() {
    let health = |states: &[RowState]| {
        let rows: Vec<_> = states.iter().map(|state| ("a:1", state.clone(), 0)).collect();
        let health = Health::of(&view(&rows));
        (json(&health), health.into_response().status().as_u16())
    };
    let (down, ejected) = (RowState::Down(String::new()), RowState::Ejected(String::new()));
    assert_eq!(
        health(&[RowState::Ready, down.clone(), ejected, RowState::Leaving]),
        (r#"{"status":"healthy","instances":3,"healthy":2}"#.into(), 200)
    );
    assert_eq!(
        health(&[down, RowState::Drained]),
        (r#"{"status":"unhealthy","instances":2,"healthy":0}"#.into(), 503)
    );
    assert_eq!(health(&[]).1, 503);
}

#[test]
fn the_pools_totals_are_those_of_its_rows_and_of_whoever_departed() {
    let view =
        view(&[("a:1", RowState::Ready, 7), ("b:2", RowState::Leaving, 5), ("c:3", RowState::Starting, 0)]);
    let pool: Value = serde_json::from_str(&json(&wire::Pool::from(&view))).unwrap();
    let row = |at: usize, field: &str| pool["replicas"][at][field].as_u64().unwrap();
    for (field, both) in
        [("dispatched", 12), ("completed", 10), ("pending", 2), ("errors", 4), ("retries", 2)]
    {
        assert_eq!((row(0, field) + row(1, field), row(2, field)), (both, 0), "{field}");
        assert_eq!(pool["totals"][field], both, "{field}");
    }
    assert_eq!((row(0, "requests"), row(0, "in_flight")), (7, 1), "the names that they had before");
    let latency = &pool["replicas"][0]["latency"];
    for field in ["p50_ms", "p90_ms", "p99_ms", "max_ms"] {
        assert!((20.0..=21.3).contains(&latency[field].as_f64().unwrap()), "{latency}");
    }
    assert_eq!(pool["replicas"][2]["latency"], Value::Null);
    let read: wire::Pool = serde_json::from_value(pool).unwrap();
    assert_eq!((read.totals.dispatched, read.replicas[0].requests.completed), (12, 6));
}

#[test]
fn a_csv_has_a_line_for_each_desired_replica_and_one_for_the_pool() {
    let ejected = RowState::Ejected(String::new());
    let rows = [("a:1", RowState::Ready, 7), ("b:2", ejected, 0), ("c:3", RowState::Leaving, 4)];
    let text = csv(&[Arc::new(view(&rows)), Arc::new(view(&[]))]);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert!(text.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,"));
    assert!(lines.len() == 5 && lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
    let field = |line: usize, column: &str| {
        let at = lines[0].iter().position(|name| name.trim_start_matches("# ") == column);
        lines[line][at.unwrap_or_else(|| panic!("no {column}"))]
    };
    for (column, replica, pool) in [
        ("pxname", "default", "default"),
        ("svname", "a:1", "BACKEND"),
        ("scur", "1", "2"),
        ("smax", "1", ""),
        ("stot", "7", "9"), // without those that moved on
        ("lbtot", "7", "11"),
        ("econ", "1", "2"),
        ("eresp", "2", "4"),
        ("wredis", "1", "2"),
        ("srv_abrt", "1", "2"),
        ("status", "UP", "UP"),
        ("weight", "3", "3"),
        ("act", "1", "1"),
        ("lastchg", "90", ""),
        ("hrsp_2xx", "5", "7"),
        ("hrsp_5xx", "1", "2"),
        ("rtime", "20", "20"),
        ("sid", "1", "0"),
        ("type", "2", "1"),
        ("addr", "10.0.0.1:1", ""),
        ("algo", "", "round-robin"),
        ("bin", "", ""),
    ] {
        assert_eq!((field(1, column), field(3, column)), (replica, pool), "{column}");
    }
    assert_eq!((field(2, "svname"), field(2, "status"), field(2, "qcur")), ("b:2", "NOLB", "0"));
    assert_eq!((field(4, "svname"), field(4, "status"), field(4, "iid")), ("BACKEND", "DOWN", "2"));
}
