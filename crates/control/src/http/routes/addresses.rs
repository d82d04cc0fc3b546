//! Routes, domains, hosts, cron expressions.

use super::super::context::{Context, Reply, ok};
use super::super::endpoint::{Endpoint, Need};
use super::told;
use atoll_api::rest::{Crons, Domain, Empty, Host, NewRoute, Page, PutDomain, PutHost, Route, SetRoutes};
use atoll_model::{Action, DomainName, Resource, TenantId, WorkerName};
use http::{Method, StatusCode};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let (read, write) = (
        Need::Account(Resource::Route, Action::Read),
        Need::Account(Resource::Route, Action::Write),
    );
    vec![
        Endpoint::new::<Crons, _>(
            Method::GET,
            "/v1/accounts/{account}/workers/{worker}/crons",
            "getCrons",
            "The cron expressions of a worker.",
            Need::Account(Resource::Worker, Action::Read),
            crons,
        ),
        Endpoint::new::<Crons, _>(
            Method::PUT,
            "/v1/accounts/{account}/workers/{worker}/crons",
            "putCrons",
            "Makes these the cron expressions of a worker, and no others.",
            Need::Account(Resource::Worker, Action::Write),
            put_crons,
        )
        .takes::<Crons>(),
        Endpoint::list::<Route, _>(
            "/v1/accounts/{account}/workers/{worker}/routes",
            "listRoutesOfWorker",
            "The routes of a worker by pattern.",
            read,
            routes_of_worker,
        ),
        Endpoint::list::<Route, _>(
            "/v1/accounts/{account}/workers/{worker}/routes",
            "setRoutesOfWorker",
            "Makes these the routes of a worker, and no others.",
            write,
            set_routes,
        )
        .method(Method::PUT)
        .takes::<SetRoutes>(),
        Endpoint::list::<Route, _>(
            "/v1/accounts/{account}/routes",
            "listRoutes",
            "All routes of an account by pattern.",
            read,
            routes,
        ),
        Endpoint::new::<Route, _>(
            Method::POST,
            "/v1/accounts/{account}/routes",
            "addRoute",
            "Adds a route, or points one of the account's at another worker. The first on a host claims it for the account.",
            write,
            add_route,
        )
        .takes::<NewRoute>()
        .creates(),
        Endpoint::new::<Route, _>(
            Method::GET,
            "/v1/accounts/{account}/routes/{id}",
            "getRoute",
            "A route.",
            read,
            route,
        ),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/accounts/{account}/routes/{id}",
            "deleteRoute",
            "Removes a route.",
            write,
            delete_route,
        ),
        Endpoint::list::<Domain, _>(
            "/v1/accounts/{account}/domains",
            "listDomains",
            "Custom domains by name.",
            read,
            domains,
        ),
        Endpoint::new::<Domain, _>(
            Method::GET,
            "/v1/accounts/{account}/domains/{name}",
            "getDomain",
            "A custom domain.",
            read,
            domain,
        ),
        Endpoint::new::<Domain, _>(
            Method::PUT,
            "/v1/accounts/{account}/domains/{name}",
            "putDomain",
            "Makes a host a worker's. The first on a host claims it for the account.",
            write,
            put_domain,
        )
        .takes::<PutDomain>(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/accounts/{account}/domains/{name}",
            "deleteDomain",
            "Takes a host from its worker.",
            write,
            delete_domain,
        ),
        Endpoint::list::<Host, _>(
            "/v1/accounts/{account}/hosts",
            "listHosts",
            "Hosts that the account has claimed.",
            read,
            hosts,
        ),
        Endpoint::new::<Host, _>(
            Method::PUT,
            "/v1/accounts/{account}/hosts/{host}",
            "putHost",
            "Claims a host and says which other accounts may have routes there. The platform's own tokens take it from whoever has it.",
            write,
            put_host,
        )
        .takes::<PutHost>(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/accounts/{account}/hosts/{host}",
            "deleteHost",
            "Gives a claimed host back, once the account has nothing there any more.",
            write,
            delete_host,
        ),
    ]
}

fn whole<T>(items: Vec<T>) -> Page<T> {
    Page { items, next: None }
}

async fn crons(context: Context) -> Reply {
    context.catalog.worker(context.account(), context.worker()).await?;
    let crons = context.catalog.crons(context.account(), context.worker()).await?;
    ok(&Crons { crons })
}

