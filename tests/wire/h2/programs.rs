//! Programs that others wrote, where this machine has them.

use std::process::{Command, Output};

use crate::{
    origin,
    support::{Balancer, Deployment},
};

async fn echoing(deployment: &Deployment) -> Balancer {
    let command = origin::command();
    deployment.start(&["--command", &command, "--replicas", "2"]).await
}

/// What this program said; `None`, loudly, where the machine has no such program.
async fn run(program: &'static str, arguments: Vec<String>) -> Option<Output> {
    let ran = tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output());
    match ran.await.expect("it is waited for") {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("*** SKIPPED: there is no {program} here ({error})");
            None
        }
    }
}

fn words(line: String) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn curl_gets_what_it_asks_for() {
    let deployment = Deployment::of_processes();
    let balancer = echoing(&deployment).await;
    let ask = async |rest: &str, path: &str| {
        let arguments = format!("-sS --http2-prior-knowledge -m 10 {rest} http://{}{path}", balancer.traffic);
        run("curl", words(arguments)).await
    };
    let Some(output) = ask("-w %{http_version}-%{http_code} -d hello", "/echo").await else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello2-200", "{output:?}");
    let output = ask("-I", "/seen").await.expect("it was there");
    assert!(output.stdout.starts_with(b"HTTP/2 200"), "{output:?}");
    let output = ask("", "/rep").await.expect("it was there");
    assert_eq!(String::from_utf8_lossy(&output.stdout), balancer.rep().await);
}

#[tokio::test]
async fn h2load_has_every_request_answered() {
    let deployment = Deployment::of_processes();
    let balancer = echoing(&deployment).await;
    let arguments = format!("-n 4000 -c 4 -m 100 http://{}/seen", balancer.traffic);
    let Some(output) = run("h2load", words(arguments)).await else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("4000 done, 4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("status codes: 4000 2xx"), "{said}");
}
