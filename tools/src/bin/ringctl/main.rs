//! The client of a running balancer: one command, or a shell.
//!
//! In reading order: `args` and `command` are what can be typed, `session` does it, `change`, `watch`, `follow`,
//! `doctor` and `reach` are what takes longer than a call, `layout`, `standing` and `explanation` are what is computed from answers,
//! `pools` is what is done to the pools themselves,
//! `show` puts it into words, `failure` says what went wrong and what to try next, `shell` reads lines.

mod args;
mod change;
mod command;
mod doctor;
mod explanation;
mod failure;
mod follow;
mod layout;
mod meant;
mod place;
mod pools;
mod reach;
mod screen;
mod session;
mod settings;
mod shell;
mod show;
mod spinner;
mod standing;
mod token;
mod watch;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use ringkeeper_tools::client::Client;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use self::{
    args::{Args, Options},
    command::Command,
    failure::{Failure, REFUSED, USAGE},
    session::Session,
};

/// Ended from outside, as shells count it.
const TERMINATED: u8 = 143;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = client(&args).and_then(|client| {
        let session = Session::new(client);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::output)?;
        match &args.command {
            Some(command) => runtime.block_on(once(session, command, &args.options)).map(|()| 0),
            None => shell::run(runtime, session, args.options)
                .map_err(|error| Failure::new(REFUSED, error, "`ringctl help` lists the commands")),
        }
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.tell(ToOwned::to_owned);
            ExitCode::from(failure.code)
        }
    }
}

fn client(args: &Args) -> Result<Client, Failure> {
    let usage =
        |error| Failure::new(USAGE, error, "--token-file names a file that holds nothing but the token");
    let token = token::find(args.token.as_deref(), args.token_file.as_deref(), place::token().as_deref())
        .map_err(usage)?;
    let client = Client::new(args.url.clone(), args.admin_url());
    match token {
        Some(token) => client.with_token(&token).context("the token cannot be sent").map_err(usage),
        None => Ok(client),
    }
}

/// One command. Told to end, it leaves the terminal as it was.
async fn once(mut session: Session, command: &Command, options: &Options) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::output)?;
    tokio::select! {
        done = session.run(command, options) => done,
        _ = terminate.recv() => Err(Failure { code: TERMINATED, ..Failure::interrupted(command.changes()) }),
    }
}
