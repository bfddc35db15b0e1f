//! Does what is asked for, be it from the command line or from the shell.

use std::{
    io::stdout,
    time::{Duration, Instant, SystemTime},
};

use clap::CommandFactory;
use ringkeeper_tools::client::{By, Client, Pool};
use tokio::{signal, task::spawn_blocking, time::sleep};

use super::{
    args::{Args, Format, Options},
    change,
    command::{Command, Simulated},
    doctor,
    explanation::{Explanation, Unforeseen},
    failure::Failure,
    follow,
    layout::{Layout, LayoutError},
    meant, pools, screen, show, spinner,
    standing::{Look, Shares, Standing},
    watch,
};

/// Between two looks at how many requests there were, where there was none before.
const GLANCE: Duration = Duration::from_millis(300);

/// An older look says nothing of the rate of now.
const STALE: Duration = Duration::from_secs(5);

/// What a client knows from one command to the next.
#[derive(Debug)]
pub struct Session {
    client: Client,
    shares: Shares,
    before: Option<Look>,
}

impl Session {
    /// Of a client that has asked for nothing yet.
    pub fn new(client: Client) -> Self {
        Session { client, shares: Shares::default(), before: None }
    }

    /// Whom it asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Does it, and prints what there is to print. Ctrl-C breaks it off.
    pub async fn run(&mut self, command: &Command, options: &Options) -> Result<(), Failure> {
        tokio::select! {
            done = self.execute(command, options) => done,
            _ = signal::ctrl_c() => Err(Failure::interrupted(command.changes())),
        }
    }

    async fn execute(&mut self, command: &Command, options: &Options) -> Result<(), Failure> {
        if options.watch.is_some() && !command.reads() {
            return Err(Failure::usage(
                "this command is done once, and --watch repeats",
                "leave --watch away",
            ));
        }
        let client = self.of_pool(options);
        let text = match command {
            Command::Add { what, pace } => change::add(&client, what, *pace, options).await?,
            Command::Rm { what, pace } => change::remove(&client, what, *pace, options).await?,
            Command::Scale { n, pace } => change::scale(&client, *n, *pace, options).await?,
            Command::Weight { replica, weight } => {
                let pool =
                    change::tell(&client, "building the ring", client.weigh(replica, *weight), options);
                self.changed(pool.await?, options)
            }
            Command::Drain { replica } => {
                let pool = change::tell(&client, "taking it out", client.drain(replica), options);
                self.changed(pool.await?, options)
            }
            Command::Restore { replica } => {
                let pool = change::tell(&client, "taking it in", client.restore(replica), options);
                self.changed(pool.await?, options)
            }
            Command::Restart { replica } => {
                let doing = "waiting until a fresh instance answers heartbeats";
                let pool = change::tell(&client, doing, client.restart(replica), options);
                self.changed(pool.await?, options)
            }
            Command::Pools { what: Some(what) } => pools::change(&client, what, options).await?,
            Command::Routes { what: Some(what) } => pools::reroute(&client, what, options).await?,
            Command::Pool { .. } => {
                return Err(Failure::usage(
                    "`pool` is a command of the shell, for what comes after it",
                    "`ringctl pools` lists the pools; --pool POOL or RINGCTL_POOL says which one is meant",
                ));
            }
            Command::Events { follow: true } => return follow::events(&client, options).await,
            Command::Logs { replica, follow, tail } => {
                return follow::logs(&client, replica, *tail, *follow).await;
            }
            Command::Completions { shell } => {
                clap_complete::generate(*shell, &mut Args::command(), "ringctl", &mut stdout());
                return Ok(());
            }
            Command::Top => return watch::repeat(self, &Command::Status, options).await,
            read if options.watch.is_some() => return watch::repeat(self, read, options).await,
            read => spinner::during("asking the balancer", self.read(read, options)).await?,
        };
        show::print(&text).map_err(Failure::output)
    }

