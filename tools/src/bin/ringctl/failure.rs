//! Why a command has not done what it was to do, and what to try next.

use anyhow::anyhow;
use http::StatusCode;
use ringkeeper_tools::{
    base::Base,
    client::{Answer, Client, ClientError, Pool},
};

use super::{layout::LayoutError, screen, show};

/// What a script can tell by the exit code; 2 is also clap's.
pub const REFUSED: u8 = 1;
pub const USAGE: u8 = 2;
pub const UNREACHABLE: u8 = 3;
/// Broken off by Ctrl-C, as shells count it.
pub const INTERRUPTED: u8 = 130;

/// What a balancer says of a path that it does not know.
const NO_PATH: &str = "there is nothing at this path";

/// What it says of a pool that it does not know.
const NO_POOL: &str = "there is no pool ";

const NOT_KNOWN: &str = "whether it was done is not known: `ringctl rep` shows the replicas";

/// A command that has failed.
#[derive(Debug)]
pub struct Failure {
    /// What it found out all the same, for standard output.
    pub output: Option<String>,
    /// What is wrong.
    pub error: anyhow::Error,
    /// What to try next.
    pub hint: Option<String>,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// Of this kind, for this reason.
    pub fn new(code: u8, error: anyhow::Error, hint: impl Into<String>) -> Self {
        Failure { output: None, error, hint: Some(hint.into()), code }
    }

    /// Something that cannot be asked for.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure::new(USAGE, anyhow!(message.into()), hint)
    }

    /// A standard output that takes nothing.
    pub fn output(error: std::io::Error) -> Self {
        Failure { output: None, error: error.into(), hint: None, code: REFUSED }
    }

    /// Ctrl-C, while something was to be changed or not.
    pub fn interrupted(changes: bool) -> Self {
        let hint = changes.then(|| NOT_KNOWN.to_owned());
        Failure { output: None, error: anyhow!("broken off"), hint, code: INTERRUPTED }
    }

    /// A call of this client that failed.
    pub fn of(error: ClientError, client: &Client) -> Self {
        let (hint, code) = match &error {
            ClientError::Unreachable { base, .. } | ClientError::Foreign { base, .. } => {
                (elsewhere(base, client), UNREACHABLE)
            }
            ClientError::Broken { .. } => (NOT_KNOWN.into(), UNREACHABLE),
            ClientError::Refused { status, message } => (refused(*status, message, client), REFUSED),
        };
        Failure::new(code, error.into(), hint)
    }

    /// A ring that cannot be computed.
    pub fn ring(error: LayoutError) -> Self {
        let hint = match error {
            LayoutError::Unknown(_) => "`ringctl rep` shows the replicas",
            LayoutError::Forecast(_) => "use the ringctl that came with this balancer",
            LayoutError::Ring(_) | LayoutError::Numbers => {
                "fewer fit; `ringctl ring` shows how many slots there are"
            }
        };
        Failure::new(REFUSED, error.into(), hint)
    }

    /// A question about keys of a pool whose keys have no owner on the ring.
    pub fn without_ring(pool: &Pool) -> Self {
        let Pool { pool, policy, .. } = pool;
        let error = anyhow!("requests to pool '{pool}' do not go by the ring: its policy is {policy}");
        Failure::new(REFUSED, error, "`ringctl status` says what each replica has to do")
    }

    /// An answer of the replicas that is no success.
    pub fn answer(answer: &Answer, path: &str, meant: Option<String>) -> Self {
        let message =
            answer.message().unwrap_or_else(|| String::from_utf8_lossy(&answer.body).trim().to_owned());
        let hint = match (meant, answer.status.as_u16()) {
            (Some(meant), _) => format!("was `ringctl {meant}` meant? What is no command is a path"),
            (None, 400 | 404) => {
                "`ringctl home` is what every replica serves, `ringctl help` the commands".into()
            }
            (None, _) => "`ringctl status` says how the replicas are".into(),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let error = match message.as_str() {
            "" => anyhow!("/{path}: {}", answer.status),
            message => anyhow!("/{path}: {}: {message}", answer.status),
        };
        Failure::new(REFUSED, error, hint)
    }

    /// Prints what it found out, then what is wrong; `say` may put its hint in other words.
    pub fn tell(&self, say: impl Fn(&str) -> String) {
        if let Some(output) = &self.output {
            let _the_error_stands_below_all_the_same = show::print(output);
        }
        let width = screen::width(&std::io::stderr());
        let error = format!("{} {:#}", show::styled(show::BAD, "error:"), self.error);
        anstream::eprintln!("{}", show::wrapped(&error, width));
        if let Some(hint) = &self.hint {
            anstream::eprintln!("{}", show::wrapped(&format!("  {}", say(hint)), width));
        }
    }

    /// The same, with this on standard output.
    pub fn with_output(self, output: String) -> Self {
        Failure { output: Some(output), ..self }
    }
}

