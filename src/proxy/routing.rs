//! Where requests can go: the listeners, the routes and the pools of the whole balancer, as one value.

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    framing::Refusal,
    pool::{Pool, Way},
    route::{Route, Sought, normal},
};

/// Everything that decides where a request goes.
#[derive(Debug)]
pub struct Routing {
    /// The first of them is where control paths are.
    listeners: Vec<Arc<Listener>>,
    /// Behind which prefix `/rep`, `/add` and `/rm` are the control API's; `None` for nowhere.
    control_paths: Option<Box<str>>,
    /// The most specific first; each with the place of its pool.
    routes: Vec<(Route, usize)>,
    /// The default one first.
    pools: Vec<Arc<Pool>>,
}

/// An address where clients connect, with a socket for each core.
#[derive(Debug)]
pub struct Listener {
    /// As it is configured, be it with port 0.
    pub configured: SocketAddr,
    /// With the port that was drawn.
    pub address: SocketAddr,
    /// Locked for the moment in which each core takes its own.
    sockets: Mutex<Vec<Option<TcpListener>>>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the control API, as this path.
    Control(&'static str),
    /// To the control API, as the counters of this pool.
    Stats(usize),
    /// To the control API, as whether anybody of this pool serves.
    Health(usize),
    /// To a replica of this pool, by this route if by one.
    Pool(usize, Option<usize>),
}

/// The same for one core.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) routing: Arc<Routing>,
    /// Those of its pools.
    pub(super) ways: Vec<Rc<Way>>,
}

impl Listener {
    /// One with these sockets, each for a core.
    pub fn new(configured: SocketAddr, address: SocketAddr, sockets: Vec<TcpListener>) -> Self {
        Listener { configured, address, sockets: Mutex::new(sockets.into_iter().map(Some).collect()) }
    }

    /// One without a socket.
    pub fn nowhere(configured: SocketAddr) -> Self {
        Listener::new(configured, configured, Vec::new())
    }

    /// Whether there are sockets.
    pub fn is_bound(&self) -> bool {
        !self.sockets.lock().expect("nobody panics while holding it").is_empty()
    }

    /// A core's socket, the first time that it asks.
    pub(super) fn take(&self, core: usize) -> Option<TcpListener> {
        let mut sockets = self.sockets.lock().expect("nobody panics while holding it");
        sockets.get_mut(core).and_then(Option::take)
    }
}

impl Routing {
    /// What these make. A route to a pool that is not there is taken by nobody.
    ///
    /// # Panics
    /// If there is no listener or no pool.
    pub fn new(
        listeners: Vec<Arc<Listener>>,
        control_paths: Option<Box<str>>,
        mut routes: Vec<Route>,
        pools: Vec<Arc<Pool>>,
    ) -> Self {
        assert!(!listeners.is_empty() && !pools.is_empty(), "there is a main listener and a default pool");
        routes.sort_by_key(Route::rank);
        let place = |route: Route| {
            let at = pools.iter().position(|pool| pool.name == route.pool)?;
            Some((route, at))
        };
        let routes = routes.into_iter().filter_map(place).collect();
        Routing { listeners, control_paths, routes, pools }
    }

    /// Where clients connect.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// Whether one of them is configured at this address.
    pub fn listens_at(&self, configured: SocketAddr) -> bool {
        self.listeners.iter().any(|listener| listener.configured == configured)
    }

    /// The pools, the default one first.
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    /// Whether there are routes.
    pub(super) fn has_routes(&self) -> bool {
        !self.routes.is_empty()
    }

    /// The route at this place.
    pub(super) fn route(&self, at: usize) -> &Route {
        &self.routes[at].0
    }

    /// Where a request for this path goes, however it is spelled (RFC 3986, section 6.2.2). One that comes there only by
    /// way of another path is refused: who goes by the path before us or behind us may take it for another. So is one with
    /// dot segments by a route that rewrites it: behind another prefix they may lead out of it. And so is one that came in
    /// where nobody listens any more: without its listener's routes it would go where it never could.
    pub fn target(&self, sought: &Sought<'_>, path: &str) -> Result<Target, Refusal> {
        if !self.listens_at(sought.listen) {
            return Err(Refusal::Misdirected);
        }
        let (path, resolved) = normal(path);
        let target = self.found(sought, &path);
        let Some(resolved) = resolved else { return Ok(target) };
        let is_rewritten = matches!(target, Target::Pool(_, Some(at)) if self.route(at).rewrites());
        match is_rewritten || self.found(sought, &resolved) != target {
            true => Err(Refusal::DotSegments),
            false => Ok(target),
        }
    }

    fn found(&self, sought: &Sought<'_>, path: &str) -> Target {
        if sought.listen == self.listeners[0].configured
            && let Some(control) = self.control(path)
        {
            return Target::Control(control);
        }
        let at = self.routes.iter().position(|(route, _)| route.takes(sought, path));
        let pool = at.map_or(0, |at| self.routes[at].1);
        let config = &self.pools[pool].config;
        match () {
            () if config.stats_path.as_deref() == Some(path) => Target::Stats(pool),
            () if config.health_path.as_deref() == Some(path) => Target::Health(pool),
            () => Target::Pool(pool, at),
        }
    }

