//! `/api/v1/auth`: registering, signing in, setting passwords.

use http::StatusCode;
use preloop_api_types::{
    Message,
    auth::{
        AcceptInvitation, ChangePassword, Credentials, ForgotPassword, MailToken, Refresh, Register, Registered,
        ResetPassword, SecondFactorCode, Token,
    },
};
use preloop_identity::{
    Error, NewPerson, SecondFactor, Step,
    tokens::{Lifetimes, Tokens},
};
use preloop_types::{CredentialKind, User};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    App,
    caller::{Caller, InPerson, Via, Visitor},
    error::{ApiError, ApiResult},
    extract::{FormOrJson, Json, created},
    openapi::{guarded, open},
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(open!(token))
        .routes(open!(token_json))
        .routes(open!(token_mfa))
        .routes(open!(refresh))
        .routes(open!(register))
        .routes(open!(accept_invitation))
        .routes(open!(verify_email))
        .routes(guarded!(resend_verification))
        .routes(open!(forgot_password))
        .routes(open!(reset_password))
        .routes(guarded!(change_password))
}

/// Signs in with a name and a password, as a form or as JSON. Who has a second factor is answered 403 with
/// `mfa_token`, to be brought to `/auth/token/mfa`.
#[utoipa::path(post, path = "/api/v1/auth/token", tag = "auth",
    request_body(content((Credentials = "application/json"), (Credentials = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = Token)))]
async fn token(visitor: Visitor, Via(client): Via, FormOrJson(body): FormOrJson<Credentials>) -> ApiResult<Token> {
    let password = SecretString::from(body.password);
    let step = visitor.identity().sign_in(&body.username, &password, &client, Lifetimes::LOGIN).await?;
    signed_in(step)
}

/// Signs in with a name and a password.
#[utoipa::path(post, path = "/api/v1/auth/token/json", tag = "auth", responses((status = 200, body = Token)))]
async fn token_json(visitor: Visitor, Via(client): Via, Json(body): Json<Credentials>) -> ApiResult<Token> {
    token(visitor, Via(client), FormOrJson(body)).await
}

/// Ends a sign-in that waits for a second factor.
#[utoipa::path(post, path = "/api/v1/auth/token/mfa", tag = "auth", responses((status = 200, body = Token)))]
async fn token_mfa(visitor: Visitor, Via(client): Via, Json(body): Json<SecondFactorCode>) -> ApiResult<Token> {
    let waiting = SecretString::from(body.mfa_token);
    let tokens = visitor.identity().second_factor(&waiting, &body.code, &client, Lifetimes::LOGIN).await;
    let tokens = tokens.map_err(|error| match error {
        Error::InvalidToken => ApiError::unauthorized("The sign-in took too long or is over; begin again"),
        error => error.into(),
    })?;
    Ok(axum::Json(shown(&tokens)))
}

