//! The commands that talk to a control plane: `deploy`, `versions`, `tail`, `kv` and so on, each in a file of its own.
//!
//! All speak REST `/v1` with the types of `atoll_api::rest`. With `--json` a command prints one object on standard output (of
//! what streams, one a line), an error included: `{"error": {"code", "message", "hint", "status"}, "exit"}`. What is said on the
//! way goes to standard error.
//!
//! | exit status | |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | wrong words (the parser's) |
//! | 3 | not logged in, or not allowed |
//! | 4 | what was named is not there |
//! | 5 | something else is in the way: a name that is taken, a state that changed meanwhile |
//! | 6 | the control plane cannot be reached, or is at fault |
//! | 7 | the deployment was rolled back |
//! | 130 | stopped by Ctrl-C |

mod access;
mod aliases;
pub mod args;
mod client;
mod context;
mod credentials;
mod deploy;
mod deployments;
mod failure;
mod fleet;
pub mod input;
mod invoke;
mod kv;
mod login;
mod metrics;
mod place;
mod project;
mod rollout;
mod routes;
mod secret;
mod show;
mod tail;
#[cfg(test)]
mod tests;
mod versions;
mod workers;

pub use args::RemoteCommand;
pub use client::Retries;
pub use input::{Input, SystemInput};

use crate::Surroundings;
use crate::terminal;
use args::{AccountsCommand, RemoteCommand as Command};
use args::{
    AliasesCommand, AuditCommand, BulkCommand, CronsCommand, DeploymentsCommand, DomainsCommand, KeyCommand, KvCommand,
    NamespaceCommand, PopsCommand, RemoteArgs, RoutesCommand, SecretCommand, TokensCommand, VersionsCommand,
    WorkersCommand,
};
use context::{Context, lock};
use failure::{INTERRUPTED, Result};
use std::sync::Arc;

