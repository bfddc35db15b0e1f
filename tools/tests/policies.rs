//! The policies side by side, and the changes under load, in their quick forms. Where `make build` has not left the balancer
//! beside the tools, it says so and passes.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// What the tester says, in a folder of its own; `None` where there is no balancer.
fn ringtest(line: &str, folder: &TempDir) -> Option<Output> {
    if !Path::new(env!("CARGO_BIN_EXE_ringtest")).with_file_name("ringkeeper").exists() {
        eprintln!("SKIPPED: no balancer beside the tester: `make build` makes it");
        return None;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtest"));
    Some(command.args(line.split(' ')).current_dir(folder.path()).output().expect("the tester starts"))
}

fn found(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(of: &Value, name: &str) -> f64 {
    of[name].as_f64().unwrap_or_else(|| panic!("no {name} in {of}"))
}

#[test]
fn the_bounded_ring_is_more_even_than_the_ring() {
    let folder = TempDir::new().expect("a temporary directory");
    let line =
        "policies --rounds 1 --time 1s --policy ring,bounded-ring --subject ringkeeper --json --out found";
    let Some(output) = ringtest(line, &folder) else { return };
    let found = found(&output);
    let row = |policy: &str| {
        let rows = found["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["policy"] == policy).unwrap_or_else(|| panic!("no row of {policy}"))
    };
    let (ring, bounded) = (row("ring"), row("bounded-ring"));
    for row in [ring, bounded] {
        assert!(number(row, "worst") >= number(row, "p99") && number(row, "p99") >= 1.0, "{row}");
        assert!((20.0..=100.0).contains(&number(row, "in_flight")) && number(row, "failed") == 0.0, "{row}");
        assert!(number(row, "p50_ms") > 1.0 && number(row, "p50_ms") <= number(row, "p99_ms"), "{row}");
    }
    assert!(number(ring, "average") > 1.8 && number(bounded, "average") < 1.5, "{ring} {bounded}");
    for name in ["policies.svg", "policies.png", "policies.csv", "policies.json", "policies.md"] {
        assert!(folder.path().join("found").join(name).exists(), "no {name}");
    }
}

#[test]
fn the_balancer_is_changed_while_it_carries_requests() {
    let folder = TempDir::new().expect("a temporary directory");
    let line = "changes --replicas 20 --pairs 1 --time 1s --rate 500 --json --out found";
    let Some(output) = ringtest(line, &folder) else { return };
    let found = found(&output);
    assert!((1.0..=10.0).contains(&number(&found, "changes_per_second")), "{found}");
    assert!(number(&found, "p99_ratio") > 0.0 && number(&found, "failed") == 0.0, "{found}");
    assert!(folder.path().join("found/changes.json").exists());
}
