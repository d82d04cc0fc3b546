//! What the configuration says of addresses and times, applied to a worker that is there.
//!
//! A key that the configuration does not have leaves what is deployed as it is.

use crate::config::DeployKeys;
use crate::remote::client::Request;
use crate::remote::context::Target;
use crate::remote::failure::Result;
use crate::remote::routes;
use atoll_api::rest::{ChangeWorker, Worker};
use reqwest::Method;

/// Applies them. Gives back the lines that tell of it.
pub(crate) async fn apply(target: &Target, keys: &DeployKeys) -> Result<Vec<String>> {
    let mut told = Vec::new();
    let change = ChangeWorker {
        subdomain: keys.workers_dev,
        previews: keys.preview_urls,
    };
    if change != ChangeWorker::default() {
        let request = Request::change(Method::PATCH, target.path(&[]))?.json(&change)?;
        let _: Worker = target.client.call(request).await?;
    }
    if let Some(crons) = &keys.crons
        && routes::get_crons(target).await? != *crons
    {
        routes::set_crons(target, crons.clone()).await?;
        told.push(match crons.is_empty() {
            true => "runs at no set times any more".to_owned(),
            false => format!("runs at {}", crons.join(", ")),
        });
    }
    if let Some(patterns) = &keys.routes {
        routes::set(target, patterns.clone()).await?;
        if !patterns.is_empty() {
            told.push(format!("routes: {}", patterns.join(", ")));
        }
    }
    for domain in &keys.domains {
        routes::put_domain(target, domain).await?;
        told.push(format!("domain: {domain}"));
    }
    Ok(told)
}
