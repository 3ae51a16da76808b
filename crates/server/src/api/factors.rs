//! `/api/v1/auth/mfa`: what one has besides one's password.

use http::StatusCode;
use preloop_api_types::auth::{CurrentPassword, Passkey, RecoveryCodes, SecondFactors, TotpCode, TotpEnrolment};
use preloop_identity::Error;
use secrecy::{ExposeSecret, SecretString};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, InPerson, Person, Via},
    error::{ApiError, ApiResult},
    extract::Json,
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(get))
        .routes(guarded!(enrol_totp))
        .routes(guarded!(confirm_totp))
        .routes(guarded!(remove_totp))
        .routes(guarded!(new_recovery_codes))
}

/// What one has besides one's password.
#[utoipa::path(get, path = "/api/v1/auth/mfa", tag = "auth", responses((status = 200, body = SecondFactors)))]
async fn get(caller: Caller<Person>) -> ApiResult<SecondFactors> {
    let factors = caller.identity().factors(caller.who()).await?;
    Ok(axum::Json(SecondFactors {
        totp_since: shape::at_opt(factors.totp),
        recovery_codes_left: factors.recovery_codes,
        passkeys: factors.passkeys.into_iter().map(passkey).collect(),
    }))
}

/// Begins to enrol an authenticator app. It counts once it is confirmed.
#[utoipa::path(post, path = "/api/v1/auth/mfa/totp", tag = "auth", responses((status = 200, body = TotpEnrolment)))]
async fn enrol_totp(
    caller: Caller<InPerson>,
    Via(client): Via,
    Json(body): Json<CurrentPassword>,
) -> ApiResult<TotpEnrolment> {
    let enrolment = caller.identity().enrol_totp(caller.who(), &body.password.into(), &client).await?;
    Ok(axum::Json(TotpEnrolment {
        secret: enrolment.secret.expose_secret().to_owned(),
        otpauth_uri: enrolment.uri.expose_secret().to_owned(),
    }))
}

/// Confirms an authenticator app with a code it shows. From then on signing in takes one.
#[utoipa::path(post, path = "/api/v1/auth/mfa/totp/confirm", tag = "auth",
    responses((status = 200, body = RecoveryCodes)))]
async fn confirm_totp(
    caller: Caller<InPerson>,
    Via(client): Via,
    Json(body): Json<TotpCode>,
) -> ApiResult<RecoveryCodes> {
    match caller.identity().confirm_totp(caller.who(), &body.code, &client).await {
        Ok(codes) => Ok(axum::Json(recovery_codes(&codes))),
        // A 401 would say that the credential of this request is wrong.
        Err(Error::WrongFactor) => {
            Err(ApiError::bad_request("The code is wrong or too old, or no authenticator app waits to be confirmed"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the authenticator app.
#[utoipa::path(delete, path = "/api/v1/auth/mfa/totp", tag = "auth", responses((status = 204)))]
async fn remove_totp(
    caller: Caller<InPerson>,
    Via(client): Via,
    Json(body): Json<CurrentPassword>,
) -> Result<StatusCode, ApiError> {
    caller.identity().remove_totp(caller.who(), &body.password.into(), &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces the recovery codes; those before end.
#[utoipa::path(post, path = "/api/v1/auth/mfa/recovery-codes", tag = "auth",
    responses((status = 200, body = RecoveryCodes)))]
async fn new_recovery_codes(
    caller: Caller<InPerson>,
    Via(client): Via,
    Json(body): Json<CurrentPassword>,
) -> ApiResult<RecoveryCodes> {
    let codes = caller.identity().new_recovery_codes(caller.who(), &body.password.into(), &client).await?;
    Ok(axum::Json(recovery_codes(&codes)))
}

pub(super) fn recovery_codes(codes: &[SecretString]) -> RecoveryCodes {
    RecoveryCodes { recovery_codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect() }
}

pub(super) fn passkey(passkey: preloop_store::Passkey) -> Passkey {
    Passkey {
        id: passkey.id.0,
        name: passkey.name,
        created_at: shape::at(passkey.created_at),
        last_used_at: shape::at_opt(passkey.last_used_at),
    }
}
