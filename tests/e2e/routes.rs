//! What routes use, as a platform of real processes tells it: requests, CPU, network and cache by route, from isolates in the PoP
//! and from such in its children.

use super::up::{LOOK, PATIENCE, Up};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::time::Instant;

/// Requests by each way.
const ROUNDS: u64 = 4;
/// Burns CPU, at once or when a version has taken its place; asks the cache, which misses once and then hits; asks the network, which refuses; does nothing.
const WORKER: &str = r#"
async function answer(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/late") await scheduler.wait(1_000);
  if (pathname === "/burn" || pathname === "/late") {
    let sum = 0;
    for (let i = 0; i < 20_000_000; i++) sum = (sum * 31 + i) | 0;
    return new Response("burnt " + sum);
  }
  if (pathname === "/cached") {
    const key = new Request("https://shop.test/kept");
    if (!(await caches.default.match(key))) {
      await caches.default.put(key, new Response("kept", { headers: { "cache-control": "max-age=600" } }));
    }
    await fetch("http://192.0.2.1/").catch(() => {});
    return new Response("cached");
  }
  return new Response("quick");
}
export default { fetch: answer };
"#;

/// Counts of one series over all its points.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    requests: u64,
    cpu_us: u64,
    subrequests: u64,
    hits: u64,
    misses: u64,
}

impl Sum {
    fn of(series: Option<&Value>) -> Self {
        let points = series.and_then(|series| series["points"].as_array());
        points.into_iter().flatten().fold(Self::default(), |sum, point| {
            let more = |name: &str| point[name].as_u64().unwrap_or(0);
            Self {
                requests: sum.requests + more("requests"),
                cpu_us: sum.cpu_us + more("cpu_us"),
                subrequests: sum.subrequests + more("subrequests"),
                hits: sum.hits + more("cache_hits"),
                misses: sum.misses + more("cache_misses"),
            }
        })
    }
}

/// Asks the worker through two routes and by its own name, and looks until the control plane has been told of it all.
async fn used(isolation: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let up = Up::start_in(directory.path(), isolation).await?;
    let version = up.upload("shop", WORKER).await?;
    up.deploy("shop", &[(&version, 100.0)], true).await?;
    up.all_say("shop", "quick").await?;
    let routes = json!({"patterns": ["shop.test/burn", "shop.test/cached", "shop.test/late"]});
    up.json("PUT", "/v1/accounts/main/workers/shop/routes", routes).await?;
    let pop = up.pops[0];
    let begun = Instant::now();
    for (path, says) in [("/burn", "burnt"), ("/cached", "cached")] {
        let mut told = 0;
        while told < ROUNDS {
            match up.get(pop, "shop.test", path).await? {
                (200, text) if text.starts_with(says) => told += 1,
                // The PoP does not know the routes yet.
                (404, _) if told == 0 && begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                other => bail!("{path}: {other:?}"),
            }
        }
    }
    // Another version takes the place of the one that has this request.
    let other = up.upload("shop", &format!("// Another one.\n{WORKER}")).await?;
    let late = up.get(pop, "shop.test", "/late");
    let deploy = async {
        tokio::time::sleep(LOOK * 5).await;
        up.deploy("shop", &[(&other, 100.0)], true).await
    };
    let (late, _) = tokio::try_join!(late, deploy)?;
    if late.0 != 200 {
        bail!("/late: {late:?}");
    }
    let begun = Instant::now();
    loop {
        // More turns, so that what the last one used is told, too; by no route.
        up.get(pop, "shop.main.localhost", "/").await?;
        let by_route = up
            .json("GET", "/v1/accounts/main/metrics?by=route", Value::Null)
            .await?;
        let all = up
            .json("GET", "/v1/accounts/main/metrics?by=worker", Value::Null)
            .await?;
        let sum_of = |route: &str| {
            let series = by_route["series"].as_array();
            Sum::of(series.and_then(|all| all.iter().find(|series| series["route"] == route)))
        };
        let [burn, cached, late] = ["burn", "cached", "late"].map(|path| sum_of(&format!("shop.test/{path}")));
        let total = Sum::of(all["series"].get(0));
        let counted = Sum {
            cpu_us: cached.cpu_us,
            ..cached
        } == Sum {
            requests: ROUNDS,
            cpu_us: cached.cpu_us,
            subrequests: ROUNDS,
            hits: ROUNDS - 1,
            misses: 1,
        };
        let burnt = burn.requests == ROUNDS && burn.subrequests + burn.hits + burn.misses == 0;
        // Most of the worker's CPU is the loops', and none of it is told twice.
        let shares = burn.cpu_us > total.cpu_us / 4 && burn.cpu_us > 4 * cached.cpu_us && cached.cpu_us > 0;
        let late_too = late.requests == 1 && late.cpu_us > burn.cpu_us / ROUNDS / 4;
        let whole = burn.cpu_us + cached.cpu_us + late.cpu_us <= total.cpu_us && total.requests > 2 * ROUNDS;
        if counted && burnt && shares && whole && late_too {
            println!("{isolation}: burn {burn:?}, cached {cached:?}, late {late:?}, the worker {total:?}");
            break;
        }
        if begun.elapsed() > PATIENCE {
            bail!("{isolation}: burn {burn:?}, cached {cached:?}, late {late:?}, the worker {total:?}");
        }
        tokio::time::sleep(LOOK * 10).await;
    }
    let metrics = up.metrics_of_pop(0).await?;
    for name in [
        "atoll_route_cpu_seconds_total",
        "atoll_route_subrequests_total",
        "atoll_route_cache_operations_total",
    ] {
        let row = format!("{name}{{account=\"main\",worker=\"shop\",route=\"shop.test/burn\"");
        if !metrics.contains(&row) {
            bail!("{isolation}: /metrics has no {row}");
        }
    }
    up.stop().await
}

/// With isolates in the PoP's own process.
pub async fn used_in_the_pop() -> Result<()> {
    Box::pin(used("shared")).await
}

/// With isolates in children, which say of each piece whose it was.
pub async fn used_in_children() -> Result<()> {
    Box::pin(used("cordon")).await
}
