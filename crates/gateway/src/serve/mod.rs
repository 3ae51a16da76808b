//! The gateway's HTTP face: four APIs, each under its own prefix and at the root.

mod credential;
mod route;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use preloop_dialects::{Dialect, error};
use preloop_govern::IdentifyError;
use preloop_types::{CallId, Permission, Principal};

pub(crate) use route::{Ask, InPath, What};

use crate::{Gateway, call::Received, failure::Failure, models};

/// Largest request body.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

impl Gateway {
    /// The routes agents use.
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for path in ["/openai/{*rest}", "/anthropic/{*rest}", "/gemini/{*rest}", "/v1/{*rest}", "/v1beta/{*rest}"] {
            router = router.route(path, any(handle));
        }
        for path in ["/openai", "/anthropic", "/gemini", "/api/hello"] {
            router = router.route(path, any(handle));
        }
        router.with_state(self.clone())
    }

    async fn answer(&self, id: CallId, ask: &Ask, request: Request) -> Result<Response, Failure> {
        let (head, body) = request.into_parts();
        if ask.what == What::Hello {
            return Ok(StatusCode::OK.into_response());
        }
        let who = self.caller(ask.dialect, &head.headers, head.uri.query()).await?;
        match &ask.what {
            What::Hello => Ok(StatusCode::OK.into_response()),
            What::Models => self.models(&who, ask.dialect).await,
            What::ModelInfo(name) => self.model_info(&who, ask.dialect, name).await,
            What::Model(operation, in_path) => {
                let body = read(body).await?;
                let received = Received { id, ask, method: head.method, headers: &head.headers, body };
                self.model_call(who, received, *operation, in_path).await
            }
            What::Native(rest) => {
                let body = read(body).await?;
                let received = Received { id, ask, method: head.method, headers: &head.headers, body };
                self.native_call(who, received, rest).await
            }
        }
    }

    async fn caller(
        &self,
        dialect: Dialect,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Arc<Principal>, Failure> {
        let Some(credential) = credential::credential(dialect, headers, query) else {
            return Err(Failure::new(
                401,
                "invalid_api_key",
                "no API key was given; send a Preloop key that may call models",
            ));
        };
        let who = self.governor().identify(credential).await.map_err(|error| match error {
            IdentifyError::Unavailable(_) => {
                Failure::new(503, "ledger_unavailable", "Preloop cannot check API keys now")
            }
            IdentifyError::AgentHalted(why) => Failure::new(401, "agent_suspended", why),
            IdentifyError::Unknown | IdentifyError::Expired => Failure::new(401, "invalid_api_key", error.to_string()),
        })?;
        if !who.may(Permission::InvokeModels) {
            let why = if who.permissions.contains(Permission::InvokeModels) {
                format!("API key `{}` may not call models: it lacks the scope `gateway:invoke`", who.key_name)
            } else {
                format!("the roles of `{}` do not allow calling models (`invoke_models`)", who.username)
            };
            return Err(Failure::new(403, "permission_denied", why));
        }
        Ok(who)
    }

    async fn models(&self, who: &Principal, dialect: Dialect) -> Result<Response, Failure> {
        let snapshot = self.governor().snapshot(who.account).await.map_err(|_| cannot_read())?;
        Ok(json(&models::list(dialect, &snapshot.visible_models(who))))
    }

    async fn model_info(&self, who: &Principal, dialect: Dialect, name: &str) -> Result<Response, Failure> {
        let snapshot = self.governor().snapshot(who.account).await.map_err(|_| cannot_read())?;
        let found = models::resolve(&snapshot.models, Some(name)).ok().map(|resolved| resolved.model);
        match found.filter(|model| snapshot.may_use(who, model, Some(name))) {
            Some(model) => Ok(json(&models::one(dialect, &model))),
            None => Err(Failure::new(404, "model_not_found", format!("there is no model `{name}`"))),
        }
    }
}

fn cannot_read() -> Failure {
    Failure::new(503, "ledger_unavailable", "Preloop cannot read its configuration now")
}

fn json(body: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn handle(State(gateway): State<Gateway>, request: Request) -> Response {
    let id = CallId::new(gateway.now());
    let uri = request.uri();
    let anthropic = request.headers().contains_key("anthropic-version");
    let path = if uri.path() == "/api/hello" { "/anthropic/api/hello" } else { uri.path() };
    let (dialect, answered) = match Ask::read(request.method(), path, uri.query(), anthropic) {
        Ok(ask) => (ask.dialect, gateway.answer(id, &ask, request).await),
        Err(dialect) => {
            let why = format!("there is no `{} {path}`", request.method());
            (dialect, Err(Failure::new(404, "not_found", why)))
        }
    };
    let mut response = answered.unwrap_or_else(|failure| refused(dialect, id, failure));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The body, whole: nothing goes on before it was read and decided.
async fn read(body: Body) -> Result<Bytes, Failure> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            let why = format!("the request has more than {} MiB", BODY_BYTES_MAX / 1024 / 1024);
            Err(Failure::new(413, "request_too_large", why))
        }
        Err(_) => Err(Failure::new(400, "invalid_body", "the request's body broke off")),
    }
}

/// A failure as `dialect`'s clients expect it.
fn refused(dialect: Dialect, id: CallId, failure: Failure) -> Response {
    let id = id.to_string();
    let (status, body) = if let Some(body) = failure.verbatim {
        (failure.status, body)
    } else {
        let told = error::Failure {
            status: failure.status,
            code: &failure.code,
            message: &failure.message,
            request_id: &id,
            param: failure.param.as_deref(),
            data: failure.data.as_object(),
        };
        let (status, body) = error::body(dialect, &told);
        (status, body.into())
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(wait) = failure.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
