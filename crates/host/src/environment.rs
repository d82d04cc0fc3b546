//! From what a version was configured with to what its isolates hold: `BindingSpec` to `Binding`.

use crate::DeployError;
use crate::bindings::analytics::AnalyticsSource;
use crate::bindings::cache::CacheSource;
use crate::bindings::rate_limit::RateLimits;
use crate::counted;
use crate::loader::{LoaderBinding, Loaders, Origin};
use crate::logs::{LogHub, LogOrigin};
use crate::services::Services;
use crate::spans;
use atoll_cache::Scope;
use atoll_egress::Egress;
use atoll_model::{AccountLimits, BindingSpec, Limit, NamespaceId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::Clock;
use atoll_worker::{Binding, Environment, Fetcher, KvNamespace, Outbound, OutboundRoute, Props, ServiceStub, Tracer};
use std::sync::Arc;

/// Opens KV namespaces: scoped to one tenant, metered.
pub trait KvSource: Send + Sync + 'static {
    /// The namespace `namespace` of `tenant`; it exists by being used. One whose id cannot be stored says so at each use.
    fn open(&self, tenant: &TenantId, namespace: &NamespaceId) -> Arc<dyn KvNamespace>;
}

/// Opens the network: as far as one worker may reach.
pub trait OutboundSource: Send + Sync + 'static {
    /// The way out of `version`, under the rules of its configuration.
    fn open(&self, version: &WorkerVersion) -> Arc<dyn Outbound>;
}

impl OutboundSource for Egress {
    fn open(&self, version: &WorkerVersion) -> Arc<dyn Outbound> {
        self.for_worker(&version.outbound)
    }
}

