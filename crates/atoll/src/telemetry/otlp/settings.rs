//! OpenTelemetry's variables, as far as they are understood here.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// How long one attempt may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise (the specification's default).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where telemetry goes, and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) traces_url: String,
    pub(super) logs_url: String,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// See [`super::Otlp`].
    pub(super) sampled_below: u64,
    /// `service.name` and whatever else says who sends.
    pub(super) resource: Vec<(String, String)>,
}

impl Settings {
    /// What the environment says: `None` without an endpoint, or if it switches telemetry off. The error names the variable.
    ///
    /// - `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`
    /// - `OTEL_EXPORTER_OTLP_HEADERS` (`key=value,key=value`), `OTEL_EXPORTER_OTLP_TIMEOUT` (milliseconds)
    /// - `OTEL_EXPORTER_OTLP_PROTOCOL`: `http/protobuf` alone
    /// - `OTEL_TRACES_SAMPLER` (`always_on`, `always_off`, `traceidratio`, each also with `parentbased_` before it, which is what all
    ///   mean: a parent has decided already) and `OTEL_TRACES_SAMPLER_ARG`
    /// - `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SDK_DISABLED`
    pub(crate) fn from_env() -> Result<Option<Self>, String> {
        Self::parse(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// As [`Settings::from_env`], for tests: what cannot be read is none.
    #[cfg(test)]
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Self::parse(variable).ok().flatten()
    }

    /// To one address, with the defaults for the rest.
    #[cfg(test)]
    pub(super) fn at(endpoint: &str) -> Self {
        let endpoint = endpoint.to_owned();
        let found = Self::read(move |name| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.clone()));
        found.expect("an endpoint is all that is needed")
    }

    /// With these among what says who sends, as far as the environment does not say it itself.
    pub(crate) fn sent_by(mut self, who: &[(&str, &str)]) -> Self {
        for (key, value) in who {
            if !value.is_empty() && !self.resource.iter().any(|(known, _)| known == key) {
                self.resource.push(((*key).to_owned(), (*value).to_owned()));
            }
        }
        self
    }

    fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
        let below = |path: &str| {
            base.as_ref()
                .map(|base| format!("{}/{path}", base.trim_end_matches('/')))
        };
        let traces = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| below("v1/traces"));
        let logs = variable("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT").or_else(|| below("v1/logs"));
        let Some(traces_url) = traces.or_else(|| logs.clone()) else {
            return Ok(None);
        };
        let logs_url = logs.unwrap_or_else(|| traces_url.clone());
        for url in [&traces_url, &logs_url] {
            let fits = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !fits {
                return Err(format!(
                    "OTEL_EXPORTER_OTLP_ENDPOINT: \"{url}\" is no http or https URL; it is the collector's, such as http://127.0.0.1:4318"
                ));
            }
        }
        if let Some(protocol) = variable("OTEL_EXPORTER_OTLP_PROTOCOL")
            && protocol != "http/protobuf"
        {
            return Err(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL: \"{protocol}\" is not spoken here; http/protobuf is (a collector's port 4318)"
            ));
        }
        let timeout = match variable("OTEL_EXPORTER_OTLP_TIMEOUT") {
            None => TIMEOUT,
            Some(text) => match text.parse() {
                Ok(ms) if ms > 0 => Duration::from_millis(ms),
                _ => {
                    return Err(format!(
                        "OTEL_EXPORTER_OTLP_TIMEOUT: \"{text}\" is no number of milliseconds"
                    ));
                }
            },
        };
        let mut headers = HeaderMap::new();
        for (key, value) in pairs("OTEL_EXPORTER_OTLP_HEADERS", variable("OTEL_EXPORTER_OTLP_HEADERS"))? {
            let name = HeaderName::try_from(&key);
            let value = HeaderValue::try_from(&value);
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(format!(
                    "OTEL_EXPORTER_OTLP_HEADERS: \"{key}\" and its value are no header"
                ));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut resource = pairs("OTEL_RESOURCE_ATTRIBUTES", variable("OTEL_RESOURCE_ATTRIBUTES"))?;
        if let Some(name) = variable("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name));
        } else if !resource.iter().any(|(key, _)| key == "service.name") {
            resource.push(("service.name".to_owned(), "atoll".to_owned()));
        }
        resource.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        Ok(Some(Self {
            traces_url,
            logs_url,
            headers,
            timeout,
            sampled_below: sampler(variable("OTEL_TRACES_SAMPLER"), variable("OTEL_TRACES_SAMPLER_ARG"))?,
            resource,
        }))
    }
}

/// `key=value,key=value`, values percent-encoded (W3C Baggage, without its properties).
fn pairs(name: &str, text: Option<String>) -> Result<Vec<(String, String)>, String> {
    let text = text.unwrap_or_default();
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pair = |item: &str| {
        let (key, value) = item
            .split_once('=')
            .ok_or_else(|| format!("{name}: \"{item}\" is not KEY=VALUE"))?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy();
        Ok((key.trim().to_owned(), value.into_owned()))
    };
    items.map(pair).collect()
}

/// The share of traces that begin here and are recorded, of `u64::MAX`.
fn sampler(name: Option<String>, argument: Option<String>) -> Result<u64, String> {
    let name = name.unwrap_or_default();
    match name.strip_prefix("parentbased_").unwrap_or(&name) {
        "" | "always_on" => Ok(u64::MAX),
        "always_off" => Ok(0),
        "traceidratio" => {
            let text = argument.unwrap_or_else(|| "1".to_owned());
            let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            let ratio = ratio.ok_or_else(|| {
                format!("OTEL_TRACES_SAMPLER_ARG: \"{text}\" is no share of the traces, which is 0 to 1")
            })?;
            // Rounds at the ends: all is all.
            Ok((ratio * u64::MAX as f64) as u64)
        }
        _ => Err(format!(
            "OTEL_TRACES_SAMPLER: \"{name}\" is not known; always_on, always_off and traceidratio are, and parentbased_ before each"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::parse(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");

    #[test]
    fn without_an_endpoint_there_is_nothing() {
        assert!(of(&[]).unwrap().is_none());
        assert!(of(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
    }

    #[test]
    fn what_the_variables_say() {
        let settings = of(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,region=eu"),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.traces_url, "http://c:4318/v1/traces");
        assert_eq!(settings.logs_url, "https://logs/x");
        assert_eq!(settings.headers["api-key"], "a b");
        assert_eq!(settings.timeout, Duration::from_millis(250));
        let names: Vec<&str> = settings.resource.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(names[..2], ["eu", "shop"]);
        assert!(settings.sampled_below.abs_diff(u64::MAX / 2) < 1 << 20);
        assert_eq!(of(&[ENDPOINT]).unwrap().unwrap().sampled_below, u64::MAX);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let check = |name: &str, value: &str| {
            let error = of(&[ENDPOINT, (name, value)]).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        };
        check("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        check("OTEL_EXPORTER_OTLP_TIMEOUT", "soon");
        check("OTEL_EXPORTER_OTLP_HEADERS", "novalue");
        check("OTEL_EXPORTER_OTLP_HEADERS", "a b=c");
        check("OTEL_TRACES_SAMPLER", "sometimes");
        let ratio = of(&[
            ENDPOINT,
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ]);
        assert!(ratio.unwrap_err().starts_with("OTEL_TRACES_SAMPLER_ARG"));
        assert!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")]).is_err());
    }
}