    /// What a command that only reads has found.
    pub async fn read(&mut self, command: &Command, options: &Options) -> Result<String, Failure> {
        let client = self.of_pool(options);
        match command {
            Command::Rep => {
                let replicas = client.rep().await.map_err(|error| Failure::of(error, &client))?;
                Ok(show::replicas(&replicas, options))
            }
            Command::Home => answer(&client, "home", options).await,
            Command::Path(words) => answer(&client, one(words)?, options).await,
            Command::Events { .. } => {
                let events = client.events(None, Duration::ZERO).await;
                Ok(show::events::all(&events.map_err(|error| Failure::of(error, &client))?, options))
            }
            Command::Explain { key } => {
                let pool = pool(&client).await?;
                if pool.shares_by() != By::Ring {
                    return Ok(show::explanation::unforeseen(&Unforeseen::of(key, &pool), options));
                }
                let layout = layout(pool).await?;
                Ok(show::explanation::explanation(&Explanation::of(key, &layout), options))
            }
            Command::Simulate(simulated) => simulate(&client, simulated, options).await,
            Command::Ring => {
                let layout = layout(in_use(pool(&client).await?)?).await?;
                let drawn = {
                    let options = options.clone();
                    spawn_blocking(move || show::drawing::drawing(&layout, &options))
                };
                Ok(drawn.await.expect("drawing does not panic"))
            }
            Command::Pools { .. } => Ok(show::pools::pools(&pools::all(&client).await?, options)),
            Command::Routes { .. } => {
                let routes = client.routes().await.map_err(|error| Failure::of(error, &client))?;
                Ok(show::routes::routes(&routes, options))
            }
            Command::Doctor => doctor::examine(&client, options).await,
            _ => {
                let standing = self.standing(&client).await?;
                Ok(show::status::status(&standing, SystemTime::now(), screen::width(&stdout()), options))
            }
        }
    }

    /// A client about the pool that is meant.
    pub fn of_pool(&self, options: &Options) -> Client {
        self.client.clone().with_pool(options.pool())
    }

    /// How the replicas stand; for the rates it looks twice, unless it has just looked.
    async fn standing(&mut self, client: &Client) -> Result<Standing, Failure> {
        let mut look = look(client).await?;
        let fresh = |before: &Look| {
            let age = look.at.duration_since(before.at);
            (GLANCE..STALE).contains(&age) && before.pool.pool == look.pool.pool
        };
        let mut before = self.before.take().filter(fresh);
        if before.is_none() && look.pool.replicas.iter().any(|replica| replica.requests.is_some()) {
            sleep(GLANCE).await;
            before = Some(std::mem::replace(&mut look, self::look(client).await?));
        }
        let standing = Standing::of(&look, before.as_ref(), &mut self.shares);
        self.before = Some(look);
        Ok(standing)
    }

    fn changed(&mut self, pool: Pool, options: &Options) -> String {
        if options.quiet && options.format() == Format::Text {
            return String::new();
        }
        let standing = Standing::of(&Look { pool, at: Instant::now() }, None, &mut self.shares);
        show::status::status(&standing, SystemTime::now(), screen::width(&stdout()), options)
    }
}

async fn look(client: &Client) -> Result<Look, Failure> {
    Ok(Look { pool: pool(client).await?, at: Instant::now() })
}

async fn pool(client: &Client) -> Result<Pool, Failure> {
    client.pool().await.map_err(|error| Failure::of(error, client))
}

/// This pool, where its requests go by its ring.
fn in_use(pool: Pool) -> Result<Pool, Failure> {
    if pool.shares_by() == By::Ring { Ok(pool) } else { Err(Failure::without_ring(&pool)) }
}

/// The ring; building it may take a second, which is not for this thread.
async fn layout(pool: Pool) -> Result<Layout, Failure> {
    let built = spawn_blocking(move || Layout::of(&pool)).await;
    built.expect("building a ring does not panic").map_err(Failure::ring)
}

async fn simulate(client: &Client, simulated: &Simulated, options: &Options) -> Result<String, Failure> {
    let wrong =
        |error| Failure::usage(error, "such as `ringctl simulate add 2` or `ringctl simulate rm Server-1`");
    let change = simulated.change().map_err(wrong)?;
    let layout = layout(in_use(pool(client).await?)?).await?;
    let moves = spawn_blocking(move || layout.simulate(&change)).await;
    let moves: Result<_, LayoutError> = moves.expect("a simulation does not panic");
    Ok(show::moves::moves(&moves.map_err(Failure::ring)?, options))
}

/// What the replicas answer to this path.
async fn answer(client: &Client, path: &str, options: &Options) -> Result<String, Failure> {
    let answer = client.get(path).await.map_err(|error| Failure::of(error, client))?;
    if answer.status.is_success() {
        return Ok(show::answer(&answer, options));
    }
    let failure = Failure::answer(&answer, path, meant::command(path));
    match options.format() {
        Format::Json => Err(failure.with_output(show::answer(&answer, options))),
        Format::Text => Err(failure),
    }
}

fn one(words: &[String]) -> Result<&str, Failure> {
    match words {
        [path] => Ok(path),
        _ if words.iter().skip(1).any(|word| word.starts_with('-')) => {
            let hint =
                format!("options stand before a path: `ringctl {} {}`", words[1..].join(" "), words[0]);
            Err(Failure::usage(format!("'{}' is no command", words[0]), hint))
        }
        _ => {
            let hint = match meant::command(&words[0]) {
                Some(meant) => format!("was `ringctl {meant}` meant?"),
                None => "a path is one word; `ringctl help` lists the commands".into(),
            };
            Err(Failure::usage(format!("'{}' is no command", words.join(" ")), hint))
        }
    }
}
