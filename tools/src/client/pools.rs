//! The calls about the pools themselves, and about the routes to them.

use http::Method;
use serde::{Deserialize, Serialize};

use super::{
    CHANGE, Client, ClientError, Pool, READ,
    call::{Call, done, read},
};

/// The pool that is always there.
pub const DEFAULT: &str = "default";

/// Settings by their names, in the words of the balancer's flags: a pool's, or a route's.
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// What `GET /v1/pools` answers.
#[derive(Deserialize)]
struct Pools {
    pools: Vec<Pool>,
}

/// What `/v1/routes` answers and takes.
#[derive(Deserialize, Serialize)]
struct Routes {
    routes: Vec<Settings>,
}

impl Client {
    /// All pools, by name.
    pub async fn pools(&self) -> Result<Vec<Pool>, ClientError> {
        let answer = self.at(Method::GET, "/v1/pools").answer(READ).await?;
        Ok(read::<Pools>(&self.admin, &answer)?.pools)
    }

    /// Makes the pool of this client with these settings, or gives it these in place of what it has. Done when requests go
    /// by them; its replicas may still be starting.
    pub async fn put(&self, settings: &Settings) -> Result<Pool, ClientError> {
        let answer = self.v1(Method::PUT, "").json(settings).answer(CHANGE).await?;
        read(&self.admin, &answer)
    }

    /// Has the pool of this client get no more requests, and ends it. Done when its replicas are gone.
    pub async fn remove(&self) -> Result<(), ClientError> {
        let answer = self.v1(Method::DELETE, "").empty().answer(CHANGE).await?;
        done(&self.admin, &answer)
    }

    /// Which requests are for which pool, as it was given.
    pub async fn routes(&self) -> Result<Vec<Settings>, ClientError> {
        let answer = self.at(Method::GET, "/v1/routes").answer(READ).await?;
        Ok(read::<Routes>(&self.admin, &answer)?.routes)
    }

    /// Has requests take these routes and no others.
    pub async fn route(&self, routes: Vec<Settings>) -> Result<Vec<Settings>, ClientError> {
        let call = self.at(Method::PUT, "/v1/routes").json(&Routes { routes });
        Ok(read::<Routes>(&self.admin, &call.answer(CHANGE).await?)?.routes)
    }

    /// A call of operators that is about no pool in particular.
    fn at(&self, method: Method, path: &str) -> Call<'_> {
        Call::new(&self.admin, method, path).token(self.token.as_ref())
    }
}