/// The next pair of tokens. A refresh token works once: one that comes back ends the sign-in.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", responses((status = 200, body = Token)))]
async fn refresh(visitor: Visitor, Json(body): Json<Refresh>) -> ApiResult<Token> {
    visitor.slowed()?;
    let refreshed = visitor.identity().refresh(CredentialKind::Login, &body.refresh_token, Lifetimes::LOGIN).await;
    match refreshed {
        Ok(tokens) => Ok(axum::Json(shown(&tokens))),
        Err(Error::InvalidToken) => {
            visitor.wrong(&body.refresh_token);
            Err(ApiError::unauthorized("Could not validate credentials"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes an account of one's own, where the server lets anybody.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", responses((status = 201, body = Registered)))]
async fn register(
    visitor: Visitor,
    Via(client): Via,
    Json(body): Json<Register>,
) -> Result<(StatusCode, axum::Json<Registered>), ApiError> {
    let new = NewPerson { username: body.username, password: body.password.into(), full_name: body.full_name };
    let user = visitor.identity().register(&body.email, new, &client).await?;
    Ok(created(person(user)))
}

/// Joins the account that one was invited to.
#[utoipa::path(post, path = "/api/v1/auth/accept-invitation", tag = "auth",
    responses((status = 201, body = Registered)))]
async fn accept_invitation(
    visitor: Visitor,
    Via(client): Via,
    Json(body): Json<AcceptInvitation>,
) -> Result<(StatusCode, axum::Json<Registered>), ApiError> {
    visitor.slowed()?;
    let new = NewPerson { username: body.username, password: body.password.into(), full_name: body.full_name };
    let joined = visitor.identity().accept_invitation(&body.token, new, &client).await;
    let (_, user) = visitor.guessed(&body.token, joined)?;
    Ok(created(person(user)))
}

/// Proves that mail reaches somebody.
#[utoipa::path(post, path = "/api/v1/auth/verify-email", tag = "auth", responses((status = 200, body = Message)))]
async fn verify_email(visitor: Visitor, Json(body): Json<MailToken>) -> ApiResult<Message> {
    visitor.slowed()?;
    let verified = visitor.identity().verify_email(&body.token).await;
    visitor.guessed(&body.token, verified)?;
    Ok(axum::Json(Message { message: "Your address is verified".to_owned() }))
}

/// Sends the mail that proves one's address again.
#[utoipa::path(post, path = "/api/v1/auth/verify-email/resend", tag = "auth",
    responses((status = 200, body = Message)))]
async fn resend_verification(caller: Caller<InPerson>) -> ApiResult<Message> {
    caller.identity().ask_to_verify(caller.who()).await?;
    Ok(axum::Json(Message { message: "The mail is on its way".to_owned() }))
}

/// Sends a link to set a new password to whoever has that address. The answer is the same for everybody.
#[utoipa::path(post, path = "/api/v1/auth/forgot-password", tag = "auth", responses((status = 200, body = Message)))]
async fn forgot_password(visitor: Visitor, Via(client): Via, Json(body): Json<ForgotPassword>) -> ApiResult<Message> {
    visitor.identity().limit_requests(&body.email, &client)?;
    let message = forgotten(&visitor, body.email);
    Ok(axum::Json(Message { message: message.to_owned() }))
}

/// Sends the links beside the request, so that its time tells nothing, and says what holds for everybody.
pub(crate) fn forgotten(app: &App, email: String) -> &'static str {
    let identity = app.identity().clone();
    tokio::spawn(async move {
        if let Err(error) = identity.forgot_password(&email).await {
            tracing::warn!(%error, "a link to set a new password could not be sent");
        }
    });
    if app.identity().options().mail {
        "If somebody here has that address, a link is on its way to it; it works for 30 minutes"
    } else {
        "This server sends no mail, so no link is on its way. Whoever runs it can set a password with \
         `preloop set-password`"
    }
}

/// Sets a new password with a link from a mail. Every sign-in of the person ends.
#[utoipa::path(post, path = "/api/v1/auth/reset-password", tag = "auth", responses((status = 200, body = Message)))]
async fn reset_password(visitor: Visitor, Via(client): Via, Json(body): Json<ResetPassword>) -> ApiResult<Message> {
    visitor.slowed()?;
    let set = visitor.identity().set_password(&body.token, &body.new_password.into(), &client).await;
    visitor.guessed(&body.token, set)?;
    Ok(axum::Json(Message { message: "The password is set; sign in with it".to_owned() }))
}

/// Changes one's own password. One's other sign-ins end.
#[utoipa::path(put, path = "/api/v1/auth/users/me/password", tag = "auth", responses((status = 204)))]
async fn change_password(
    caller: Caller<InPerson>,
    Via(client): Via,
    Json(body): Json<ChangePassword>,
) -> Result<StatusCode, ApiError> {
    let (current, new) = (body.current_password.into(), body.new_password.into());
    caller.identity().change_password(caller.who(), &current, &new, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn signed_in(step: Step) -> ApiResult<Token> {
    match step {
        Step::Done(tokens) => Ok(axum::Json(shown(&tokens))),
        Step::SecondFactor(SecondFactor { token, methods, expires_in }) => Err(ApiError::object(
            StatusCode::FORBIDDEN,
            json!({
                "error": "mfa_required",
                "message": "A second factor is needed: bring `mfa_token` and a code to /api/v1/auth/token/mfa",
                "mfa_token": token.expose_secret(),
                "methods": methods,
                "expires_in": expires_in.as_secs(),
            }),
        )),
    }
}

pub(super) fn shown(tokens: &Tokens) -> Token {
    Token {
        access_token: tokens.access.expose_secret().to_owned(),
        refresh_token: tokens.refresh.expose_secret().to_owned(),
        token_type: "bearer".to_owned(),
        expires_in: tokens.expires_in.as_secs(),
    }
}

fn person(user: User) -> Registered {
    Registered {
        username: user.username,
        email: user.email,
        full_name: user.full_name,
        email_verified: user.email_verified,
        is_superuser: user.is_superuser,
    }
}
