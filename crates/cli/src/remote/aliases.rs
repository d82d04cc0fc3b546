//! `atoll aliases`: names for a version, or for two with shares.

use super::args::AliasesCommand;
use super::client::Request;
use super::context::{Context, all};
use super::failure::{CommandError, OK, Result, near_miss};
use super::rollout::ON_ITS_WAY;
use super::show::{Table, printable};
use super::versions::{resolve, shown};
use atoll_api::rest::{Alias, PutAlias};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) async fn run(context: &Context, command: &AliasesCommand) -> Result<u8> {
    match command {
        AliasesCommand::List(args) => {
            let target = context.target(&args.worker).await?;
            let aliases: Vec<Alias> = all(&target.client, &target.path(&["aliases"]), None).await?;
            context.print(json!({"worker": target.worker, "aliases": aliases}), || {
                if aliases.is_empty() {
                    return format!(
                        "{} has no aliases: `atoll aliases set ALIAS VERSION` makes one\n",
                        target.worker
                    );
                }
                let mut table = Table::new(&["Alias", "Versions", "Address"]);
                for alias in &aliases {
                    table.row([alias.name.clone(), shown(&alias.versions), alias.urls.join(" ")]);
                }
                table.text()
            });
        }
        AliasesCommand::Set {
            alias, shares, worker, ..
        } => {
            let target = context.target(worker).await?;
            let versions = resolve(&target, shares).await?;
            let request =
                Request::change(Method::PUT, target.path(&["aliases", alias]))?.json(&PutAlias { versions })?;
            let alias: Alias = target.client.call(request).await?;
            context.print(json!({"worker": target.worker, "alias": alias}), || {
                let mut text = format!(
                    "{}:{} is {}\n",
                    target.worker,
                    printable(&alias.name),
                    shown(&alias.versions)
                );
                alias
                    .urls
                    .iter()
                    .for_each(|url| text.push_str(&format!("  {}\n", printable(url))));
                text.push_str(ON_ITS_WAY);
                text
            });
        }
        AliasesCommand::Delete { alias, worker, .. } => {
            let target = context.target(worker).await?;
            let aliases: Vec<Alias> = all(&target.client, &target.path(&["aliases"]), None).await?;
            if !aliases.iter().any(|one| one.name == *alias) {
                let near = near_miss(alias, aliases.iter().map(|one| one.name.as_str()));
                return Err(
                    CommandError::missing(format!("{} has no alias {alias:?}", target.worker))
                        .hint(near.unwrap_or_else(|| "`atoll aliases list` lists them.".to_owned())),
                );
            }
            let _: Value = target
                .client
                .call(Request::change(Method::DELETE, target.path(&["aliases", alias]))?)
                .await?;
            context.print(json!({"worker": target.worker, "deleted": alias}), || {
                format!("the alias {}:{} is gone\n", target.worker, printable(alias))
            });
        }
    }
    Ok(OK)
}