/// What to try where no balancer is.
fn elsewhere(base: &Base, client: &Client) -> String {
    let (flag, variable) = match base == client.admin() {
        true => ("--admin-url", "RINGCTL_ADMIN_URL"),
        false => ("--url", "RINGCTL_URL"),
    };
    format!("start one with `make`, or say where it is: {flag}, {variable}")
}

fn refused(status: StatusCode, message: &str, client: &Client) -> String {
    match status {
        StatusCode::UNAUTHORIZED if client.has_token() => {
            "it is not this balancer's token: --token-file, RINGCTL_TOKEN, --token".into()
        }
        StatusCode::UNAUTHORIZED => "give it: --token-file, RINGCTL_TOKEN, --token".into(),
        StatusCode::FORBIDDEN => "call from its own machine, or start it with a token and bring that".into(),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if message.starts_with(NO_PATH) => {
            format!("the balancer is too old for this, or not at {} (--admin-url)", client.admin())
        }
        StatusCode::NOT_FOUND if message.starts_with(NO_POOL) => "`ringctl pools` shows the pools".into(),
        StatusCode::CONFLICT => {
            "nothing was changed; `ringctl pools` and `ringctl routes` show what there is".into()
        }
        StatusCode::NOT_FOUND => "`ringctl rep` shows the replicas".into(),
        status if status.is_server_error() => "`ringctl status` says how the replicas are".into(),
        _ => "nothing was changed; `ringctl rep` shows the replicas".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, message: &str, token: bool) -> Failure {
        let base: Base = "h:5000".parse().expect("a base");
        let client = Client::new(base.clone(), base.with_port(5001));
        let client = if token { client.with_token("t").expect("a token") } else { client };
        let status = StatusCode::from_u16(status).expect("a status");
        Failure::of(ClientError::Refused { status, message: message.into() }, &client)
    }

    #[test]
    fn every_refusal_says_what_to_try_next() {
        for (status, message, token, part) in [
            (401, "needs the token", false, "--token-file"),
            (401, "needs the token", true, "not this balancer's"),
            (403, "10.0.0.1 may not call", false, "own machine"),
            (404, NO_PATH, false, "too old for this"),
            (404, "there is no replica 'x'", false, "ringctl rep"),
            (404, "there is no pool 'web'", false, "ringctl pools"),
            (409, "routes lead to the pool 'web'", false, "ringctl routes"),
            (400, "'n' must be more than 0", false, "nothing was changed"),
            (503, "stopping", false, "ringctl status"),
        ] {
            let failure = failure(status, message, token);
            let hint = failure.hint.expect("a hint");
            assert!(hint.contains(part) && failure.code == REFUSED, "{status}: {hint}");
        }
    }

    #[test]
    fn a_mistyped_command_is_recognized_behind_its_404() {
        let answer = Answer { status: StatusCode::NOT_FOUND, body: "".into(), date: None };
        let failure = Failure::answer(&answer, "stauts", Some("status".into()));
        assert_eq!(failure.error.to_string(), "/stauts: 404 Not Found");
        assert!(failure.hint.expect("a hint").contains("`ringctl status`"));
    }
}
