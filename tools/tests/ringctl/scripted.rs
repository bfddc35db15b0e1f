//! What no real balancer does when it is asked to.

use std::process::{Command, Output};

use super::{
    server::{Script, Server, problem, replicas},
    support::{NOWHERE, code, run, text},
};

const POOL: &str = r#"{"pool":"default","epoch":4,
    "ring":{"slots":512,"virtual":"9","probing":"linear","hash":"prime","slack":0.01},
    "replicas":[{"name":"alpha","number":1,"state":"ready","since":"2024-01-01T00:00:00.000Z",
        "instance":"0a","address":"127.0.0.1:4000","restarts":0}]}"#;

fn ringctl(line: &str, server: &Server) -> Output {
    run(env!("CARGO_BIN_EXE_ringctl"), line, &server.url, &server.url)
}

#[test]
fn the_control_api_gets_the_token_and_replicas_never_do() {
    let server = Server::start(|request| match request {
        "GET /rep" => replicas(&["alpha"]),
        "GET /v1/pools/default" => Script::Answer(200, POOL.into()),
        _ => Script::Answer(200, r#"{"message":"hello","status":"successful"}"#.into()),
    });
    for line in ["rep --token s3cret", "status --token s3cret", "home --token s3cret"] {
        assert_eq!(code(&ringctl(line, &server)), 0, "{line}");
    }
    let seen = server.seen();
    let has_token = |path: &str| {
        let request = seen.iter().find(|request| request.starts_with(path)).expect(path);
        request.contains("authorization: Bearer s3cret")
    };
    assert!(has_token("GET /rep") && has_token("GET /v1/"), "{seen:?}");
    assert!(!has_token("GET /home"), "{seen:?}");
}

#[test]
fn a_token_comes_from_the_environment_or_a_file_too() {
    let server = Server::start(|_| replicas(&["alpha"]));
    let home = tempfile::tempdir().expect("a home");
    std::fs::create_dir_all(home.path().join(".config/ringctl")).expect("a folder");
    std::fs::write(home.path().join(".config/ringctl/token"), "fr0mfile\n").expect("written");
    for (variable, value, token) in
        [("RINGCTL_TOKEN", "fr0menv", "fr0menv"), ("RINGCTL_TOKEN", "", "fr0mfile")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringctl"));
        command.env_clear().env("RINGCTL_URL", &server.url).env("HOME", home.path()).env(variable, value);
        assert_eq!(code(&command.arg("rep").output().expect("the client starts")), 0);
        let last = server.seen().pop().expect("a request");
        assert!(last.contains(&format!("authorization: Bearer {token}\r\n")), "{last}");
    }
}

#[test]
fn refusals_say_what_to_try_next() {
    for (status, detail, hint) in [
        (401, "this call needs the token: 'Authorization: Bearer …'", "--token-file"),
        (403, "10.0.0.9 may not call: without a token only this machine may.", "from its own machine"),
        (404, "there is nothing at this path", "too old for this"),
        (404, "there is no replica named 'x9'", "`ringctl rep`"),
    ] {
        let server = Server::start(move |_| problem(status, detail));
        let (code, _, error) = text(&ringctl("logs x9", &server));
        assert!(code == 1 && error.contains(detail) && error.contains(hint), "{code} {error}");
    }
}

#[test]
fn an_older_balancer_shows_what_it_knows() {
    let server = Server::start(|_| Script::Answer(200, POOL.into()));
    let (code, status, error) = text(&ringctl("status", &server));
    assert_eq!((code, error.as_str()), (0, ""));
    let row = status.lines().last().expect("a row").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(row.starts_with("alpha 1 ready 100.0 % - - 0 "), "{row}");
}

#[test]
fn a_balancer_that_breaks_off_leaves_it_open_whether_the_change_was_made() {
    let server = Server::start(|request| match request {
        "GET /rep" => replicas(&["alpha"]),
        _ => Script::Cut,
    });
    let (code, _, error) = text(&ringctl("add 2", &server));
    assert!(code == 3 && error.contains("broke off") && error.contains("is not known"), "{code} {error}");
}

#[test]
fn detached_an_addition_is_not_waited_for_and_is_seen_to_be_under_way() {
    let changing = std::sync::atomic::AtomicBool::new(false);
    let server = Server::start(move |request| {
        use std::sync::atomic::Ordering::SeqCst;
        match request {
            "GET /rep" if changing.load(SeqCst) => replicas(&["alpha", "beta"]),
            "GET /rep" => replicas(&["alpha"]),
            _ => {
                changing.store(true, SeqCst);
                Script::Hold
            }
        }
    });
    let (code, output, error) = text(&ringctl("add beta --detach", &server));
    assert_eq!((code, output.as_str(), error.as_str()), (0, "2 replicas\n  alpha\n+ beta", ""));
    assert!(server.seen().iter().any(|request| request.ends_with(r#"{"n":1,"hostnames":["beta"]}"#)));
}

#[test]
fn detached_a_refusal_is_still_told() {
    let server = Server::start(|request| match request {
        "GET /rep" => replicas(&["alpha"]),
        _ => Script::Answer(400, r#"{"message":"<Error> 'a_b' is no name","status":"failure"}"#.into()),
    });
    let (code, _, error) = text(&ringctl("add a_b --detach", &server));
    assert!(code == 1 && error.contains("'a_b' is no name"), "{code} {error}");
}

#[test]
fn another_pool_is_asked_at_the_admin_port_and_the_default_one_where_requests_go() {
    let server = Server::start(|request| match request {
        "GET /v1/pools/web" | "POST /v1/pools/web/add" | "POST /v1/pools/web/rm" => {
            Script::Answer(200, POOL.replace("default", "web"))
        }
        "GET /rep" | "POST /add" => replicas(&["alpha"]),
        _ => problem(404, "there is nothing at this path"),
    });
    for line in ["rep --pool web", "add 1 --pool web", "rm alpha --pool web", "add 1 --pool default", "add 1"]
    {
        let (code, _, error) = text(&ringctl(line, &server));
        assert_eq!((code, error.as_str()), (0, ""), "{line}");
    }
    let seen = server.seen();
    let changes: Vec<_> = seen.iter().filter(|request| !request.starts_with("GET ")).collect();
    let paths = changes.iter().map(|request| request.split(' ').nth(1).expect("a path")).collect::<Vec<_>>();
    assert_eq!(paths, ["/v1/pools/web/add", "/v1/pools/web/rm", "/add", "/add"]);
    assert!(changes[1].ends_with(r#"{"n":1,"hostnames":["alpha"]}"#), "{}", changes[1]);
}

#[test]
fn the_pool_comes_from_the_environment_too_and_what_is_typed_comes_first() {
    let server = Server::start(|_| Script::Answer(200, POOL.into()));
    for (arguments, path) in [
        (&["events"] as &[&str], "GET /v1/pools/web/events"),
        (&["events", "--pool", "ml"], "GET /v1/pools/ml/"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringctl"));
        command.env_clear().env("RINGCTL_ADMIN_URL", &server.url).env("RINGCTL_POOL", "web");
        let _it_is_no_list_of_events = command.args(arguments).output().expect("the client starts");
        let last = server.seen().pop().expect("a request");
        assert!(last.starts_with(path), "{last}");
    }
}

#[test]
fn a_pool_that_goes_by_load_has_no_owner_of_a_key() {
    let by_load = || POOL.replace(r#""ring":{"#, r#""policy":"least-requests","ring":{"#);
    let server = Server::start(move |_| Script::Answer(200, by_load()));
    let (code, output, _) = text(&ringctl("explain 7", &server));
    assert!(code == 0 && output.contains("least-requests") && output.contains("any of these"), "{output}");
    let (_, json, _) = text(&ringctl("explain 7 -o json", &server));
    assert!(json.contains(r#""replica":null"#) && json.contains(r#""candidates":["alpha"]"#), "{json}");
    for line in ["simulate add 1", "ring"] {
        let (code, output, error) = text(&ringctl(line, &server));
        assert!(code == 1 && output.is_empty() && error.contains("do not go by the ring"), "{line}: {error}");
    }
}

#[test]
fn a_pool_is_added_only_where_there_is_none_and_set_only_where_there_is_one() {
    let there = Server::start(|_| Script::Answer(200, POOL.replace("default", "web")));
    let (code, _, error) = text(&ringctl("pools add web image=web", &there));
    assert!(code == 1 && error.contains("already") && error.contains("pools set web"), "{error}");
    let nowhere = Server::start(|_| problem(404, "there is no pool 'web'"));
    let (code, _, error) = text(&ringctl("pools set web image=web", &nowhere));
    assert!(code == 1 && error.contains("no pool 'web'"), "{error}");
    for server in [there, nowhere] {
        assert!(!server.seen().iter().any(|request| request.starts_with("PUT")), "{:?}", server.seen());
    }
}

#[test]
fn another_server_is_told_from_a_balancer() {
    let server = Server::start(|_| Script::Answer(200, "<html>".into()));
    let (code, _, error) = text(&ringctl("rep", &server));
    assert!(code == 3 && error.contains("is no Ringkeeper"), "{code} {error}");
}

#[test]
fn without_a_balancer_every_command_says_where_it_looked() {
    for line in [
        "rep",
        "status",
        "top",
        "events",
        "explain 1",
        "ring",
        "scale 2",
        "logs x9",
        "weight x9 2",
        "pools",
        "pools add web image=web",
        "pools rm web",
        "routes",
        "routes rm 1",
        "--pool web add 2",
    ] {
        let (code, _, error) = text(&run(env!("CARGO_BIN_EXE_ringctl"), line, NOWHERE, NOWHERE));
        assert!(code == 3 && error.contains(NOWHERE) && error.contains("url"), "{line}: {code} {error}");
    }
    let (code, output, _) = text(&run(env!("CARGO_BIN_EXE_ringctl"), "doctor", NOWHERE, NOWHERE));
    assert!(code == 3 && output.matches("WRONG").count() == 2, "{code} {output}");
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    for line in [
        "add",
        "add 0",
        "add 1 s4 s5",
        "two words",
        "--url https://h rep",
        "add 2 --watch",
        "add 2 --wait --detach",
        "weight x9 101",
        "rep --watch=1ms",
        "rep -o yaml",
        "pool web",
        "pools add",
        "pools add web image",
        "pools set web",
        "routes add web",
        "routes add web path",
        "routes rm one",
        "rep --token-file /nowhere/at/all",
    ] {
        let (code, output, error) = text(&run(env!("CARGO_BIN_EXE_ringctl"), line, NOWHERE, NOWHERE));
        assert!(code == 2 && output.is_empty() && !error.is_empty(), "{line}: {code} {output}{error}");
    }
}

#[test]
fn completion_scripts_are_for_three_shells() {
    for (shell, part) in
        [("bash", "complete -F _ringctl"), ("zsh", "#compdef ringctl"), ("fish", "complete -c ringctl")]
    {
        let (code, script, _) =
            text(&run(env!("CARGO_BIN_EXE_ringctl"), &format!("completions {shell}"), NOWHERE, NOWHERE));
        assert!(code == 0 && script.contains(part) && script.contains("simulate"), "{shell}: {script}");
    }
}
