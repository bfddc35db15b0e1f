//! Who may import whom: the table that keeps the structure, as a test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each module with those of ours that it may import. Whoever is not named may be imported by `main` and the tests only.
const MAY_IMPORT: [(&str, &[&str]); 17] = [
    ("name", &[]),
    ("event", &["name"]),
    ("caller", &[]),
    ("ring", &["name"]),
    ("policy", &["name", "ring"]),
    ("table", &["name", "ring", "policy"]),
    ("limits", &[]),
    ("engine", &["name"]),
    ("fleet", &["name", "event", "ring", "policy", "table", "limits", "engine"]),
    ("proxy", &["name", "caller", "ring", "policy", "table", "limits"]),
    ("api", &["name", "event", "caller", "ring", "table", "fleet"]),
    ("telemetry", &["name", "event", "table"]),
    ("config", &["name", "ring", "policy", "table", "engine", "fleet", "proxy", "api"]),
    ("keeper", &["name", "ring", "policy", "table", "engine", "fleet", "proxy", "config"]),
    ("run", &["fleet", "proxy", "api", "config", "keeper"]),
    ("command", &["name", "ring", "engine", "fleet", "proxy", "api", "config", "keeper"]),
    ("layers", &[]),
];

/// Files and folders that think and do nothing: no runtime, no sockets, no clock, no environment, no generator of their
/// own.
const PURE: [&str; 31] = [
    "name.rs",
    "event.rs",
    "caller.rs",
    "ring",
    "policy",
    "table",
    "engine/dns/conf.rs",
    "engine/dns/hosts.rs",
    "engine/fixed/member.rs",
    "engine/fixed/place.rs",
    "engine/fixed/share.rs",
    "fleet/desired.rs",
    "fleet/health.rs",
    "fleet/journal.rs",
    "fleet/outlier.rs",
    "fleet/pause.rs",
    "fleet/plan.rs",
    "fleet/refusal.rs",
    "fleet/victim.rs",
    "fleet/claim.rs",
    "fleet/members.rs",
    "proxy/answer.rs",
    "proxy/budget.rs",
    "proxy/exchange.rs",
    "proxy/framing",
    "proxy/h2/head.rs",
    "proxy/key",
    "proxy/networks.rs",
    "proxy/retry.rs",
    "proxy/route.rs",
    "proxy/sticky.rs",
];

/// What a pure file does not name.
const IMPURE: [&str; 12] = [
    "tokio",
    "hyper",
    "axum",
    "bollard",
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "rand::rng",
    "println!",
];

/// The most lines of code of a file: tests, comments and blank lines are not counted.
const MOST_LINES: usize = 300;

fn sources() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &mut found);
    let relative = |path: &Path| path.strip_prefix(&root).expect("below the root").to_owned();
    let code = |path: &Path| {
        let text = fs::read_to_string(path).expect("a text");
        text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
    };
    found.iter().map(|path| (relative(path), code(path))).collect()
}

/// The module that a file belongs to: its folder, or itself.
fn module(path: &Path) -> String {
    let first = path.components().next().expect("not empty").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Whether a whole file is only there for tests.
fn is_test(path: &Path) -> bool {
    let tests = ["layers.rs", "fake.rs", "simulation.rs", "golden.rs", "differential.rs", "tests.rs"];
    path.file_name().is_some_and(|name| tests.iter().any(|test| *test == name))
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// The modules of ours that a text imports.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let word = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    };
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => _ = found.insert(word(after)),
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (index, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && depth == 0 && c.is_alphabetic() => {
                            found.insert(word(&list[index..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn every_module_imports_only_what_the_table_allows() {
    for (path, code) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let module = module(path);
        if ["main", "lib"].contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            panic!("{module} is not in the table");
        };
        for import in imports(code) {
            assert!(
                import == module || allowed.contains(&import.as_str()),
                "{} imports {import}",
                path.display()
            );
        }
    }
}

#[test]
fn pure_files_name_nothing_impure() {
    for (path, code) in sources().iter().filter(|(path, _)| !is_test(path)) {
        if PURE.iter().any(|pure| path.starts_with(pure)) {
            let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for impure in IMPURE {
                assert!(!code.contains(impure), "{} names {impure}", path.display());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    PURE.iter().for_each(|pure| assert!(root.join(pure).exists(), "{pure} is gone"));
}

#[test]
fn files_stay_short() {
    for (path, code) in sources() {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let lines = code.lines().filter(is_code).count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn imports_are_found_in_lists_and_alone() {
    let code = "use crate::{\n  name::{Name, Number},\n  ring::Ring,\n};\nuse crate::table::Table; fn f() { crate::event::x() }";
    let found: Vec<_> = imports(code).into_iter().collect();
    assert_eq!(found, ["event", "name", "ring", "table"]);
}
