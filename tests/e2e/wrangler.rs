//! wrangler from npm, unmodified, against a platform of three PoPs: the commands of `tests/wrangler/table.rs`, what each says, what the
//! API has afterwards, and what every PoP serves.

#[path = "../wrangler/table.rs"]
mod table;

use super::up::Up;
use crate::runner::client;
use crate::runner::format::Protocol;
use crate::runner::server::repository;
use anyhow::{Context, Result};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use table::{Pops, Target};

/// The account that a platform begins with.
const ACCOUNT: &str = "main";

async fn ask(pop: SocketAddr, host: &str, path: &str) -> Result<(u16, String)> {
    let request = http::Request::get(path)
        .header("host", host)
        .body(client::whole(Vec::new()))?;
    let answer = client::send(pop, Protocol::Http1, request).await?;
    let (head, body) = answer.response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

impl Pops for Up {
    async fn cause(&self) -> Result<()> {
        // A path that no asset has: those are served without the worker, and a tail shows nothing of them.
        for pop in &self.pops {
            ask(*pop, &format!("shop.{ACCOUNT}.localhost"), "/event").await?;
        }
        Ok(())
    }

    async fn answers(&self, host: &str, path: &str) -> Result<Vec<(u16, String)>> {
        let mut answers = Vec::new();
        for pop in &self.pops {
            let answer = ask(*pop, host, path).await;
            answers.push(answer.with_context(|| format!("PoP {pop}, {host}{path}"))?);
        }
        Ok(answers)
    }
}

/// The whole table.
pub async fn table_of_commands() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let up = Up::start(directory.path()).await?;
    let target = Target {
        base: format!("http://{}/client/v4", up.api),
        token: up.token.clone(),
        account: ACCOUNT.to_owned(),
    };
    table::run(&repository().join("tests/wrangler"), &target, &up).await?;
    up.stop().await
}
