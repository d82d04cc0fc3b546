//! Local triggers: a developer fires the `scheduled` handler by a URL.
//!
//! `/cdn-cgi/handler/scheduled?cron=&time=&format=json` as `wrangler dev` has it, and its older `/__scheduled?cron=`.

use crate::body::EdgeBody;
use crate::fault;
use crate::identify::Client;
use atoll_stdx::Clock;
use atoll_worker::{Fault, FaultKind, Outcome, ScheduledEvent};
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

/// A request for a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    cron: String,
    time: Option<String>,
    json: bool,
}

/// The trigger that `url` (absolute) names, if it names one.
pub(crate) fn parse(url: &str) -> Option<Trigger> {
    let after_scheme = url.split_once("://")?.1;
    let target = &after_scheme[after_scheme.find('/')?..];
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !matches!(path, "/cdn-cgi/handler/scheduled" | "/__scheduled") {
        return None;
    }
    let (mut cron, mut time, mut json) = (None, None, false);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match &*form_decode(name) {
            "cron" if cron.is_none() => cron = Some(form_decode(value)),
            "time" if time.is_none() && !value.is_empty() => time = Some(form_decode(value)),
            "format" => json = form_decode(value) == "json",
            _ => {}
        }
    }
    Some(Trigger {
        cron: cron.unwrap_or_default(),
        time,
        json,
    })
}

/// `application/x-www-form-urlencoded` (URL Standard section 5.1).
fn form_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let hex = |byte: u8| (byte as char).to_digit(16);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let value = hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0);
                bytes.push(value as u8);
                rest = tail;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Trigger {
    /// The event it stands for. A `time` that is no number of milliseconds is the caller's mistake.
    pub(crate) fn event(&self, clock: &dyn Clock) -> Result<ScheduledEvent, String> {
        let scheduled_ms = match &self.time {
            None => clock.now_ms(),
            Some(time) => time
                .parse()
                .map_err(|_| format!("time={time:?} is not a number of milliseconds since 1970"))?,
        };
        Ok(ScheduledEvent {
            cron: self.cron.clone(),
            scheduled_ms,
        })
    }

    /// The answer to a handler that ran, threw, or (as JSON, which programs read) is missing. `None` for what is no
    /// handler's doing.
    pub(crate) fn answer(&self, outcome: &Result<Outcome, Fault>, client: &Client) -> Option<Response<EdgeBody>> {
        let (status, word, no_retry) = match outcome {
            Ok(Outcome::Scheduled { no_retry }) => (StatusCode::OK, "ok", *no_retry),
            Err(fault) if fault.kind == FaultKind::Exception => (StatusCode::INTERNAL_SERVER_ERROR, "exception", false),
            Err(fault) if fault.kind == FaultKind::NoHandler && self.json => {
                (StatusCode::INTERNAL_SERVER_ERROR, "exception", true)
            }
            _ => return None,
        };
        let body = if self.json {
            format!(r#"{{"outcome":"{word}","noRetry":{no_retry}}}"#)
        } else {
            word.to_owned()
        };
        let mut response = fault::text(status, client, body);
        if self.json {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_triggers() {
        let check = |url: &str, expected: Option<(&str, Option<&str>, bool)>| {
            let expected = expected.map(|(cron, time, json)| Trigger {
                cron: cron.into(),
                time: time.map(Into::into),
                json,
            });
            assert_eq!(parse(url), expected, "{url}");
        };
        check("http://h/cdn-cgi/handler/scheduled", Some(("", None, false)));
        check(
            "http://h/cdn-cgi/handler/scheduled?cron=*+*+%2A%20*+*&time=1700&format=json",
            Some(("* * * * *", Some("1700"), true)),
        );
        check("http://h:1/__scheduled?cron=%zz", Some(("%zz", None, false)));
        check("http://h/__scheduled?cron=%E2%82", Some(("\u{fffd}", None, false)));
        check("http://h/cdn-cgi/handler/scheduled/", None);
        check("http://h/?/__scheduled", None);
        check("http://h/", None);
    }
}
