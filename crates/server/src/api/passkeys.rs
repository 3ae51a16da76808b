//! `/api/v1/auth/passkeys`: making, removing and signing in with passkeys.

use http::StatusCode;
use preloop_api_types::auth::{AddPasskey, AddedPasskey, AskPasskey, CurrentPassword, PasskeySignIn, Token};
use preloop_identity::{Error, tokens::Lifetimes};
use preloop_types::PasskeyId;
use secrecy::SecretString;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use super::{auth, factors};
use crate::{
    App,
    caller::{Caller, InPerson, Via, Visitor},
    error::{ApiError, ApiResult},
    extract::{Id, Json, created},
    openapi::{guarded, open},
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(ask_new))
        .routes(guarded!(add))
        .routes(guarded!(remove))
        .routes(open!(ask))
        .routes(open!(sign_in))
}

/// What a browser needs to make a passkey: `PublicKeyCredentialCreationOptions` as JSON.
#[utoipa::path(post, path = "/api/v1/auth/passkeys/options", tag = "auth",
    responses((status = 200, body = Object)))]
async fn ask_new(caller: Caller<InPerson>, Via(client): Via, Json(body): Json<CurrentPassword>) -> ApiResult<Value> {
    Ok(axum::Json(caller.identity().new_passkey(caller.who(), &body.password.into(), &client).await?))
}

/// Keeps a passkey that a browser made.
#[utoipa::path(post, path = "/api/v1/auth/passkeys", tag = "auth", responses((status = 201, body = AddedPasskey)))]
async fn add(
    caller: Caller<InPerson>,
    Json(body): Json<AddPasskey>,
) -> Result<(StatusCode, axum::Json<AddedPasskey>), ApiError> {
    let added = caller.identity().add_passkey(caller.who(), &body.name, &body.credential.to_string()).await;
    let (passkey, codes) = added.map_err(|error| match error {
        // A 401 would say that the credential of this request is wrong.
        Error::WrongFactor => ApiError::bad_request("This is no passkey that was asked for here a moment ago"),
        error => error.into(),
    })?;
    let recovery_codes = factors::recovery_codes(&codes).recovery_codes;
    Ok(created(AddedPasskey { passkey: factors::passkey(passkey), recovery_codes }))
}

/// Removes a passkey.
#[utoipa::path(delete, path = "/api/v1/auth/passkeys/{id}", tag = "auth", responses((status = 204)))]
async fn remove(
    caller: Caller<InPerson>,
    Id(id): Id<PasskeyId>,
    Via(client): Via,
    Json(body): Json<CurrentPassword>,
) -> Result<StatusCode, ApiError> {
    caller.identity().remove_passkey(caller.who(), id, &body.password.into(), &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a browser needs to sign in with a passkey: `PublicKeyCredentialRequestOptions` as JSON.
#[utoipa::path(post, path = "/api/v1/auth/token/passkey/options", tag = "auth",
    responses((status = 200, body = Object)))]
async fn ask(visitor: Visitor, Via(client): Via, Json(body): Json<AskPasskey>) -> ApiResult<Value> {
    let waiting = body.mfa_token.map(SecretString::from);
    Ok(axum::Json(visitor.identity().ask_passkey(waiting.as_ref(), &client).await?))
}

/// Signs in with a passkey: beside the password that was right, or alone.
#[utoipa::path(post, path = "/api/v1/auth/token/passkey", tag = "auth", responses((status = 200, body = Token)))]
async fn sign_in(visitor: Visitor, Via(client): Via, Json(body): Json<PasskeySignIn>) -> ApiResult<Token> {
    let waiting = body.mfa_token.map(SecretString::from);
    let credential = body.credential.to_string();
    let identity = visitor.identity();
    let tokens = identity.sign_in_with_passkey(waiting.as_ref(), &credential, &client, Lifetimes::LOGIN).await?;
    Ok(axum::Json(auth::shown(&tokens)))
}
