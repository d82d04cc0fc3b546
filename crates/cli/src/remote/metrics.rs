//! `atoll metrics`: what workers did and used, from the control plane's counts.

use super::args::{MetricsArgs, MetricsBy};
use super::client::{Request, path};
use super::context::Context;
use super::failure::{OK, Result};
use super::show::{Table, bytes, human, time};
use atoll_api::rest::{MetricPoint, MetricSeries, Metrics, MetricsQuery};
use serde_json::json;
use std::time::Duration;

pub(crate) async fn run(context: &Context, args: &MetricsArgs) -> Result<u8> {
    let client = context.client()?;
    let account = context.account(&client).await?;
    let by = match args.by.is_empty() {
        true => vec![MetricsBy::Worker],
        false => args.by.clone(),
    };
    let words: Vec<&str> = by.iter().map(|by| by.word()).collect();
    let query = MetricsQuery {
        worker: args.name.clone(),
        from_ms: Some(args.since.at(context.world.clock.now_ms())),
        by: Some(words.join(",")),
        ..MetricsQuery::default()
    };
    let request = Request::get(path(&["accounts", &account, "metrics"])).query(&query)?;
    let metrics: Metrics = client.call(request).await?;
    context.print(json!(metrics), || table(&metrics, &by));
    Ok(OK)
}

fn table(metrics: &Metrics, by: &[MetricsBy]) -> String {
    if metrics.series.is_empty() {
        return "nothing was counted in that time (--since looks further back, up to six hours)\n".to_owned();
    }
    let mut headings: Vec<&str> = by.iter().map(|by| by.heading()).collect();
    headings.extend([
        "Requests",
        "5xx",
        "Exceptions",
        "Limits",
        "p50",
        "p99",
        "CPU",
        "Cold",
        "Memory",
        "Network",
        "Cache hits",
    ]);
    let mut shown = Table::new(&headings);
    // Without a step the API tells one point for all of the time.
    let points = metrics.series.iter().filter_map(|one| Some((one, one.points.first()?)));
    let mut series: Vec<(&MetricSeries, &MetricPoint)> = points.collect();
    // What is asked for most comes first.
    series.sort_by_key(|(_, point)| std::cmp::Reverse(point.requests));
    for (one, point) in &series {
        let mut cells: Vec<String> = by.iter().map(|by| by.of(one)).collect();
        let status = |class: usize| point.statuses.get(class - 1).copied().unwrap_or(0);
        let at = |share: f64| quantile(&metrics.latency_bounds_ms, &point.latency, share);
        let asked = point.cache_hits + point.cache_misses;
        cells.extend([
            point.requests.to_string(),
            status(5).to_string(),
            point.exceptions.to_string(),
            point.limits.to_string(),
            at(0.5),
            at(0.99),
            human(Duration::from_micros(point.cpu_us)),
            point.cold_starts.to_string(),
            // It is nobody's by route.
            if by.contains(&MetricsBy::Route) {
                "-".to_owned()
            } else {
                bytes(point.memory_bytes)
            },
            point.subrequests.to_string(),
            if asked == 0 {
                "-".to_owned()
            } else {
                format!("{} of {asked}", point.cache_hits)
            },
        ]);
        shown.row_of(&cells);
    }
    format!(
        "{}\nfrom {} to {} UTC; p50 and p99: no longer than this\n",
        shown.text(),
        time(metrics.from_ms),
        time(metrics.to_ms)
    )
}

/// The bound below which so large a share of the counts lies: `20 ms`, `> 10000 ms`, `-` of nothing.
fn quantile(bounds_ms: &[u64], counts: &[u64], share: f64) -> String {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return "-".to_owned();
    }
    let wanted = (all as f64 * share).ceil() as u64;
    let mut seen = 0;
    let at = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    match at.and_then(|at| bounds_ms.get(at)) {
        Some(bound) => format!("{bound} ms"),
        None => format!("> {} ms", bounds_ms.last().copied().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        fn check(counts: &[u64], share: f64, expected: &str) {
            assert_eq!(quantile(&[1, 2, 5], counts, share), expected, "{counts:?} {share}");
        }
        check(&[], 0.5, "-");
        check(&[0, 0, 0, 0], 0.5, "-");
        check(&[1, 0, 0, 0], 0.5, "1 ms");
        check(&[50, 49, 0, 1], 0.5, "1 ms");
        check(&[50, 49, 0, 1], 0.99, "2 ms");
        check(&[50, 49, 0, 2], 0.99, "> 5 ms");
        check(&[0, 1, 1, 0], 0.5, "2 ms");
    }
}
