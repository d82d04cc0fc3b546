//! Which project answers: the routes, and the sites behind them.

use atoll_edge::{Site, Sites};
use atoll_host::Host;
use atoll_model::RoutePattern;
use std::sync::{Arc, PoisonError, RwLock};

/// The routes of the running deployment. A replacement is one step: no request sees half of it.
#[derive(Default)]
pub(crate) struct ServeSites {
    /// What runs the workers behind them; none in tests.
    host: Option<Arc<Host>>,
    /// The more specific pattern first.
    routes: RwLock<Vec<(RoutePattern, Arc<Site>)>>,
}

impl ServeSites {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self {
            host: Some(host),
            ..Self::default()
        }
    }

    pub(crate) fn set(&self, mut routes: Vec<(RoutePattern, Arc<Site>)>) {
        routes.sort_by_key(|route| std::cmp::Reverse(route.0.specificity()));
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
    }
}

impl Sites for ServeSites {
    fn site(&self, host: &str, path: &str) -> Option<Arc<Site>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let found = routes.iter().find(|(pattern, _)| pattern.matches(host, path));
        found.map(|(_, site)| site.clone())
    }

    fn expected(&self, host: &str) {
        // Which path will be asked for nobody knows: most hosts are one worker's.
        if let Some(runs) = &self.host
            && let Some(site) = self.site(host, "/")
            && let Some(worker) = &site.worker
        {
            runs.expect(&site.tenant, worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::{TenantId, WorkerName};

    #[test]
    fn the_most_specific_route_answers() {
        let sites = ServeSites::default();
        let site = |name: &str| {
            Arc::new(Site {
                tenant: TenantId::new("t"),
                worker: Some(WorkerName::new(name)),
                version: None,
                assets: None,
                body_bytes_max: None,
                failure: None,
            })
        };
        let route = |pattern: &str, name: &str| (RoutePattern::parse_domain(pattern).unwrap(), site(name));
        sites.set(vec![
            route("*.example.com", "any"),
            route("a.example.com", "a"),
            route("a.example.com/api/*", "api"),
        ]);
        let check = |host: &str, path: &str, expected: Option<&str>| {
            let found = sites.site(host, path).and_then(|site| site.worker.clone());
            assert_eq!(found.as_ref().map(WorkerName::as_str), expected, "{host}{path}");
        };
        check("a.example.com", "/", Some("a"));
        check("a.example.com", "/api/x", Some("api"));
        check("b.example.com", "/api/x", Some("any"));
        check("example.com", "/", None);
        sites.set(vec![route("*", "all")]);
        check("example.com", "/", Some("all"));
    }
}
