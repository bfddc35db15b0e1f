//! What comes bit by bit: events and logs.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::anyhow;
use ringkeeper_tools::client::{Client, ClientError};
use tokio::time::sleep;

use super::{
    args::Options,
    failure::{Failure, UNREACHABLE},
    show::{self, FAINT, styled},
};

/// How long a balancer holds an answer while nothing happens.
const HOLD: Duration = Duration::from_secs(30);

/// Between two tries to reach a balancer that is away.
const AGAIN: Duration = Duration::from_secs(1);

/// Prints what happened and goes on with what happens, until Ctrl-C. A balancer that goes away is waited for.
pub async fn events(client: &Client, options: &Options) -> Result<(), Failure> {
    let mut news = client.events(None, Duration::ZERO).await.map_err(|error| Failure::of(error, client))?;
    loop {
        for event in &news.events {
            show::print(&show::events::one(event, options)).map_err(Failure::output)?;
        }
        news = next(client, news.last).await?;
    }
}

/// What comes after this event; says on stderr when the balancer is away, and when it is back.
async fn next(client: &Client, last: u64) -> Result<ringkeeper_tools::client::Events, Failure> {
    let mut away = false;
    loop {
        let error = match client.events(Some(last), HOLD).await {
            Ok(news) => {
                if away {
                    anstream::eprintln!("{}", styled(FAINT, "the balancer is back"));
                }
                return Ok(news);
            }
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Broken { .. })) => error,
            Err(error) => return Err(Failure::of(error, client)),
        };
        if !away {
            anstream::eprintln!("{}", styled(FAINT, &format!("{error}; trying again until Ctrl-C")));
        }
        away = true;
        sleep(AGAIN).await;
    }
}

/// Prints a replica's log as it comes, as it is.
pub async fn logs(client: &Client, replica: &str, tail: u32, follow: bool) -> Result<(), Failure> {
    let mut log = client.logs(replica, tail, follow).await.map_err(|error| Failure::of(error, client))?;
    let mut out = anstream::stdout();
    let mut last = b'\n';
    let ended = loop {
        match log.next().await {
            Ok(Some(piece)) => {
                last = piece.last().copied().unwrap_or(last);
                match out.write_all(&piece).and_then(|()| out.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    written => written.map_err(Failure::output)?,
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if last != b'\n' {
        out.write_all(b"\n").map_err(Failure::output)?;
    }
    match ended {
        Ok(()) if follow => {
            anstream::eprintln!(
                "{}",
                styled(FAINT, &format!("the log of this instance of {replica} has ended"))
            );
            Ok(())
        }
        Ok(()) => Ok(()),
        Err(error) => {
            Err(Failure::new(UNREACHABLE, anyhow!(error), "`ringctl logs` again shows what came since"))
        }
    }
}
