//! `/api/v1/notification-preferences`: what the caller is told by.

use axum::response::Response;
use http::StatusCode;
use preloop_api_types::notifications::{
    ChatLink, CreateChatLink, Device, DeviceCode, DeviceCodeToken, NotificationPreferences, RegisterDevice,
    RegisteredDevice, TestNotification, UpdateNotificationPreferences, WebPushKey,
};
use preloop_govern::config::{NewDevice, PreferencesChange};
use preloop_store as store;
use preloop_types::{AccountId, DeviceId, Hash, UserId};
use secrecy::ExposeSecret;
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, InPerson, Visitor},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Query},
    openapi::{guarded, open},
    page,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(mine))
        .routes(guarded!(update))
        .routes(guarded!(register))
        .routes(guarded!(remove_by_token))
        .routes(guarded!(remove))
        .routes(guarded!(qr_code))
        .routes(guarded!(web_push_key))
        .routes(guarded!(test))
        .routes(guarded!(chat_links))
        .routes(guarded!(link_chat))
        .routes(guarded!(unlink_chat))
        .routes(open!(landing))
        .routes(open!(register_via_token))
}

/// What the caller is told by.
#[utoipa::path(get, path = "/api/v1/notification-preferences/me", tag = "notifications",
    responses((status = 200, body = NotificationPreferences)))]
async fn mine(caller: Caller<InPerson>) -> ApiResult<NotificationPreferences> {
    shown(&caller, caller.who().account, caller.who().user).await.map(axum::Json)
}

/// Changes what the caller is told by.
#[utoipa::path(put, path = "/api/v1/notification-preferences/me", tag = "notifications",
    responses((status = 200, body = NotificationPreferences)))]
async fn update(
    caller: Caller<InPerson>,
    Json(body): Json<UpdateNotificationPreferences>,
) -> ApiResult<NotificationPreferences> {
    let change = PreferencesChange {
        preferred_channel: body.preferred_channel,
        enable_email: body.enable_email,
        enable_push: body.enable_mobile_push,
    };
    caller.config().update_preferences(caller.who(), change).await?;
    mine(caller).await
}

/// Registers a phone, a browser or a topic of the caller.
#[utoipa::path(post, path = "/api/v1/notification-preferences/me/register-device", tag = "notifications",
    responses((status = 200, body = NotificationPreferences)))]
async fn register(caller: Caller<InPerson>, Json(body): Json<RegisterDevice>) -> ApiResult<NotificationPreferences> {
    caller.config().register_device(caller.who(), new_device(body)).await?;
    mine(caller).await
}

/// Removes the caller's device with this token, and the key it decides with.
#[utoipa::path(delete, path = "/api/v1/notification-preferences/me/device/{token}", tag = "notifications",
    params(("token" = String, Path)), responses((status = 200, body = NotificationPreferences)))]
async fn remove_by_token(caller: Caller<InPerson>, Id(token): Id<String>) -> ApiResult<NotificationPreferences> {
    let hash = Hash::of(token);
    let devices = caller.store().account(caller.who().account).devices(Some(caller.who().user)).await?;
    let device = devices.iter().find(|device| device.token_hash == hash);
    let id = device.ok_or_else(|| ApiError::not_found("device"))?.id;
    caller.config().remove_device(caller.who(), id).await?;
    mine(caller).await
}

/// Removes a device of the caller, and the key it decides with.
#[utoipa::path(delete, path = "/api/v1/notification-preferences/me/devices/{id}", tag = "notifications",
    responses((status = 204)))]
async fn remove(caller: Caller<InPerson>, Id(id): Id<DeviceId>) -> Result<StatusCode, ApiError> {
    caller.config().remove_device(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a code by which one device registers itself, within 15 minutes.
#[utoipa::path(get, path = "/api/v1/notification-preferences/me/qr-code", tag = "notifications",
    responses((status = 200, body = DeviceCode)))]
async fn qr_code(caller: Caller<InPerson>) -> ApiResult<DeviceCode> {
    let made = caller.config().device_code(caller.who()).await?;
    let token = made.code.expose_secret().to_owned();
    let base = caller.public_url().as_str().trim_end_matches('/').to_owned();
    Ok(axum::Json(DeviceCode {
        qr_data: format!("{base}/api/v1/notification-preferences/register-device?token={token}"),
        token,
        expires_at: shape::at(made.expires_at),
        expires_in_seconds: store::DEVICE_CODE_TTL.as_secs(),
    }))
}

/// What a browser subscribes with before it registers.
#[utoipa::path(get, path = "/api/v1/notification-preferences/me/web-push-key", tag = "notifications",
    responses((status = 200, body = WebPushKey)))]
async fn web_push_key(caller: Caller<InPerson>) -> ApiResult<WebPushKey> {
    Ok(axum::Json(WebPushKey { public_key: caller.web_push().public() }))
}

