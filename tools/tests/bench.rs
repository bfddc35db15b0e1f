//! The benchmark beside the peers, in its quick form. Where `make build` has not left the balancer beside the tools, it says so
//! and passes; a peer that is not installed is left out.

use std::{path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

/// Whether a peer is where Debian puts it, or on the PATH.
fn installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    folders.map(|folder| folder.join(name)).any(|program| program.is_file())
}

#[test]
fn every_subject_that_is_installed_has_a_row_of_sane_numbers() {
    if !Path::new(env!("CARGO_BIN_EXE_ringtest")).with_file_name("ringkeeper").exists() {
        eprintln!("SKIPPED: no balancer beside the tester: `make build` makes it");
        return;
    }
    let folder = TempDir::new().expect("a temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_ringtest"))
        .args([
            "bench",
            "--rounds",
            "1",
            "--time",
            "200ms",
            "--workload",
            "get-8",
            "--json",
            "--out",
            "found",
        ])
        .current_dir(folder.path())
        .output()
        .expect("the tester starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = found["rows"].as_array().expect("rows");
    for subject in ["ringkeeper", "haproxy", "nginx", "relay"] {
        let row = rows.iter().find(|row| row["subject"] == subject);
        if row.is_none() && ["haproxy", "nginx"].contains(&subject) && !installed(subject) {
            assert!(said.contains(&format!("apt-get install {subject}")), "{said}");
            continue;
        }
        let row = row.unwrap_or_else(|| panic!("no row of {subject}: {said}"));
        let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("no {name} in {row}"));
        assert!((1.0..10_000.0).contains(&number("cpu_us")), "{row}");
        assert!(
            number("requests_per_second") > 1.0 && number("rate") > 1.0 && number("failed") == 0.0,
            "{row}"
        );
        assert!(number("p50_ms") > 0.0 && number("p50_ms") <= number("p99_ms"), "{row}");
        assert!((0.5..500.0).contains(&number("rss_mib")), "{row}");
    }
    for name in ["bench.svg", "bench.png", "bench.csv", "bench.json", "bench.md"] {
        assert!(folder.path().join("found").join(name).exists(), "no {name}");
    }
    let csv = std::fs::read_to_string(folder.path().join("found/bench.csv")).expect("a file");
    assert_eq!(csv.lines().count(), 1 + rows.len());
}