    fn control(&self, path: &str) -> Option<&'static str> {
        match path.strip_prefix(self.control_paths.as_deref()?)? {
            "/rep" => Some("/rep"),
            "/add" => Some("/add"),
            "/rm" => Some("/rm"),
            _ => None,
        }
    }
}

impl Target {
    /// The pool that it is about.
    pub(super) fn pool(self) -> usize {
        match self {
            Target::Control(_) => 0,
            Target::Stats(pool) | Target::Health(pool) | Target::Pool(pool, _) => pool,
        }
    }
}

impl Ways {
    /// Those of this routing, as if there had been no change where a pool is still there.
    pub(super) fn new(routing: Arc<Routing>, before: &[Rc<Way>]) -> Self {
        let kept = |pool: &Arc<Pool>| before.iter().find(|way| way.is_to(pool)).cloned();
        let ways =
            routing.pools.iter().map(|pool| kept(pool).unwrap_or_else(|| Way::new(pool.clone()))).collect();
        Ways { routing, ways }
    }

    /// How long requests in flight may go on after the balancer was told to stop.
    pub(super) fn drain_timeout(&self) -> Duration {
        self.ways.iter().map(|way| way.config.drain_timeout).max().unwrap_or_default()
    }

    /// Whether there may be too many connections to a replica.
    pub(super) fn bound_connections(&self) -> bool {
        self.ways.iter().any(|way| way.config.max_connections < usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{
            PoolConfig, Protocol, Settings,
            framing::{Limits, Progress, Request, Scratch},
            key::Key,
            retry::Rules,
        },
        *,
    };
    use crate::table::PoolId;

    const MAIN: &str = "127.0.0.1:1";
    const OTHER: &str = "127.0.0.1:2";
    const GONE: &str = "127.0.0.1:3";

    fn pool(id: u32, name: &str, stats: Option<&str>) -> Arc<Pool> {
        let exchange = Settings {
            key: Key::default(),
            sticky: None,
            unknown_path_is_400: false,
            retry: Rules::default(),
            priority: None,
        };
        let config = PoolConfig {
            exchange,
            protocol: Protocol::Http1,
            connect_timeout: Duration::ZERO,
            response_timeout: Duration::ZERO,
            max_connections: usize::MAX,
            eject_after: 0,
            drain_timeout: Duration::ZERO,
            stats_path: stats.map(Into::into),
            health_path: None,
        };
        Arc::new(Pool::new(PoolId(id), name, config, 1))
    }

    fn routing(control_paths: Option<&str>, routes: Vec<Route>) -> Routing {
        let listeners =
            [MAIN, OTHER].map(|address| Arc::new(Listener::nowhere(address.parse().unwrap()))).to_vec();
        let pools = vec![pool(0, "default", None), pool(1, "web", Some("/stats"))];
        Routing::new(listeners, control_paths.map(Into::into), routes, pools)
    }

    fn target_at(routing: &Routing, listen: &str, path: &str) -> Result<Target, Refusal> {
        let (mut scratch, mut progress, limits) =
            (Scratch::default(), Progress::default(), Limits::default());
        let text = b"GET / HTTP/1.1\r\nHost: shop.example.org\r\nUser: 7\r\n\r\n";
        let request = Request::parse(text, &mut progress, &limits, &mut scratch).unwrap().unwrap();
        let (host, method, fields) = (request.host, request.method, &request.fields);
        routing.target(&Sought { listen: listen.parse().unwrap(), host, method, fields }, path)
    }

    fn target(control_paths: Option<&str>, path: &str) -> Target {
        target_at(&routing(control_paths, Vec::new()), MAIN, path).unwrap()
    }

    const POOL: Target = Target::Pool(0, None);

    #[test]
    fn control_paths_are_the_three_under_their_prefix_at_the_main_listener_and_nothing_else() {
        let control = Target::Control;
        assert_eq!(target(Some(""), "/rep"), control("/rep"));
        assert_eq!(target(Some(""), "/add"), control("/add"));
        assert_eq!(target(Some("/lb"), "/lb/rm"), control("/rm"));
        for (prefix, path) in [(Some(""), "/rep/"), (Some(""), "/REP"), (Some("/lb"), "/rm"), (None, "/rep")]
        {
            assert_eq!(target(prefix, path), POOL, "{path}");
        }
        assert_eq!(target_at(&routing(Some(""), Vec::new()), OTHER, "/rep"), Ok(POOL));
    }

    #[test]
    fn a_control_path_is_the_same_in_any_spelling_but_not_by_way_of_another() {
        for path in ["/%72ep", "/re%70", "/%72%65%70"] {
            assert_eq!(target(Some(""), path), Target::Control("/rep"), "{path}");
        }
        assert_eq!(target(Some("/lb"), "/%6cb/r%6D"), Target::Control("/rm"));
        for path in
            ["/x/../rep", "/./rep", "/x/%2e%2E/rep", "/../add", "/%2e/%72m", "/rep/../rep", "/rep/./../rm"]
        {
            let refused = target_at(&routing(Some(""), Vec::new()), MAIN, path);
            assert_eq!(refused, Err(Refusal::DotSegments), "{path}");
            assert_eq!(target(None, path), POOL, "{path}");
        }
        for path in
            ["/%2Frep", "/rep%2f", "/%2572ep", "/rep/.", "/rep/../y", "/a/../b", "/%52ep", "/rep%00", "*"]
        {
            assert_eq!(target(Some(""), path), POOL, "{path}");
        }
    }

    fn route(set: impl FnOnce(&mut Route)) -> Vec<Route> {
        let mut route = Route {
            pool: "web".into(),
            listen: None,
            host: None,
            path: None,
            headers: Vec::new(),
            methods: Vec::new(),
            strip_prefix: false,
            add_prefix: None,
        };
        set(&mut route);
        vec![route]
    }

    #[test]
    fn a_route_leads_to_its_pool_and_what_that_answers_itself_is_found_there() {
        let by_path = routing(Some(""), route(|route| route.path = Some("/web".parse().unwrap())));
        let at = |routing: &Routing, path| target_at(routing, MAIN, path);
        assert_eq!(at(&by_path, "/web/x"), Ok(Target::Pool(1, Some(0))));
        assert_eq!(at(&by_path, "/webs"), Ok(POOL));
        assert_eq!(at(&by_path, "/%77eb"), Ok(Target::Pool(1, Some(0))));
        assert_eq!(at(&by_path, "/web/../x"), Err(Refusal::DotSegments));
        assert_eq!(at(&by_path, "/stats"), Ok(POOL), "the default pool has none");
        let by_listener = routing(Some(""), route(|route| route.listen = Some(OTHER.parse().unwrap())));
        assert_eq!(target_at(&by_listener, OTHER, "/stats"), Ok(Target::Stats(1)));
        assert_eq!(target_at(&by_listener, OTHER, "/x/../stats"), Err(Refusal::DotSegments));
        assert_eq!(target_at(&by_listener, OTHER, "/"), Ok(Target::Pool(1, Some(0))));
        assert_eq!(at(&by_listener, "/"), Ok(POOL));
        for (header, is_its) in [("user", true), ("User:7", true), ("user:8", false), ("other", false)] {
            let mut routes = route(|route| route.host = Some("*.example.org".parse().unwrap()));
            routes[0].headers = vec![header.parse().unwrap()];
            let target = at(&routing(None, routes), "/");
            assert_eq!(target == Ok(Target::Pool(1, Some(0))), is_its, "{header}");
        }
        let mut routes = route(|route| route.methods = vec![http::Method::POST]);
        assert_eq!(at(&routing(None, routes.clone()), "/"), Ok(POOL));
        routes[0].pool = "gone".into();
        routes[0].methods.clear();
        assert_eq!(at(&routing(None, routes), "/"), Ok(POOL));
    }

    #[test]
    fn a_request_whose_listener_is_gone_goes_nowhere() {
        for path in ["/", "/rep", "/x/../y"] {
            let refused = target_at(&routing(Some(""), route(|_| {})), GONE, path);
            assert_eq!(refused, Err(Refusal::Misdirected), "{path}");
        }
        assert_eq!(Refusal::Misdirected.status(), 421);
    }

    #[test]
    fn dot_segments_do_not_lead_out_of_a_prefix_that_a_route_adds_or_takes_away() {
        let adds = |route: &mut Route| route.add_prefix = Some("/tenants/a".parse().unwrap());
        let strips = |route: &mut Route| {
            (route.path, route.strip_prefix) = (Some("/api".parse().unwrap()), true);
        };
        let both = |route: &mut Route| {
            strips(route);
            route.add_prefix = Some("/v2".parse().unwrap());
        };
        let [adds, strips, both] = [route(adds), route(strips), route(both)].map(|it| routing(None, it));
        for (routing, path) in [
            (&adds, "/../b/secret"),
            (&adds, "/%2e%2E/b/secret"),
            (&adds, "/x/.%2e/../b"),
            (&adds, "//../../b"),
            (&adds, "/.."),
            (&strips, "/api/../api/x"),
            (&strips, "/api/.."),
            (&both, "/api/../api/x"),
            (&both, "/api/%2e%2e/api/x"),
        ] {
            assert_eq!(target_at(routing, MAIN, path), Err(Refusal::DotSegments), "{path}");
        }
        for (routing, path) in [(&adds, "/b..c/.d"), (&strips, "/api/..x"), (&both, "/api/%2fx")] {
            assert_eq!(target_at(routing, MAIN, path), Ok(Target::Pool(1, Some(0))), "{path}");
        }
        // of a path that goes on as it came, whoever answers makes what they like
        let neither = routing(None, route(|route| route.path = Some("/api".parse().unwrap())));
        assert_eq!(target_at(&neither, MAIN, "/api/x/../y"), Ok(Target::Pool(1, Some(0))));
        assert_eq!(target_at(&neither, MAIN, "/api/../api/x"), Ok(Target::Pool(1, Some(0))));
    }
}
