//! Tokens, roles, the audit log.

use super::super::context::{Context, Reply, foreign, limit, ok, page};
use super::super::endpoint::{Endpoint, Need};
use super::super::error::ApiError;
use super::told;
use super::versions::number;
use crate::audit::Link;
use crate::catalog::{self, CatalogError, TokenRights};
use crate::tokens::Token;
use atoll_api::rest::{
    AuditEntry, AuditQuery, AuditVerdict, Direction, Empty, Identity, NewToken, NewTokenMade, Page, PutRole, Role,
    TokensQuery, VerifyAudit,
};
use atoll_model::{Action, Permissions, Resource, TenantId, TokenId};
use http::{Method, StatusCode};
use std::time::Duration;

/// The most kept places that one verification takes.
const KEPT_MAX: usize = 1_000;
/// How long a verification may take: it reads the whole log.
const VERIFY_MAX: Duration = Duration::from_secs(300);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new::<Identity, _>(
            Method::GET,
            "/v1/identity",
            "getIdentity",
            "Whom the token stands for, and what it may do.",
            Need::Token,
            identity,
        ),
        Endpoint::list::<atoll_api::rest::Token, _>(
            "/v1/tokens",
            "listTokens",
            "Tokens: what is known of them, never the tokens themselves.",
            Need::Own(Resource::Token, Action::Read),
            tokens,
        )
        .asks::<TokensQuery>(),
        Endpoint::new::<NewTokenMade, _>(
            Method::POST,
            "/v1/tokens",
            "createToken",
            "Makes a token. Its text is in this answer and nowhere else. Nobody can give more than they have.",
            Need::Own(Resource::Token, Action::Write),
            create_token,
        )
        .takes::<NewToken>()
        .creates(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/tokens/{token}",
            "revokeToken",
            "Revokes a token: from now on it stands for nobody.",
            Need::Own(Resource::Token, Action::Write),
            revoke_token,
        )
        .asks::<TokensQuery>(),
        Endpoint::list::<Role, _>(
            "/v1/accounts/{account}/roles",
            "listRoles",
            "Roles by name.",
            Need::Account(Resource::Token, Action::Read),
            roles,
        ),
        Endpoint::new::<Role, _>(
            Method::PUT,
            "/v1/accounts/{account}/roles/{role}",
            "putRole",
            "Makes a role or changes what it may do, also for tokens that have it. Nobody can give more than they have.",
            Need::Account(Resource::Token, Action::Write),
            put_role,
        )
        .takes::<PutRole>(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/accounts/{account}/roles/{role}",
            "deleteRole",
            "Removes a role that no token has.",
            Need::Account(Resource::Token, Action::Write),
            delete_role,
        ),
        Endpoint::list::<AuditEntry, _>(
            "/v1/audit",
            "listAudit",
            "Who changed what, in order.",
            Need::Own(Resource::Audit, Action::Read),
            audit,
        )
        .asks::<AuditQuery>(),
        Endpoint::new::<AuditVerdict, _>(
            Method::POST,
            "/v1/audit/verify",
            "verifyAudit",
            "Walks the whole audit log against its own end and against places that were kept elsewhere.",
            Need::Platform(Resource::Audit, Action::Read),
            verify,
        )
        .takes::<VerifyAudit>()
        .within(VERIFY_MAX),
    ]
}

async fn identity(context: Context) -> Reply {
    ok(&Identity {
        token: context.who.token.to_string(),
        account: context.who.account.as_ref().map(ToString::to_string),
        permissions: context.who.permissions.clone(),
    })
}

async fn tokens(context: Context) -> Reply {
    let query: TokensQuery = context.query()?;
    let account = context.account_of(query.account)?;
    let tokens = context.catalog.tokens(account).await?;
    ok(&Page {
        items: tokens.into_iter().map(told::token).collect(),
        next: None,
    })
}

/// Nobody gives more than they have.
fn need_cover(context: &Context, wanted: &Permissions) -> Result<(), ApiError> {
    if context.who.permissions.cover(wanted) {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "this token cannot give permissions that it does not have itself",
    ))
}

