//! The client of a running balancer.

mod args;
mod show;

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser;
use ringkeeper_tools::client::{Answer, Client, ClientError};

use self::args::{Args, Command, OutputFormat};

/// What a script can tell by the exit code; 2, a usage error, is clap's.
const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match execute(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { error, hint, code }) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = hint {
                eprintln!("  {hint}");
            }
            ExitCode::from(code)
        }
    }
}

/// Why a command has not done what it was to do, and what to try next.
struct Failure {
    error: anyhow::Error,
    hint: Option<String>,
    code: u8,
}

async fn execute(args: &Args) -> Result<(), Failure> {
    let client = Client::new(args.url.clone(), args.admin_url());
    let failed = |error| failure(error, args);
    let text = match &args.command {
        Command::Rep => show::replicas(&client.rep().await.map_err(failed)?, args.output),
        Command::Add { n, names } => {
            show::replicas(&client.add(*n, names).await.map_err(failed)?, args.output)
        }
        Command::Rm { n, names } => show::replicas(&client.rm(*n, names).await.map_err(failed)?, args.output),
        Command::Status => show::pool(&client.pool().await.map_err(failed)?, args.output),
        Command::Home => answer(&client, "home", args).await?,
        Command::Path(words) => match words.as_slice() {
            [path] => answer(&client, path, args).await?,
            words => return Err(several_words(words)),
        },
    };
    show::print(&text).map_err(|error| Failure { error: error.into(), hint: None, code: REFUSED })
}

/// What the replicas answer to this path.
async fn answer(client: &Client, path: &str, args: &Args) -> Result<String, Failure> {
    let answer = client.get(path).await.map_err(|error| failure(error, args))?;
    if answer.status.is_success() {
        return Ok(show::answer(&answer, args.output));
    }
    if args.output == OutputFormat::Json {
        show::print(&show::answer(&answer, args.output)).ok(); // the error stands on stderr all the same
    }
    Err(not_served(&answer, path))
}

fn not_served(answer: &Answer, path: &str) -> Failure {
    let message = answer.message().unwrap_or_else(|| String::from_utf8_lossy(&answer.body).trim().to_owned());
    let hint = match answer.status.as_u16() {
        400 | 404 => "`ringctl home` requests what every replica serves; `ringctl help` lists the commands",
        _ => "`ringctl status` says how the replicas are",
    };
    let path = path.strip_prefix('/').unwrap_or(path);
    let error = match message.as_str() {
        "" => anyhow!("/{path}: {}", answer.status),
        message => anyhow!("/{path}: {}: {message}", answer.status),
    };
    Failure { error, hint: Some(hint.to_owned()), code: REFUSED }
}

fn several_words(words: &[String]) -> Failure {
    let hint = match words.iter().skip(1).any(|word| word.starts_with('-')) {
        true => format!("options stand before a path: ringctl {} {}", words[1..].join(" "), words[0]),
        false => "a path is one word; `ringctl help` lists the commands".to_owned(),
    };
    Failure { error: anyhow!("'{}' is no command", words.join(" ")), hint: Some(hint), code: USAGE }
}

fn failure(error: ClientError, args: &Args) -> Failure {
    let admin = matches!(args.command, Command::Status);
    let (hint, code) = match &error {
        ClientError::Unreachable { .. } | ClientError::Foreign { .. } => {
            let (flag, variable) =
                if admin { ("--admin-url", "RINGCTL_ADMIN_URL") } else { ("--url", "RINGCTL_URL") };
            (format!("start one with `make`, or say where it is with {flag} or {variable}"), UNREACHABLE)
        }
        ClientError::Broken { .. } => {
            ("whether it was done is not known: `ringctl rep` shows the replicas".to_owned(), UNREACHABLE)
        }
        ClientError::Refused { .. } if admin => {
            (format!("is {} where operators connect? --admin-url says where", args.admin_url()), REFUSED)
        }
        ClientError::Refused { status, .. } if status.is_server_error() => {
            ("`ringctl status` says how the replicas are".to_owned(), REFUSED)
        }
        ClientError::Refused { .. } => {
            ("nothing was changed; `ringctl rep` shows the replicas".to_owned(), REFUSED)
        }
    };
    Failure { error: error.into(), hint: Some(hint), code }
}