/// What all workers of a host reach.
#[derive(Clone)]
pub struct Reach {
    /// KV.
    pub kv: Arc<dyn KvSource>,
    /// Analytics Engine datasets.
    pub analytics: Arc<dyn AnalyticsSource>,
    /// Rate limits.
    pub rate_limits: Arc<RateLimits>,
    /// The response cache.
    pub cache: Arc<dyn CacheSource>,
    /// The way out.
    pub outbound: Arc<dyn OutboundSource>,
    /// Makes traces, if any are made.
    pub tracer: Option<Arc<dyn Tracer>>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// The environment of `version`. `assets` answers its asset binding.
pub(crate) fn environment(
    version: &Arc<WorkerVersion>,
    assets: Option<&Arc<dyn Fetcher>>,
    reach: &Reach,
    logs: &Arc<LogHub>,
    services: &Services,
    account: &AccountLimits,
) -> Result<Environment, DeployError> {
    check_size(version)?;
    let tracer = reach.tracer.as_ref();
    let origin = LogOrigin {
        tenant: version.tenant.clone(),
        worker: version.name.clone(),
        version: version.id.as_str().into(),
    };
    let sink = logs.sink_within(origin, account);
    let way_out = || {
        let opened = spans::outbound(tracer, version, reach.outbound.open(version));
        counted::outbound(opened, &sink)
    };
    let loads = version
        .bindings
        .iter()
        .any(|(_, spec)| *spec == BindingSpec::WorkerLoader);
    let loaders = loads.then(|| {
        Loaders::new(Origin {
            host: services.host(),
            version: version.clone(),
            // What a worker starts reaches no more than the worker itself.
            outbound: way_out(),
            logs: logs.clone(),
            clock: reach.clock.clone(),
        })
    });
    let bindings = version
        .bindings
        .iter()
        .enumerate()
        .map(|(index, (name, spec))| {
            let binding = match (spec, &loaders) {
                (BindingSpec::WorkerLoader, Some(loaders)) => Binding::Loader(Arc::new(LoaderBinding {
                    loaders: loaders.clone(),
                    binding: index,
                })),
                _ => binding(name, spec, version, assets, reach, services)?,
            };
            Ok((name.clone(), binding))
        })
        .collect::<Result<_, DeployError>>()?;
    let scope = Scope {
        tenant: version.tenant.clone(),
        worker: version.name.clone(),
    };
    Ok(Environment {
        bindings,
        own: ServiceStub::new(services.itself(version)),
        outbound: way_out(),
        outbound_route: OutboundRoute::Network,
        cache: counted::cache(reach.cache.open(scope), &sink),
        logs: sink,
        clock: reach.clock.clone(),
    })
}

/// Variables and secrets are held to their number and size.
fn check_size(version: &WorkerVersion) -> Result<(), DeployError> {
    let over = |limit: Limit, message: String| DeployError::Limit {
        limit,
        value: version.limits.get(limit).unwrap_or_default(),
        message,
    };
    let mut count = 0u64;
    for (name, spec) in &version.bindings {
        let bytes = match spec {
            BindingSpec::Text { value } | BindingSpec::Secret { value } => value.len(),
            BindingSpec::Json { value } => value.to_string().len(),
            _ => continue,
        };
        count += 1;
        if bytes as u64 > version.limits.env_value_bytes_max {
            let text = format!("the value of \"{name}\" has {bytes} bytes");
            return Err(over(Limit::EnvironmentValue, text));
        }
    }
    if count > u64::from(version.limits.env_count_max) {
        let text = format!("the worker has {count} variables and secrets");
        return Err(over(Limit::EnvironmentCount, text));
    }
    Ok(())
}

fn binding(
    name: &str,
    spec: &BindingSpec,
    version: &WorkerVersion,
    assets: Option<&Arc<dyn Fetcher>>,
    reach: &Reach,
    services: &Services,
) -> Result<Binding, DeployError> {
    let refused = |reason| DeployError::Binding {
        binding: name.to_owned(),
        reason,
    };
    Ok(match spec {
        BindingSpec::Text { value } | BindingSpec::Secret { value } => Binding::Text(value.clone()),
        BindingSpec::Json { value } => Binding::Json(value.to_string()),
        BindingSpec::Kv { namespace } => {
            let opened = reach.kv.open(&version.tenant, namespace);
            Binding::Kv(spans::kv(reach.tracer.as_ref(), namespace, opened))
        }
        BindingSpec::Service {
            service,
            entrypoint,
            props,
        } => Binding::Service(ServiceStub {
            service: services.service(&version.tenant, &WorkerName::new(service.as_str())),
            entrypoint: entrypoint.as_deref().map(Arc::from),
            props: props.as_ref().map(|props| Props::Json(props.to_string().into())),
        }),
        BindingSpec::Assets => {
            let none = "it is bound to static assets, and the project has none (set assets.directory)";
            Binding::Fetcher(assets.cloned().ok_or_else(|| refused(none.to_owned()))?)
        }
        BindingSpec::VersionMetadata => Binding::Json(
            serde_json::json!({
                "id": version.id,
                "tag": version.tag,
                "timestamp": rfc3339(version.created_ms),
            })
            .to_string(),
        ),
        BindingSpec::RateLimit {
            namespace,
            limit,
            period_seconds,
        } => Binding::RateLimit(
            reach
                .rate_limits
                .open(&version.tenant, namespace, *limit, *period_seconds),
        ),
        BindingSpec::Analytics { dataset } => Binding::Analytics(reach.analytics.open(dataset)),
        BindingSpec::StoreSecret { name, value } => Binding::StoreSecret {
            name: name.clone(),
            value: value.clone(),
        },
        BindingSpec::WorkerLoader => return Err(refused("it has no table of dynamic workers".to_owned())),
        BindingSpec::Unbuilt(unbuilt) => Binding::Unbuilt(unbuilt.clone()),
    })
}

/// `2026-11-21T10:40:00.000Z`, as `Date.prototype.toISOString` writes it. Days to civil date after Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms".
fn rfc3339(ms: u64) -> String {
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60, ms_of_day / 1_000 % 60);
    let fraction = ms_of_day % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assets, reach, version};
    use atoll_model::UnbuiltBinding;

    /// What a binding turned into, as text.
    fn shown(binding: &Binding) -> String {
        match binding {
            Binding::Text(text) => format!("text {text}"),
            Binding::Json(json) => format!("json {json}"),
            Binding::Kv(_) => "kv".into(),
            Binding::Fetcher(_) => "fetcher".into(),
            Binding::RateLimit(_) => "rate limit".into(),
            Binding::Analytics(_) => "analytics".into(),
            Binding::StoreSecret { name, value } => format!("store secret {name} {value:?}"),
            Binding::Loader(_) => "loader".into(),
            Binding::Cloned(_) => "cloned".into(),
            Binding::Service(stub) => format!("service {:?} {:?}", stub.entrypoint, stub.props),
            Binding::Unbuilt(unbuilt) => format!("unbuilt {}", unbuilt.kind),
        }
    }

    fn build(spec: BindingSpec, with_assets: bool) -> Result<String, String> {
        let mut version = version("w", "7");
        version.created_ms = 1_795_257_600_123;
        version.bindings = vec![("B".into(), spec)];
        let assets = assets();
        let built = environment(
            &Arc::new(version),
            with_assets.then_some(&assets),
            &reach(),
            &LogHub::new(),
            &Services::nowhere(),
            &AccountLimits::default(),
        );
        built
            .map(|env| shown(&env.bindings[0].1))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn specs_become_bindings() {
        let check = |spec: BindingSpec, expected: &str| assert_eq!(build(spec, true).unwrap(), expected);
        let text = |value: &str| value.to_owned();
        check(BindingSpec::Text { value: text("a") }, "text a");
        check(BindingSpec::Secret { value: text("s") }, "text s");
        let value = serde_json::json!({"b": 1, "a": [true]});
        check(BindingSpec::Json { value }, r#"json {"b":1,"a":[true]}"#);
        let namespace = NamespaceId::new("n");
        check(BindingSpec::Kv { namespace }, "kv");
        check(BindingSpec::Assets, "fetcher");
        let service = BindingSpec::Service {
            service: text("other"),
            entrypoint: Some(text("Api")),
            props: Some(serde_json::json!({"a": 1})),
        };
        check(service, r#"service Some("Api") Some(Json("{\"a\":1}"))"#);
        check(
            BindingSpec::VersionMetadata,
            r#"json {"id":"7","tag":"","timestamp":"2026-11-21T10:40:00.123Z"}"#,
        );
        let rate_limit = BindingSpec::RateLimit {
            namespace: text("1"),
            limit: 1,
            period_seconds: 10,
        };
        check(rate_limit, "rate limit");
        check(BindingSpec::Analytics { dataset: text("d") }, "analytics");
        check(BindingSpec::WorkerLoader, "loader");
        let unbuilt = UnbuiltBinding {
            kind: "D1 database".into(),
            target: "db".into(),
        };
        check(BindingSpec::Unbuilt(unbuilt), "unbuilt D1 database");
    }

    #[test]
    fn an_environment_ends_exactly_at_its_limits() {
        let check = |texts: &[usize], refused: Option<Limit>| {
            let mut version = version("w", "7");
            version.limits.env_count_max = 3;
            version.limits.env_value_bytes_max = 10;
            version.bindings = vec![("ASSETS".into(), BindingSpec::VersionMetadata)];
            for (index, bytes) in texts.iter().enumerate() {
                let value = "x".repeat(*bytes);
                version
                    .bindings
                    .push((format!("V{index}"), BindingSpec::Text { value }));
            }
            let found = match check_size(&version) {
                Ok(()) => None,
                Err(DeployError::Limit { limit, .. }) => Some(limit),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, refused, "{texts:?}");
        };
        check(&[10, 10, 10], None);
        check(&[10, 11], Some(Limit::EnvironmentValue));
        check(&[0, 0, 0, 0], Some(Limit::EnvironmentCount));
    }

    #[test]
    fn a_binding_that_cannot_be_is_refused_by_name() {
        let check = |spec: BindingSpec, expected: &str| {
            let error = build(spec, false).unwrap_err();
            assert!(error.contains("\"B\"") && error.contains(expected), "{error}");
        };
        check(BindingSpec::Assets, "assets.directory");
    }

    #[test]
    fn timestamps() {
        let check = |ms: u64, expected: &str| assert_eq!(rfc3339(ms), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_709_251_199_000, "2024-02-29T23:59:59.000Z");
        check(4_102_444_800_000, "2100-01-01T00:00:00.000Z");
    }
}