async fn create_token(context: Context) -> Reply {
    let asked: NewToken = context.json()?;
    let account = context.account_of(asked.account)?;
    let rights = match (asked.role, asked.permissions) {
        (Some(role), None) => {
            let account = account
                .clone()
                .ok_or_else(|| ApiError::invalid("roles are of an account; name one"))?;
            let roles = context.catalog.roles(account).await?;
            let found = roles.into_iter().find(|found| found.name == role);
            let found = found.ok_or_else(|| ApiError::not_found(format!("there is no role \"{role}\"")))?;
            need_cover(&context, &found.permissions)?;
            TokenRights::Role(role)
        }
        (None, Some(permissions)) => {
            need_cover(&context, &permissions)?;
            TokenRights::Own(permissions)
        }
        _ => return Err(ApiError::invalid("a token has either a role or permissions")),
    };
    let now_ms = context.state().clock.now_ms();
    let new = catalog::NewToken {
        account,
        name: asked.name,
        rights,
        expires_ms: asked
            .ttl_s
            .map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1_000))),
    };
    let token = Token::generate().map_err(|error| ApiError::internal(error.to_string()))?;
    let done = context.catalog.create_token(&context.caller()?, &token, new).await?;
    let made = NewTokenMade {
        secret: (!done.repeated).then(|| token.expose().to_owned()),
        token: told::token(done.value.clone()),
    };
    context.changed(StatusCode::CREATED, &done, &made)
}

async fn revoke_token(context: Context) -> Reply {
    let query: TokensQuery = context.query()?;
    let account = context.account_of(query.account)?;
    let id = TokenId::new(context.part("token"));
    let done = context.catalog.revoke_token(&context.caller()?, account, id).await?;
    context.changed(StatusCode::OK, &done, &Empty {})
}

async fn roles(context: Context) -> Reply {
    let roles = context.catalog.roles(context.account()).await?;
    let role = |role: catalog::Role| Role {
        name: role.name,
        permissions: role.permissions,
    };
    ok(&Page {
        items: roles.into_iter().map(role).collect(),
        next: None,
    })
}

async fn put_role(context: Context) -> Reply {
    let asked: PutRole = context.json()?;
    need_cover(&context, &asked.permissions)?;
    let role = catalog::Role {
        name: context.part("role").to_owned(),
        permissions: asked.permissions.clone(),
    };
    let done = context
        .catalog
        .set_role(&context.caller()?, context.account(), role.clone())
        .await?;
    let role = Role {
        name: role.name,
        permissions: role.permissions,
    };
    context.changed(StatusCode::OK, &done, &role)
}

async fn delete_role(context: Context) -> Reply {
    let (account, caller, role) = (context.account(), context.caller()?, context.part("role").to_owned());
    let done = context.catalog.delete_role(&caller, account, role).await?;
    context.changed(StatusCode::OK, &done, &Empty {})
}

async fn audit(context: Context) -> Reply {
    let query: AuditQuery = context.query()?;
    let account = match (query.account.map(TenantId::new), &context.who.account) {
        (Some(named), Some(own)) if named != *own => return Err(foreign(&named)),
        (named, own) => named.or_else(|| own.clone()),
    };
    let (limit, after) = (limit(query.limit)?, number(query.after)?);
    let records = match query.direction {
        None | Some(Direction::Asc) => context.catalog.audit(account, after.unwrap_or(0), limit + 1).await?,
        Some(Direction::Desc) => {
            let before = after.unwrap_or(u64::MAX);
            context.catalog.audit_back(account, before, limit + 1).await?
        }
    };
    let records = records.into_iter().map(told::audit).collect();
    ok(&page(records, limit, |entry: &AuditEntry| entry.number.to_string()))
}

async fn verify(context: Context) -> Reply {
    let asked: VerifyAudit = context.json()?;
    if asked.kept.len() > KEPT_MAX {
        return Err(ApiError::invalid(format!(
            "at most {KEPT_MAX} kept places are compared at a time"
        )));
    }
    let kept = asked
        .kept
        .iter()
        .map(|link| link.parse::<Link>())
        .collect::<Result<Vec<_>, _>>();
    let kept = kept.map_err(ApiError::invalid)?;
    let verdict = match context.catalog.verify_audit(kept).await {
        Ok(head) => AuditVerdict {
            intact: true,
            head: Some(head.to_string()),
            broken: None,
        },
        Err(CatalogError::Audit(broken)) => {
            tracing::error!(%broken, "the audit log is not what was written");
            AuditVerdict {
                intact: false,
                head: None,
                broken: Some(broken.to_string()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    ok(&verdict)
}
