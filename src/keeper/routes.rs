//! How requests come to pools: routes, and the listeners that they need.

use std::{net::SocketAddr, sync::Arc};

use super::{Keeper, change::followed};
use crate::{
    config::Section,
    fleet::{DEFAULT, PoolError, Sheet, tell},
    proxy::{self, Listener, Route, Routing},
};

impl Keeper {
    /// Has requests take these routes and no others.
    pub(super) async fn route(&mut self, sheets: Vec<Sheet>) -> Result<(), PoolError> {
        let mut routes = Vec::with_capacity(sheets.len());
        for (at, sheet) in sheets.iter().enumerate() {
            routes.push(self.route_of(at, sheet)?);
        }
        let listeners = self.listeners_of(&routes)?;
        self.remember(|memory| memory.route(sheets.clone()))?;
        (self.routes, self.listeners) = (routes, listeners);
        self.told.send_replace(sheets.into());
        let epoch = self.reroute();
        followed(&self.published, epoch).await;
        Ok(())
    }

    /// Has requests take the routes that are remembered; nobody has to follow yet. One that leads nowhere any more is
    /// forgotten. One whose address cannot be listened at is left out, unless it is `configured`.
    pub(super) fn resume_routes(&mut self, configured: &[Section]) -> Result<(), PoolError> {
        let (mut known, mut taken) = (Vec::new(), Vec::new());
        for (at, sheet) in self.memory.routes().to_vec().into_iter().enumerate() {
            let route = match self.route_of(at, &sheet) {
                Ok(route) => route,
                Err(error) => {
                    tracing::error!(%error, "a route is forgotten");
                    continue;
                }
            };
            known.push(sheet.clone());
            match route.listen.map_or(Ok(()), |address| self.listen(address)) {
                Ok(()) => {
                    self.routes.push(route);
                    taken.push(sheet);
                }
                Err(error) if configured.iter().any(|section| section.sheet() == sheet) => return Err(error),
                Err(error) => tracing::error!(%error, "route {} is left out", at + 1),
            }
        }
        self.remember(|memory| memory.route(known))?;
        self.told.send_replace(taken.into());
        self.reroute();
        Ok(())
    }

    /// The route that these settings mean, to a pool that is there.
    fn route_of(&self, at: usize, sheet: &Sheet) -> Result<Route, PoolError> {
        let section = Section::of_sheet(&format!("route {}", at + 1), "", sheet);
        let route = section.route().map_err(PoolError::Invalid)?;
        if self.kept.get(&route.pool).is_some_and(|kept| !kept.is_leaving) {
            return Ok(route);
        }
        Err(PoolError::Invalid(vec![section.says(&format!("there is no pool '{}'", route.pool))]))
    }

    /// Listens at this address, where nobody does yet.
    fn listen(&mut self, address: SocketAddr) -> Result<(), PoolError> {
        if self.listeners.iter().all(|listener| listener.configured != address) {
            let listener = self.bind(address)?;
            self.listeners.push(listener);
        }
        Ok(())
    }

    /// The listeners that these routes need, beside the main one: those that are there, and new ones.
    fn listeners_of(&self, routes: &[Route]) -> Result<Vec<Arc<Listener>>, PoolError> {
        let mut listeners = vec![self.listeners[0].clone()];
        for address in routes.iter().filter_map(|route| route.listen) {
            if listeners.iter().any(|listener| listener.configured == address) {
                continue;
            }
            let there = self.listeners.iter().find(|listener| listener.configured == address).cloned();
            listeners.push(there.map_or_else(|| self.bind(address), Ok)?);
        }
        Ok(listeners)
    }

    fn bind(&self, address: SocketAddr) -> Result<Arc<Listener>, PoolError> {
        if self.cores == 0 {
            return Ok(Arc::new(Listener::nowhere(address)));
        }
        let failed = |error| PoolError::Conflict(format!("cannot listen on {address}: {error}"));
        let listener = proxy::bind(address, self.cores).map_err(failed)?;
        tracing::info!(address = %listener.address, "listening for routes");
        Ok(Arc::new(listener))
    }

    /// Has requests go to the pools as they are now. Returns the epoch with which that begins.
    pub(super) fn reroute(&self) -> u64 {
        let serving = || self.kept.iter().filter(|(_, kept)| !kept.is_leaving);
        let (default, others): (Vec<_>, Vec<_>) = serving().partition(|(name, _)| &***name == DEFAULT);
        let pools = default.into_iter().chain(others).map(|(_, kept)| kept.pool.clone()).collect();
        let (listeners, mut routes) = (self.listeners.clone(), self.routes.clone());
        routes.extend(serving().flat_map(|(_, kept)| kept.handle.routes()).filter_map(asked));
        self.routing.send_replace(Arc::new(Routing::new(
            listeners,
            self.control_paths.clone(),
            routes,
            pools,
        )));
        let handles = serving().map(|(name, kept)| (name.clone(), kept.handle.clone())).collect();
        self.handles.send_replace(Arc::new(handles));
        let epoch = self.published.renew();
        tell(&self.epochs, epoch);
        epoch
    }
}

/// A route that replicas ask for; none where what they ask for is no route.
fn asked(sheet: Sheet) -> Option<Route> {
    let route = Section::of_sheet("a label", "", &sheet).route();
    route.inspect_err(|problems| tracing::warn!("no route: {}", problems.join("; "))).ok()
}
