//! Calling a worker through the control plane: the request goes to a PoP that is alive, under the worker's (or an alias') own address.
//!
//! The control plane adds and removes what belongs to itself (`authorization`, `host`, `idempotency-key`, hop-by-hop fields, the
//! query's `account`); all else is the worker's, and its answer is passed on as it is, with `atoll-invoked: PoP's address`.

use super::super::context::{Context, Reply, foreign};
use super::super::endpoint::{BodyRule, Endpoint, Need};
use super::super::error::ApiError;
use atoll_api::rest::{Empty, IDEMPOTENCY_KEY, InvokeQuery};
use atoll_model::{Action, Resource, TenantId, WorkerName};
use axum::body::Body;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::OnceLock;
use std::time::Duration;

/// How long the worker may take until its answer begins.
const INVOKE_MAX: Duration = Duration::from_secs(120);
/// How long the connection to a PoP may take.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Says of an answer that it is the worker's.
const INVOKED: HeaderName = HeaderName::from_static("atoll-invoked");

pub(super) fn endpoints() -> Vec<Endpoint> {
    let endpoint = |path, id, about| {
        Endpoint::new::<Empty, _>(Method::POST, path, id, about, Need::Token, invoke)
            .other("*/*")
            .body(BodyRule::Stream)
            .asks::<InvokeQuery>()
            .within(INVOKE_MAX)
    };
    vec![
        endpoint(
            "/v1/invoke/{target}",
            "invoke",
            "Calls a worker, WORKER or WORKER:ALIAS, at / on a PoP that is alive, and passes its answer on. Needs `worker:read` of the worker.",
        ),
        endpoint(
            "/v1/invoke/{target}/{*rest}",
            "invokePath",
            "Calls a worker, WORKER or WORKER:ALIAS, at a path on a PoP that is alive, and passes its answer on. Needs `worker:read` of the worker.",
        ),
    ]
}

fn client() -> &'static Client<HttpConnector, Body> {
    static CLIENT: OnceLock<Client<HttpConnector, Body>> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_nodelay(true);
        Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .build(connector)
    })
}

/// Fields that are of one connection, and those that are the control plane's.
fn forget(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
        header::EXPECT,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        headers.remove(name);
    }
}

async fn invoke(mut context: Context) -> Reply {
    let target = context.part("target").to_owned();
    let (worker, alias) = target
        .split_once(':')
        .map_or((target.as_str(), None), |(worker, alias)| (worker, Some(alias)));
    let name = WorkerName::new(worker);
    // The worker's own parameters are nobody else's business.
    let query = context.uri.query().unwrap_or("");
    let is_account = |pair: &&str| pair.split('=').next() == Some("account");
    let account = query
        .split('&')
        .find(is_account)
        .and_then(|pair| pair.split_once('='))
        .map(|(_, value)| {
            percent_encoding::percent_decode_str(value)
                .decode_utf8_lossy()
                .into_owned()
        });
    let account = match (account.map(TenantId::new), context.who.account.clone()) {
        (Some(named), Some(own)) if named != own => return Err(foreign(&named)),
        (Some(account), _) | (None, Some(account)) => account,
        (None, None) => {
            return Err(ApiError::invalid(
                "a token for all accounts has to name one: ?account=ID",
            ));
        }
    };
    if !context
        .who
        .permissions
        .allow(Resource::Worker, Action::Read, Some(&name))
    {
        return Err(ApiError::forbidden(format!("this token lacks worker:read@{name}")));
    }
    let catalog = &context.catalog;
    let found = catalog.worker(account.clone(), name.clone()).await?;
    let subdomain = catalog.account(account.clone()).await?.subdomain;
    let addresses = &context.state().addresses;
    let urls = match alias {
        None if !found.subdomain => Vec::new(),
        None => addresses.worker(worker, subdomain.as_deref()),
        Some(alias) => {
            let aliases = catalog.aliases(account, name).await?;
            if !aliases.contains_key(&atoll_model::AliasName::new(alias)) {
                return Err(ApiError::not_found(format!("there is no alias \"{alias}\"")));
            }
            addresses.alias(alias, worker, subdomain.as_deref())
        }
    };
    let url = urls.first().ok_or_else(|| {
        ApiError::new(StatusCode::CONFLICT, "conflict", format!("{worker} has no address below the platform's domains")).hint(
            "choose the account's subdomain (PATCH /v1/accounts/{account}) and switch the worker's on (PATCH .../workers/{worker})",
        )
    })?;
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host).to_owned();
    let pop = context.state().pops.target().ok_or(crate::fleet::PopsError::NoPops)?;
    if !pop.starts_with("http://") {
        return Err(ApiError::new(
            StatusCode::BAD_GATEWAY,
            "no_pops",
            format!("the PoP at {pop} takes HTTPS alone, by which the control plane cannot call it"),
        )
        .hint(format!("call the worker itself: {url}")));
    }
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !is_account(pair))
        .collect();
    let path = context.uri.path().splitn(5, '/').nth(4).unwrap_or("");
    let question = if rest.is_empty() {
        String::new()
    } else {
        format!("?{}", rest.join("&"))
    };
    let uri: Uri = format!("{}/{path}{question}", pop.trim_end_matches('/'))
        .parse()
        .map_err(|error| ApiError::invalid(format!("the address cannot be passed on: {error}")))?;
    let mut request = http::Request::new(context.take_stream());
    *request.method_mut() = context.method.clone();
    *request.uri_mut() = uri;
    let mut headers = std::mem::take(&mut context.headers);
    forget(&mut headers);
    headers.remove(header::AUTHORIZATION);
    headers.remove(IDEMPOTENCY_KEY);
    headers.insert(
        header::HOST,
        HeaderValue::from_str(&host).map_err(|error| ApiError::internal(error.to_string()))?,
    );
    *request.headers_mut() = headers;
    let response = client().request(request).await.map_err(|error| {
        ApiError {
            cause: Some(format!("{error:?}")),
            ..ApiError::new(
                StatusCode::BAD_GATEWAY,
                "no_pops",
                format!("the PoP at {pop} did not answer"),
            )
        }
        .hint("the call may or may not have reached the worker; try again if that does no harm")
    })?;
    let mut response = response.map(Body::new);
    forget(response.headers_mut());
    if let Ok(pop) = HeaderValue::from_str(&pop) {
        response.headers_mut().insert(INVOKED, pop);
    }
    Ok(response)
}