/// Sends the caller a test by everything they are told by.
#[utoipa::path(post, path = "/api/v1/notification-preferences/me/test", tag = "notifications",
    responses((status = 200, body = TestNotification)))]
async fn test(caller: Caller<InPerson>) -> ApiResult<TestNotification> {
    let channels = caller.config().test_notification(caller.who()).await?;
    Ok(axum::Json(TestNotification { channels }))
}

/// Who the caller is in chats.
#[utoipa::path(get, path = "/api/v1/notification-preferences/me/chat-links", tag = "notifications",
    responses((status = 200, body = Vec<ChatLink>)))]
async fn chat_links(caller: Caller<InPerson>) -> ApiResult<Vec<ChatLink>> {
    let links = caller.store().account(caller.who().account).chat_links(Some(caller.who().user)).await?;
    Ok(axum::Json(links.into_iter().map(link_shown).collect()))
}

/// Says who the caller is in a chat, by the code the chat showed after a click.
#[utoipa::path(post, path = "/api/v1/notification-preferences/me/chat-links", tag = "notifications",
    responses((status = 200, body = ChatLink)))]
async fn link_chat(caller: Caller<InPerson>, Json(body): Json<CreateChatLink>) -> ApiResult<ChatLink> {
    let link = caller.chat().link(caller.who().account, caller.who().user, &body.code).await?;
    Ok(axum::Json(link_shown(link)))
}

/// Forgets who the caller is in a chat: `slack:U012AB3CD`.
#[utoipa::path(delete, path = "/api/v1/notification-preferences/me/chat-links/{name}", tag = "notifications",
    params(("name" = String, Path)), responses((status = 204)))]
async fn unlink_chat(caller: Caller<InPerson>, Id(name): Id<String>) -> Result<StatusCode, ApiError> {
    let (provider, user) = name.split_once(':').ok_or_else(|| ApiError::not_found("chat link"))?;
    caller.config().remove_chat_link(caller.who(), provider, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a QR code leads that no app took. Looking uses nothing up.
#[utoipa::path(get, path = "/api/v1/notification-preferences/register-device", tag = "notifications",
    params(DeviceCodeToken), responses((status = 200, content_type = "text/html", body = String)))]
async fn landing(_: Visitor) -> Response {
    let text = "Scan the code with the Preloop app: it registers this phone, once, within 15 minutes.";
    page::message(StatusCode::OK, "Open this with the Preloop app", text)
}

/// Registers the device that came with a code.
#[utoipa::path(post, path = "/api/v1/notification-preferences/register-via-token", tag = "notifications",
    params(DeviceCodeToken), responses((status = 200, body = RegisteredDevice)))]
async fn register_via_token(
    visitor: Visitor,
    Query(code): Query<DeviceCodeToken>,
    Json(body): Json<RegisterDevice>,
) -> ApiResult<RegisteredDevice> {
    let (device, key, secret) = visitor.config().register_device_by_code(&code.token, new_device(body)).await?;
    Ok(axum::Json(RegisteredDevice {
        preferences: shown(&visitor, key.account, device.user).await?,
        api_key: secret.expose_secret().to_owned(),
        api_key_id: key.id.0,
        api_key_expires_at: shape::at_opt(key.expires_at),
    }))
}

fn new_device(body: RegisterDevice) -> NewDevice {
    NewDevice {
        platform: body.platform,
        token: body.token,
        name: body.device_name,
        keys: body.keys.map(|keys| (keys.p256dh, keys.auth)),
        access_token: body.access_token,
    }
}

async fn shown(app: &App, account: AccountId, user: UserId) -> Result<NotificationPreferences, ApiError> {
    let rows = app.store().account(account);
    let (preferences, devices) = (rows.preferences(user).await?, rows.devices(Some(user)).await?);
    Ok(NotificationPreferences {
        id: user.0,
        user_id: user.0,
        preferred_channel: preferences.preferred_channel,
        enable_email: preferences.enable_email,
        enable_mobile_push: preferences.enable_push,
        mobile_device_tokens: devices.into_iter().map(device_shown).collect(),
        created_at: shape::at_opt(preferences.created_at),
        updated_at: shape::at_opt(preferences.updated_at),
    })
}

fn device_shown(device: store::Device) -> Device {
    Device {
        id: device.id.0,
        platform: device.platform,
        device_name: device.name,
        api_key_id: device.key.map(|id| id.0),
        registered_at: shape::at(device.created_at),
    }
}

fn link_shown(link: store::ChatLink) -> ChatLink {
    ChatLink {
        provider: link.provider,
        team_id: link.team,
        chat_user_id: link.chat_user,
        chat_user_name: link.chat_name,
        created_at: shape::at(link.created_at),
    }
}
