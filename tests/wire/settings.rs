//! `ringkeeper check`: where each setting comes from, and what is wrong with it.

use std::{path::PathBuf, process::Output};

use serde_json::Value;

use crate::support::{ringkeeper, stderr};

/// A directory with a `ringkeeper.toml`, which goes when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn with(name: &str, settings: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rktest-settings-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a new directory");
        std::fs::write(path.join("ringkeeper.toml"), settings).expect("a new file");
        Directory(path)
    }

    fn check(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = ringkeeper();
        command.current_dir(&self.0).arg("check").args(arguments).envs(environment.iter().copied());
        command.output().expect("ringkeeper check runs")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

/// The row of a setting: its value and its source.
fn row(table: &str, name: &str) -> (String, String) {
    let line = table.lines().find(|line| line.split(' ').next() == Some(name));
    let cells =
        line.unwrap_or_else(|| panic!("no {name} in\n{table}")).split("  ").filter(|cell| !cell.is_empty());
    let cells: Vec<&str> = cells.map(str::trim).collect();
    (cells[1].to_owned(), cells[2].to_owned())
}

#[test]
fn check_tells_every_value_and_where_it_comes_from() {
    let file =
        "# mine\nreplicas = 7\nrise = 2\nadmin_token = \"geheim\"\npreset = \"assignment\"\nslots = 1024\n";
    let directory = Directory::with("sources", file);
    let environment = [
        ("RINGKEEPER_RISE", "4"),
        ("RINGKEEPER_KEY", "path"),
        ("RINGKEEPER_ADOPT", "1"),
        ("RINGKEEPER_ENV", "A=geheim 'B=x y'"),
    ];
    let output = directory.check(&["--key", "client", "--threads", "2"], &environment);
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    for (name, value, source) in [
        ("config", "ringkeeper.toml", "default"),
        ("replicas", "7", "ringkeeper.toml:2"),
        ("rise", "4", "RINGKEEPER_RISE"),
        ("adopt", "true", "RINGKEEPER_ADOPT"),
        ("key", "client", "flag"),
        ("threads", "2", "flag"),
        ("admin_token", "***", "ringkeeper.toml:4"),
        ("slots", "1024", "ringkeeper.toml:6"),
        ("virtual", "9", "preset"),
        ("heartbeat_interval", "10s", "preset"),
        ("slack", "0.01", "default"),
        ("port", "the one that the image exposes, or 5000", "default"),
        ("env", "A=*** B=***", "RINGKEEPER_ENV"),
        ("admin_token_file", "-", "default"),
    ] {
        assert_eq!(row(&table, name), (value.to_owned(), source.to_owned()), "{name}");
    }
    assert!(!table.contains("geheim"));
}

#[test]
fn the_variable_the_flag_or_the_line_is_named_that_is_wrong() {
    let directory = Directory::with("wrong", "\nreplicas = 57\npreset = \"assignment\"\n");
    let told = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = directory.check(arguments, environment);
        assert!(!output.status.success());
        stderr(&output)
    };
    assert_eq!(told(&[], &[]), "error: ringkeeper.toml:2: replicas 57: there may be 56 at most\n");
    let soon = told(&[], &[("RINGKEEPER_ADD_TIMEOUT", "soon")]);
    assert!(soon.starts_with("error: RINGKEEPER_ADD_TIMEOUT=soon: "), "{soon}");
    assert!(told(&["--add-timeout", "soon"], &[]).contains("'--add-timeout <TIME>'"));
    let many = told(&["--replicas", "99"], &[]);
    assert!(many.starts_with("error: --replicas 99: "), "{many}");
}

#[test]
fn programs_read_the_settings_and_the_problems_as_json() {
    let directory = Directory::with("json", "rise = 2\n");
    let read = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = directory.check(arguments, environment);
        (output.status.success(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (good, json) = read(&["--json", "--allowed-hosts", "a,b"], &[]);
    let setting = |name: &str| {
        json["settings"].as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap().clone()
    };
    assert!(good && json["valid"] == true);
    assert_eq!(setting("rise")["place"], "ringkeeper.toml:1");
    assert_eq!((&setting("rise")["source"], &setting("rise")["values"][0]), (&"file".into(), &"2".into()));
    assert_eq!(setting("allowed_hosts")["values"], serde_json::json!(["a", "b"]));
    let (good, json) = read(&["--json"], &[("RINGKEEPER_RISE", "0")]);
    assert!(!good && json["valid"] == false);
    assert_eq!(json["problems"][0], "RINGKEEPER_RISE=0: a whole number from 1");
}

#[test]
fn a_token_beats_a_token_file_that_a_weaker_place_names() {
    let directory = Directory::with("rivals", "admin_token_file = \"/does/not/exist\"\n");
    let output = directory.check(&[], &[("RINGKEEPER_ADMIN_TOKEN", "geheim")]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(row(&String::from_utf8_lossy(&output.stdout), "admin_token_file").0, "-");
}