/// Does what the command says. Returns the exit status.
pub async fn run(command: RemoteCommand, around: Surroundings, input: Arc<dyn Input>, retries: Retries) -> u8 {
    let (world, mut inputs) = around.split();
    let context = Context::new(world, input, remote(&command).clone(), retries);
    // The commands' futures are large, and this one is polled beside another.
    let work = Box::pin(dispatch(&context, &command));
    let interrupted = async {
        loop {
            match inputs.recv().await {
                Some(terminal::Input::Interrupt | terminal::Input::Terminate) => return,
                Some(_) => {}
                // Nobody listens to signals any more.
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        result = work => match result {
            Ok(exit) => exit,
            Err(error) => {
                let error = context.explain(error).await;
                context.fail(&error)
            }
        },
        () = interrupted => {
            if let Some(text) = lock(&context.if_interrupted).take() {
                context.note(&format!("\n{text}"));
            }
            INTERRUPTED
        }
    }
}

async fn dispatch(context: &Context, command: &Command) -> Result<u8> {
    match command {
        Command::Login(args) => login::login(context, args).await,
        Command::Logout(args) => login::logout(context, args).await,
        Command::Whoami(_) => login::whoami(context).await,
        Command::Deploy(args) => deploy::run(context, args).await,
        Command::Versions(args) => versions::run(context, &args.command).await,
        Command::Deployments(args) => deployments::run(context, &args.command).await,
        Command::Rollback(args) => deployments::rollback(context, args).await,
        Command::Workers(args) => workers::run(context, &args.command).await,
        Command::Delete(args) => workers::delete(context, args).await,
        Command::Tail(args) => tail::tail(context, args).await,
        Command::Logs(args) => tail::logs(context, args).await,
        Command::Metrics(args) => metrics::run(context, args).await,
        Command::Secret(args) => secret::run(context, &args.command).await,
        Command::Kv(args) => kv::run(context, &args.command).await,
        Command::Routes(args) => routes::routes(context, &args.command).await,
        Command::Domains(args) => routes::domains(context, &args.command).await,
        Command::Aliases(args) => aliases::run(context, &args.command).await,
        Command::Crons(args) => routes::crons(context, &args.command).await,
        Command::Pops(args) => fleet::pops(context, &args.command).await,
        Command::Status(_) => fleet::status(context).await,
        Command::Tokens(args) => access::tokens(context, &args.command).await,
        Command::Audit(args) => access::audit(context, &args.command).await,
        Command::Accounts(args) => access::accounts(context, &args.command).await,
        Command::Invoke(args) => invoke::run(context, args).await,
    }
}

/// Where a command goes.
fn remote(command: &Command) -> &RemoteArgs {
    match command {
        Command::Login(args) => &args.remote,
        Command::Logout(args) => &args.remote,
        Command::Whoami(args) => &args.remote,
        Command::Deploy(args) => &args.upload.remote,
        Command::Versions(args) => match &args.command {
            VersionsCommand::List(args) => &args.remote,
            VersionsCommand::View(args) => &args.remote,
            VersionsCommand::Upload(args) => &args.remote,
            VersionsCommand::Deploy(args) => &args.remote,
        },
        Command::Deployments(args) => match &args.command {
            DeploymentsCommand::List(args) => &args.remote,
            DeploymentsCommand::Status(args) => &args.remote,
        },
        Command::Rollback(args) => &args.remote,
        Command::Workers(args) => match &args.command {
            WorkersCommand::List(args) => &args.remote,
        },
        Command::Delete(args) => &args.remote,
        Command::Tail(args) => &args.remote,
        Command::Logs(args) => &args.remote,
        Command::Metrics(args) => &args.remote,
        Command::Secret(args) => match &args.command {
            SecretCommand::Put(args) => &args.remote,
            SecretCommand::List(args) => &args.remote,
            SecretCommand::Delete(args) => &args.remote,
            SecretCommand::Bulk(args) => &args.remote,
        },
        Command::Kv(args) => match &args.command {
            KvCommand::Namespace { command } => match command {
                NamespaceCommand::Create { remote, .. }
                | NamespaceCommand::Delete { remote, .. }
                | NamespaceCommand::Rename { remote, .. } => remote,
                NamespaceCommand::List(args) => &args.remote,
            },
            KvCommand::Key { command } => match command {
                KeyCommand::Put(args) => &args.remote,
                KeyCommand::Get(args) | KeyCommand::Delete(args) => &args.remote,
                KeyCommand::List(args) => &args.remote,
            },
            KvCommand::Bulk { command } => match command {
                BulkCommand::Put(args) | BulkCommand::Get(args) | BulkCommand::Delete(args) => &args.remote,
            },
        },
        Command::Routes(args) => match &args.command {
            RoutesCommand::List { remote, .. } | RoutesCommand::Delete { remote, .. } => remote,
            RoutesCommand::Set(args) | RoutesCommand::Add(args) => &args.remote,
        },
        Command::Domains(args) => match &args.command {
            DomainsCommand::List(args) => &args.remote,
            DomainsCommand::Add { remote, .. } | DomainsCommand::Delete { remote, .. } => remote,
        },
        Command::Aliases(args) => match &args.command {
            AliasesCommand::List(args) => &args.remote,
            AliasesCommand::Set { remote, .. } | AliasesCommand::Delete { remote, .. } => remote,
        },
        Command::Crons(args) => match &args.command {
            CronsCommand::List(args) | CronsCommand::Clear(args) => &args.remote,
            CronsCommand::Set { remote, .. } => remote,
        },
        Command::Pops(args) => match &args.command {
            PopsCommand::List(args) => &args.remote,
            PopsCommand::JoinToken { remote, .. }
            | PopsCommand::Authority { remote, .. }
            | PopsCommand::Remove { remote, .. } => remote,
        },
        Command::Status(args) => &args.remote,
        Command::Tokens(args) => match &args.command {
            TokensCommand::List(args) => &args.remote,
            TokensCommand::Create(args) => &args.remote,
            TokensCommand::Revoke { remote, .. } => remote,
        },
        Command::Audit(args) => match &args.command {
            AuditCommand::List { remote, .. } | AuditCommand::Verify { remote, .. } => remote,
        },
        Command::Accounts(args) => match &args.command {
            AccountsCommand::List(args) => &args.remote,
            AccountsCommand::Create { remote, .. } | AccountsCommand::View { remote, .. } => remote,
            AccountsCommand::Update(args) => &args.remote,
        },
        Command::Invoke(args) => &args.remote,
    }
}
