//! What is done to the pools themselves, and to the routes that lead to them.

use anyhow::anyhow;
use ringkeeper_tools::client::{Client, Pool, Settings};

use super::{
    args::Options,
    change::tell,
    failure::{Failure, REFUSED},
    settings, show,
};

/// A change of the pools.
#[derive(clap::Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum OfPools {
    /// Make a pool of its own
    Add {
        /// Its name
        name: String,
        /// As in ringkeeper.toml, such as image=web replicas=3; one that comes again makes a list
        #[arg(value_name = "SETTING=VALUE")]
        settings: Vec<String>,
    },
    /// Give a pool these settings in place of all that it was given
    Set {
        /// Its name
        #[arg(value_name = "POOL")]
        name: String,
        /// As in ringkeeper.toml; those left out are as by default
        #[arg(value_name = "SETTING=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// End a pool and its replicas
    #[command(visible_alias = "del")]
    Rm {
        /// Its name
        #[arg(value_name = "POOL")]
        name: String,
    },
}

/// A change of the routes.
#[derive(clap::Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum OfRoutes {
    /// Have some requests go to a pool
    Add {
        /// The pool
        #[arg(value_name = "POOL")]
        pool: String,
        /// Which: host=, path=, header=, method=, listen=; and strip_prefix=true, add_prefix=
        #[arg(value_name = "SETTING=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// Take a route out
    #[command(visible_alias = "del")]
    Rm {
        /// Its number, as in the list
        number: usize,
    },
}

/// Changes the pools, and says what came of it.
pub async fn change(client: &Client, what: &OfPools, options: &Options) -> Result<String, Failure> {
    match what {
        OfPools::Add { name, settings } => {
            let settings = understood(settings)?;
            let client = client.clone().with_pool(name);
            if client.pool().await.is_ok() {
                let error = anyhow!("there is a pool '{name}' already");
                let hint = format!("`ringctl pools set {name} SETTING=VALUE …` gives it other settings");
                return Err(Failure::new(REFUSED, error, hint));
            }
            put(&client, &settings, options).await
        }
        OfPools::Set { name, settings } => {
            let settings = understood(settings)?;
            let client = client.clone().with_pool(name);
            client.pool().await.map_err(|error| Failure::of(error, &client))?;
            put(&client, &settings, options).await
        }
        OfPools::Rm { name } => {
            let client = client.clone().with_pool(name);
            let doing = "waiting until its replicas have finished what they had";
            tell(&client, doing, client.remove(), options).await?;
            list(&client, options).await
        }
    }
}

/// Changes the routes, and says what came of it.
pub async fn reroute(client: &Client, what: &OfRoutes, options: &Options) -> Result<String, Failure> {
    let added = match what {
        OfRoutes::Add { pool, settings } => Some((pool.as_str(), understood(settings)?)),
        OfRoutes::Rm { .. } => None,
    };
    let mut routes = client.routes().await.map_err(|error| Failure::of(error, client))?;
    match (what, added) {
        (_, Some((pool, mut route))) => {
            route.insert("pool".into(), pool.into());
            routes.push(route);
        }
        (OfRoutes::Rm { number }, _) if (1..=routes.len()).contains(number) => {
            drop(routes.remove(number - 1));
        }
        _ => {
            let error = anyhow!("the routes are numbered from 1 to {}", routes.len());
            return Err(Failure::new(REFUSED, error, "`ringctl routes` lists them with their numbers"));
        }
    }
    let routes = tell(client, "changing the routes", client.route(routes), options).await?;
    match options.quiet {
        true => Ok(String::new()),
        false => Ok(show::routes::routes(&routes, options)),
    }
}

/// All pools.
pub async fn all(client: &Client) -> Result<Vec<Pool>, Failure> {
    client.pools().await.map_err(|error| Failure::of(error, client))
}

async fn put(client: &Client, settings: &Settings, options: &Options) -> Result<String, Failure> {
    tell(client, "making the pool", client.put(settings), options).await?;
    list(client, options).await
}

/// The pools after a change. Quiet, nothing.
async fn list(client: &Client, options: &Options) -> Result<String, Failure> {
    match options.quiet {
        true => Ok(String::new()),
        false => Ok(show::pools::pools(&all(client).await?, options)),
    }
}

fn understood(words: &[String]) -> Result<Settings, Failure> {
    settings::of(words).map_err(|error| {
        Failure::usage(
            error,
            "such as `ringctl pools add web image=web replicas=3` or `ringctl routes add web path=/web`",
        )
    })
}