async fn put_crons(context: Context) -> Reply {
    let crons: Crons = context.json()?;
    let (account, worker, caller) = (context.account(), context.worker(), context.caller()?);
    let done = context
        .catalog
        .set_crons(&caller, account, worker, crons.crons.clone())
        .await?;
    context.changed(StatusCode::OK, &done, &crons)
}

async fn routes(context: Context) -> Reply {
    let routes = context.catalog.routes(context.account()).await?;
    ok(&whole(routes.into_iter().map(told::route).collect()))
}

async fn routes_of_worker(context: Context) -> Reply {
    let worker = context.worker();
    context.catalog.worker(context.account(), worker.clone()).await?;
    let routes = context.catalog.routes(context.account()).await?;
    let own = routes
        .into_iter()
        .filter(|route| route.worker.as_ref() == Some(&worker));
    ok(&whole(own.map(told::route).collect()))
}

async fn set_routes(context: Context) -> Reply {
    let asked: SetRoutes = context.json()?;
    let (account, worker, caller) = (context.account(), context.worker(), context.caller()?);
    let done = context
        .catalog
        .set_routes(&caller, account, worker, &asked.patterns)
        .await?;
    let routes = whole(done.value.iter().cloned().map(told::route).collect());
    context.changed(StatusCode::OK, &done, &routes)
}

async fn add_route(context: Context) -> Reply {
    let asked: NewRoute = context.json()?;
    let (account, caller, worker) = (context.account(), context.caller()?, asked.worker.map(WorkerName::new));
    let done = context
        .catalog
        .add_route(&caller, account, worker, &asked.pattern)
        .await?;
    let route = told::route(done.value.clone());
    context.changed(StatusCode::CREATED, &done, &route)
}

async fn route(context: Context) -> Reply {
    let id = context.part("id");
    let routes = context.catalog.routes(context.account()).await?;
    let found = routes.into_iter().find(|route| route.id == id);
    let found = found.ok_or_else(|| super::super::ApiError::not_found(format!("there is no route \"{id}\"")))?;
    ok(&told::route(found))
}

async fn delete_route(context: Context) -> Reply {
    let (account, caller, id) = (context.account(), context.caller()?, context.part("id").to_owned());
    let done = context.catalog.delete_route(&caller, account, id).await?;
    context.changed(StatusCode::OK, &done, &Empty {})
}

async fn domains(context: Context) -> Reply {
    let domains = context.catalog.domains(context.account()).await?;
    ok(&whole(domains.into_iter().map(told::domain).collect()))
}

async fn domain(context: Context) -> Reply {
    let name = context.part("name");
    let domains = context.catalog.domains(context.account()).await?;
    let found = domains.into_iter().find(|domain| domain.name.as_str() == name);
    let found = found.ok_or_else(|| super::super::ApiError::not_found(format!("there is no domain \"{name}\"")))?;
    ok(&told::domain(found))
}

async fn put_domain(context: Context) -> Reply {
    let asked: PutDomain = context.json()?;
    let (account, caller) = (context.account(), context.caller()?);
    let (worker, name) = (WorkerName::new(asked.worker), DomainName::new(context.part("name")));
    let done = context.catalog.add_domain(&caller, account, worker, name).await?;
    let domain = told::domain(done.value.clone());
    context.changed(StatusCode::OK, &done, &domain)
}

async fn delete_domain(context: Context) -> Reply {
    let (account, caller, name) = (
        context.account(),
        context.caller()?,
        DomainName::new(context.part("name")),
    );
    let done = context.catalog.delete_domain(&caller, account, name).await?;
    context.changed(StatusCode::OK, &done, &Empty {})
}

async fn hosts(context: Context) -> Reply {
    let hosts = context.catalog.hosts(context.account()).await?;
    ok(&whole(hosts.into_iter().map(told::host).collect()))
}

async fn put_host(context: Context) -> Reply {
    let asked: PutHost = context.json()?;
    let (account, caller, name) = (context.account(), context.caller()?, context.part("host").to_owned());
    let guests = asked.guests.into_iter().map(TenantId::new).collect();
    let force = context.who.account.is_none();
    let done = context.catalog.set_host(&caller, account, name, guests, force).await?;
    let host = told::host(done.value.clone());
    context.changed(StatusCode::OK, &done, &host)
}

async fn delete_host(context: Context) -> Reply {
    let (account, caller, name) = (context.account(), context.caller()?, context.part("host").to_owned());
    let done = context.catalog.delete_host(&caller, account, name).await?;
    context.changed(StatusCode::OK, &done, &Empty {})
}
