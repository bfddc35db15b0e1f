//! A reading command again and again, in place.

use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::{
    args::{Format, Options},
    command::Command,
    failure::Failure,
    screen::{Screen, Wish},
    session::Session,
    show::{self, BAD, FAINT, styled},
};

/// Between two looks, where nothing else is said.
const PAUSE: Duration = Duration::from_secs(1);

/// Repeats until Ctrl-C or `q`: on a terminal in place, else one text below the other. Only the first look may fail; a
/// balancer that goes away later is waited for.
pub async fn repeat(session: &mut Session, command: &Command, options: &Options) -> Result<(), Failure> {
    let first = session.read(command, options).await?;
    match options.format() {
        Format::Text => match Screen::take().map_err(Failure::output)? {
            Some(screen) => in_place(session, command, options, screen, first).await,
            None => below(session, command, options, first).await,
        },
        Format::Json => below(session, command, options, first).await,
    }
}

async fn in_place(
    session: &mut Session,
    command: &Command,
    options: &Options,
    mut screen: Screen,
    first: String,
) -> Result<(), Failure> {
    let title = title(session, options);
    let mut text = first;
    loop {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        let head = styled(FAINT, &format!("{title}, {now}; q leaves"));
        screen.draw(&format!("{head}\n\n{text}")).map_err(Failure::output)?;
        let next = async {
            sleep(options.watch.unwrap_or(PAUSE)).await;
            session.read(command, options).await
        };
        text = tokio::select! {
            found = next => found.unwrap_or_else(|failure| in_words(&failure)),
            wish = screen.wish() => match wish {
                Wish::Leave => return Ok(()),
                Wish::Now => session.read(command, options).await.unwrap_or_else(|failure| in_words(&failure)),
            },
        };
    }
}

async fn below(
    session: &mut Session,
    command: &Command,
    options: &Options,
    first: String,
) -> Result<(), Failure> {
    let blank = if options.format() == Format::Text { "\n" } else { "" };
    let mut found = Ok(first);
    loop {
        match found {
            Ok(text) => show::print(&format!("{text}{blank}")).map_err(Failure::output)?,
            Err(failure) => anstream::eprintln!("{}", in_words(&failure)),
        }
        sleep(options.watch.unwrap_or(PAUSE)).await;
        found = session.read(command, options).await;
    }
}

fn title(session: &Session, options: &Options) -> String {
    let pause = humantime::format_duration(options.watch.unwrap_or(PAUSE));
    format!("{} every {pause}", session.client().admin())
}

fn in_words(failure: &Failure) -> String {
    format!(
        "{}\n{}",
        styled(BAD, &format!("{:#}", failure.error)),
        failure.output.as_deref().unwrap_or_default()
    )
}
