//! The shell, as it is used on a terminal and through a pipe.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::{
    server::{Script, Server, replicas},
    support::{Balancer, NOWHERE, text},
    terminal::Terminal,
};

const PROMPT: &str = "ringctl> ";
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const UP: &str = "\u{1b}[A";
const RIGHT: &str = "\u{1b}[C";

fn home() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// A shell that has shown its prompt.
fn shell(url: &str, admin_url: &str, home: &TempDir) -> Terminal {
    let terminal = Terminal::start(&[], url, admin_url, home);
    terminal.wait_for(PROMPT);
    terminal
}

/// Types a line and waits for its answer and the prompt after it.
fn perform(shell: &mut Terminal, line: &str, answer: &str) -> String {
    shell.type_keys(&format!("{line}\r"));
    shell.wait_until(answer, |screen| {
        let text = screen.contents();
        let typed = format!("{PROMPT}{line}\n");
        let after = text.rfind(&typed).map(|at| &text[at + typed.len()..]);
        after.is_some_and(|after| after.contains(answer) && at_prompt(after))
    })
}

/// Whether the last line is an empty one to type into.
fn at_prompt(text: &str) -> bool {
    text.trim_end().ends_with(PROMPT.trim_end())
}

/// A balancer that knows two replicas, and no more.
fn two() -> Server {
    Server::start(|request| match request {
        "GET /rep" => replicas(&["alpha", "beta"]),
        _ => Script::Answer(404, r#"{"message":"<Error> no such endpoint","status":"failure"}"#.into()),
    })
}

#[test]
fn the_words_of_the_original_work_as_typed() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let home = home();
    let mut shell = shell(&balancer.url, &balancer.admin_url, &home);
    for (typed, answer) in [
        ("rep", "  Server-3"),
        ("home", "Hello from Server: "),
        ("add 5 hello world", "+ world"),
        ("del 5 hello world", "- world"),
        ("hello/world", "/hello/world: 404"),
    ] {
        perform(&mut shell, typed, answer);
    }
    shell.type_keys(CTRL_D);
    assert_eq!(shell.exit_code(), 0);
}

#[test]
fn ctrl_c_clears_the_line_and_ctrl_d_leaves_with_0() {
    let server = two();
    let home = home();
    let mut shell = shell(&server.url, &server.url, &home);
    shell.type_keys("nonsense");
    shell.wait_for("ringctl> nonsense");
    shell.type_keys(CTRL_C);
    shell.wait_until("an empty line", |screen| at_prompt(&screen.contents()));
    perform(&mut shell, "rep", "alpha");
    assert!(!server.seen().iter().any(|request| request.contains("nonsense")), "{:?}", server.seen());
    shell.type_keys(CTRL_D);
    assert_eq!(shell.exit_code(), 0);
}

#[test]
fn a_balancer_that_is_not_there_does_not_end_the_shell() {
    let home = home();
    let mut shell = shell(NOWHERE, NOWHERE, &home);
    shell.wait_for("no balancer answers on http://127.0.0.1:1: connection refused");
    for word in ["rep", "status", "events -f", "top", "doctor", "add 2", "logs x9", "ring"] {
        shell.type_keys(&format!("\u{c}{word}\r"));
        shell.wait_for(&format!("ringctl> {word}"));
        let text = shell.wait_until("an error, then a prompt", |screen| {
            let text = screen.contents();
            text.contains("error:") && at_prompt(&text)
        });
        assert!(text.contains("no balancer answers"), "{text}");
    }
    shell.type_keys("exit\r");
    assert_eq!(shell.exit_code(), 0);
}

#[test]
fn a_balancer_that_dies_midway_does_not_end_the_shell() {
    let Some(mut balancer) = Balancer::start(&[]) else { return };
    let home = home();
    let mut shell = shell(&balancer.url, &balancer.admin_url, &home);
    shell.type_keys("events -f\r");
    shell.wait_for("ready");
    balancer.kill();
    shell.wait_for("trying again until Ctrl-C");
    shell.type_keys(CTRL_C);
    shell.wait_until("a prompt", |screen| at_prompt(&screen.contents()));
    perform(&mut shell, "rep", "connection refused");
    shell.type_keys(CTRL_D);
    assert_eq!(shell.exit_code(), 0);
}

#[test]
fn tab_completes_commands_and_the_replicas_that_there_are() {
    let server = two();
    let home = home();
    let mut shell = shell(&server.url, &server.url, &home);
    shell.type_keys("sca\t");
    shell.wait_for("ringctl> scale N");
    shell.type_keys("\u{15}logs al\t"); // Ctrl-U, an empty line
    shell.wait_for("ringctl> logs alpha");
    shell.type_keys("\u{15}rm 2 \t");
    let text = shell.wait_for("beta");
    assert!(text.lines().any(|line| line.starts_with("alpha") && line.contains("beta")), "{text}");
}

