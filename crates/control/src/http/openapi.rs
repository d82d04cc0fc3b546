//! The OpenAPI 3.1 document, made from the table of endpoints and the types of [`atoll_api::rest`].

use super::endpoint::{Answer, BodyRule, Endpoint, Need, Shape};
use super::routes;
use atoll_api::rest;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder, Schema,
    path::PathItem,
};
use utoipa::{PartialSchema, ToSchema};

const ABOUT: &str = "The control plane of Atoll. Times are milliseconds since the Unix epoch, sizes are bytes, shares are percent. \
    A change may carry an idempotency-key: sent again within a day it does nothing and answers the same. \
    Every answer has an x-request-id, under which the control plane's log has the request.";

type Schemas = BTreeMap<String, RefOr<Schema>>;

fn reference(shape: &Shape, schemas: &mut Schemas) -> RefOr<Schema> {
    let mut within = Vec::new();
    (shape.within)(&mut within);
    schemas.extend(within);
    schemas.insert(shape.name.clone(), shape.schema.clone());
    RefOr::Ref(Ref::from_schema_name(&shape.name))
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).build().into()
}

/// An idempotency key: 1 to 255 printable ASCII characters.
fn key() -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[\\x20-\\x7e]+$"));
    schema.build().into()
}

fn permission(need: Need) -> Option<String> {
    let words = |resource: atoll_model::Resource, action: atoll_model::Action| {
        atoll_model::Permission::on(resource, action).to_string()
    };
    match need {
        Need::Nobody => None,
        Need::Token => Some("Needs a valid token.".to_owned()),
        Need::Account(resource, action) | Need::Own(resource, action) => {
            Some(format!("Needs `{}`.", words(resource, action)))
        }
        Need::SomeWorker(resource, action) => {
            Some(format!("Needs `{}`, for one worker at least.", words(resource, action)))
        }
        Need::Platform(resource, action) => Some(format!(
            "Needs `{}`, of one of the platform's own tokens.",
            words(resource, action)
        )),
    }
}

fn method(endpoint: &Endpoint) -> HttpMethod {
    match endpoint.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// The document.
pub fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut within = Vec::new();
    rest::ErrorBody::schemas(&mut within);
    schemas.extend(within);
    schemas.insert(rest::ErrorBody::name().into_owned(), rest::ErrorBody::schema());
    let error = RefOr::Ref(Ref::from_schema_name(rest::ErrorBody::name()));
    let mut paths = PathsBuilder::new();
    for endpoint in routes::all() {
        let about = match permission(endpoint.need) {
            Some(permission) => format!("{}\n\n{permission}", endpoint.about),
            None => endpoint.about.to_owned(),
        };
        let content = match &endpoint.gives {
            Answer::Json(shape) => ("application/json", Some(reference(shape, &mut schemas))),
            Answer::Lines(shape) => ("application/x-ndjson", Some(reference(shape, &mut schemas))),
            Answer::Other(kind) => (*kind, None),
        };
        let header = |about: &str| {
            HeaderBuilder::new()
                .schema(Some(text()))
                .description(Some(about))
                .build()
        };
        let answer = ResponseBuilder::new()
            .description("Done.")
            .header(
                rest::REQUEST_ID,
                header("Names the request in the control plane's log."),
            )
            .content(content.0, ContentBuilder::new().schema(content.1).build());
        let refused = ResponseBuilder::new().description("Not done.").content(
            "application/json",
            ContentBuilder::new().schema(Some(error.clone())).build(),
        );
        let mut operation = OperationBuilder::new()
            .operation_id(Some(endpoint.id))
            .tag(endpoint.tag)
            .summary(Some(
                endpoint
                    .about
                    .split(". ")
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('.'),
            ))
            .description(Some(about))
            .response(endpoint.status.as_str(), answer.build())
            .response("default", refused.build());
        for part in endpoint.path.split('/') {
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            if let Some(name) = name {
                let parameter = ParameterBuilder::new()
                    .name(name.trim_start_matches('*'))
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(text()));
                operation = operation.parameter(parameter.build());
            }
        }
        for parameter in &endpoint.query {
            operation = operation.parameter(parameter.clone());
        }
        if endpoint.method != http::Method::GET {
            let parameter = ParameterBuilder::new()
                .name(rest::IDEMPOTENCY_KEY)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some("Names the request, so that it is done once."))
                .schema(Some(key()));
            operation = operation.parameter(parameter.build());
        }
        let body = match (&endpoint.takes, endpoint.body) {
            (Some(shape), _) => Some(("application/json", Some(reference(shape, &mut schemas)))),
            (None, BodyRule::Raw(_) | BodyRule::Stream) => Some(("application/octet-stream", None)),
            (None, _) => None,
        };
        operation = operation.request_body(body.map(|(kind, schema)| {
            RequestBodyBuilder::new()
                .content(kind, ContentBuilder::new().schema(schema).build())
                .build()
        }));
        if endpoint.need != Need::Nobody {
            operation = operation.security(SecurityRequirement::new("token", Vec::<String>::new()));
        }
        let path = endpoint.path.replace("{*", "{");
        paths = paths.path(path, PathItem::new(method(&endpoint), operation.build()));
    }
    let mut components = ComponentsBuilder::new();
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Atoll")
                .version("1")
                .description(Some(ABOUT))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.security_scheme("token", scheme).build()))
        .build()
}

/// The document as text, made once.
pub(super) fn text_of_document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    // The document is of our own making: it can be written.
    TEXT.get_or_init(|| document().to_pretty_json().unwrap_or_default())
}
