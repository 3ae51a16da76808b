//! The OpenAPI document, made from the endpoints themselves.
//!
//! [`guarded`] registers an endpoint that takes a [`Caller`](crate::caller::Caller) and writes its
//! permission into the document from the caller's type, so neither can be forgotten nor differ;
//! [`open`] registers one for everybody.

use std::sync::Arc;

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use http::header;
use preloop_api_types::ErrorBody;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, Info, OpenApi, Ref, RefOr, Required, ResponseBuilder,
        extensions::Extensions,
        path::{Operation, Parameter, ParameterIn, PathItem},
        schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    App,
    caller::{Access, Caller, Needs, Visitor},
    error::ApiError,
};

/// Registers a protected endpoint: its first argument must be a `Caller`.
macro_rules! guarded {
    ($handler:ident) => {
        $crate::openapi::guard(&$handler, utoipa_axum::routes!($handler))
    };
}

/// Registers an endpoint for everybody: its first argument must be a `Visitor`.
macro_rules! open {
    ($handler:ident) => {
        $crate::openapi::publish(&$handler, utoipa_axum::routes!($handler))
    };
}

pub(crate) use {guarded, open};

/// An endpoint that takes a [`Caller`] first.
pub(crate) trait Guarded<Args> {
    /// Who is let in.
    const ACCESS: Access;
}

/// An endpoint that takes a [`Visitor`] first.
pub(crate) trait Open<Args> {}

macro_rules! endpoints {
    ($(($($arg:ident)*))*) => {$(
        impl<Call, Fut, P: Needs, $($arg,)*> Guarded<(Caller<P>, $($arg,)*)> for Call
        where
            Call: Fn(Caller<P>, $($arg,)*) -> Fut,
        {
            const ACCESS: Access = P::ACCESS;
        }

        impl<Call, Fut, $($arg,)*> Open<(Visitor, $($arg,)*)> for Call where Call: Fn(Visitor, $($arg,)*) -> Fut {}
    )*};
}

endpoints! { () (A) (A B) (A B C) }

pub(crate) fn guard<Args, H: Guarded<Args>>(_: &H, mut routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    describe(&mut routes, |operation| {
        let (key, value) = H::ACCESS.documented();
        operation.security = Some(vec![SecurityRequirement::new("bearer", [value])]);
        extend(operation, key, value);
        fails(operation, &[401, 403]);
    });
    routes
}

pub(crate) fn publish<Args, H: Open<Args>>(_: &H, mut routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    describe(&mut routes, |operation| {
        operation.security = Some(Vec::new());
        extend(operation, "x-public", "true");
    });
    routes
}

fn extend(operation: &mut Operation, name: &str, value: &str) {
    let extension = Extensions::builder().add(name, value).build();
    operation.extensions.get_or_insert_default().merge(extension);
}

/// Adds what all endpoints have in common.
fn describe(routes: &mut UtoipaMethodRouter<App>, each: impl Fn(&mut Operation)) {
    for (path, item) in &mut routes.1.paths {
        for operation in operations(item) {
            each(operation);
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            let name = operation.operation_id.take().unwrap_or_default();
            operation.operation_id = Some(format!("{tag}_{name}").replace('-', "_"));
            ids_in_path(path, operation);
            fails(operation, &[400, 404, 409, 413, 422, 429, 500, 502, 503]);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// Parameters of the path that the endpoint did not describe are ids.
fn ids_in_path(path: &str, operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    for name in path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')) {
        let described = parameters.iter().any(|parameter| match parameter {
            RefOr::T(parameter) => parameter.name == name,
            RefOr::Ref(_) => false,
        });
        if !described {
            let uuid = ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
                .build();
            parameters.push(
                Parameter::builder()
                    .name(name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(uuid))
                    .build()
                    .into(),
            );
        }
    }
}

fn fails(operation: &mut Operation, codes: &[u16]) {
    for code in codes {
        let meaning = StatusCode::from_u16(*code).ok().and_then(|code| code.canonical_reason()).unwrap_or("Error");
        let content = Content::builder().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let response = ResponseBuilder::new().description(meaning).content("application/json", content).build();
        operation.responses.responses.entry(code.to_string()).or_insert_with(|| response.into());
    }
}

/// The routes, and the whole document.
pub(crate) fn finish(router: OpenApiRouter<App>) -> (Router<App>, OpenApi) {
    let (router, mut document) = router.split_for_parts();
    document.info = Info::builder()
        .title("Preloop")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("The control plane between AI agents and what they reach."))
        .build();
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key")).build();
    components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    (router, document)
}

/// The OpenAPI document of this build.
pub fn document() -> OpenApi {
    finish(crate::api::router()).1
}

/// The document as JSON under its usual names, and a page to read and try it.
pub(crate) fn routes(document: &OpenApi) -> Router {
    // The page's scripts are vendored; its only inline script is its own configuration.
    const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                       connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let json: Arc<str> = document.to_json().unwrap_or_default().into();
    let serve = get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json.to_string()) });
    let docs = SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::from("/openapi.json"));
    let docs = Router::from(docs).layer(tower_http::set_header::SetResponseHeaderLayer::if_not_present(
        header::CONTENT_SECURITY_POLICY,
        http::HeaderValue::from_static(CSP),
    ));
    Router::new()
        .route("/openapi.json", serve.clone())
        .route("/api/v1/openapi.json", serve.clone())
        .route("/api/v1/spec", serve)
        .merge(docs)
}

/// What is not there.
pub(crate) async fn no_such_path() -> impl IntoResponse {
    ApiError::new(StatusCode::NOT_FOUND, "Not Found")
}

/// What cannot be done to what is there.
pub(crate) async fn wrong_method() -> impl IntoResponse {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