/// A balancer with a pool `web` beside the default one.
fn two_pools() -> Server {
    let pool = |name: &str, replica: &str| {
        serde_json::json!({"pool": name, "epoch": 1, "policy": "random",
            "ring": {"slots": 512, "virtual": "9", "probing": "linear", "hash": "prime", "slack": 0.01},
            "replicas": [{"name": replica, "number": 1, "state": "ready", "since": "2024-01-01T00:00:00Z",
                          "instance": "0a", "restarts": 0}]})
    };
    let (default, web) = (pool("default", "alpha"), pool("web", "gamma"));
    Server::start(move |request| match request {
        "GET /rep" => replicas(&["alpha"]),
        "GET /v1/pools" => Script::Answer(200, serde_json::json!({"pools": [default, web]}).to_string()),
        "GET /v1/pools/default" => Script::Answer(200, default.to_string()),
        "GET /v1/pools/web" => Script::Answer(200, web.to_string()),
        _ => super::server::problem(404, "there is no pool 'no'"),
    })
}

#[test]
fn the_shell_turns_to_a_pool_and_back() {
    let server = two_pools();
    let home = home();
    let mut shell = shell(&server.url, &server.url, &home);
    shell.type_keys("pool w\t"); // the names of pools are completed
    shell.wait_for("ringctl> pool web");
    shell.type_keys("\r");
    shell.wait_for("1 replica in pool 'web'");
    shell.wait_for("ringctl web> ");
    shell.type_keys("rep -q\r");
    shell.wait_for("gamma");
    shell.type_keys("logs \t"); // and those of its replicas
    shell.wait_for("ringctl web> logs gamma");
    shell.type_keys("\u{15}pool no\r");
    shell.wait_for("there is no pool 'no'");
    shell.type_keys("rep -q --pool default\r");
    shell.wait_for("alpha");
    shell.type_keys("\u{c}pool default\r");
    shell.wait_until("the default pool's prompt", |screen| at_prompt(&screen.contents()));
    shell.type_keys(CTRL_D);
    assert_eq!(shell.exit_code(), 0);
}

#[test]
fn what_is_typed_ahead_is_not_lost() {
    let server = two();
    let home = home();
    let mut shell = shell(&server.url, &server.url, &home);
    shell.type_keys("rep -q\rhello\rexit\r");
    shell.wait_for("/hello: 404");
    assert_eq!(shell.exit_code(), 0);
}

#[test]
fn the_right_arrow_takes_what_is_hinted() {
    let server = two();
    let home = home();
    let mut shell = shell(&server.url, &server.url, &home);
    shell.type_keys("st");
    shell.wait_for("ringctl> status"); // all but the st is a hint
    shell.type_keys(&format!("{RIGHT}\r"));
    shell.wait_for("no such endpoint"); // what this server answers to it
}

#[test]
fn the_next_shell_knows_what_was_typed_and_nobody_else_may_read_it() {
    let server = two();
    let home = home();
    let mut first = shell(&server.url, &server.url, &home);
    perform(&mut first, "rep -q", "alpha");
    first.type_keys(CTRL_D);
    assert_eq!(first.exit_code(), 0);
    let mut second = shell(&server.url, &server.url, &home);
    second.type_keys(UP);
    second.wait_for("ringctl> rep -q");
    let file = home.path().join(".local/state/ringctl/history");
    let mode = fs::metadata(file).expect("a history").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn top_is_shown_in_place_and_leaves_the_screen_as_it_was() {
    let Some(balancer) = Balancer::start(&[]) else { return };
    let home = home();
    let mut shell = shell(&balancer.url, &balancer.admin_url, &home);
    shell.type_keys("top --watch=100ms\r");
    shell.wait_until("a screen of its own", |screen| {
        screen.alternate_screen() && screen.contents().contains("Server-3")
    });
    shell.type_keys("q");
    shell.wait_until("the old screen", |screen| !screen.alternate_screen() && at_prompt(&screen.contents()));
    shell.type_keys("home\r"); // keys are the shell's again
    shell.wait_for("Hello from Server");
}

#[test]
fn what_takes_longer_than_a_second_shows_that_it_goes_on_and_ctrl_c_breaks_it_off() {
    let server = Server::start(|request| match request {
        "GET /rep" => replicas(&["alpha"]),
        _ => Script::Hold,
    });
    let home = home();
    let mut shell = shell(&server.url, &server.url, &home);
    shell.type_keys("add 2\r");
    shell.wait_for("waiting until 2 more answer heartbeats");
    shell.type_keys(CTRL_C);
    shell.wait_for("whether it was done is not known");
    shell.wait_until("a prompt", |screen| at_prompt(&screen.contents()));
}

/// What the shell says to these lines through a pipe.
fn piped(lines: &str, url: &str) -> Output {
    let mut client = Command::new(env!("CARGO_BIN_EXE_ringctl"))
        .env_clear()
        .env("RINGCTL_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    client.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("the client reads");
    client.wait_with_output().expect("the client ends")
}

#[test]
fn lines_from_a_pipe_are_done_one_by_one_and_the_first_that_fails_is_the_exit_code() {
    let server = two();
    let (code, output, error) = text(&piped("rep -q\n\n# a remark\nstauts\nadd\nrep\n", &server.url));
    assert_eq!(output, "alpha\nbeta\n2 replicas\n  alpha\n  beta", "no prompt, no greeting");
    assert!(code == 1 && error.contains("was `status` meant?"), "{code} {error}");
    assert!(error.contains("Usage: add"), "{error}");
    assert_eq!(text(&piped("rep\nexit\nstauts\n", &server.url)).0, 0);
}
