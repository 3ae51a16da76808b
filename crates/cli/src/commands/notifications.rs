//! `preloop notifications`: what you are told by, and who is told of events.

use clap::{Args, Subcommand};
use preloop_api_types::{
    Update, Uuid,
    approval_bypasses::{ApprovalBypass, BypassStatus, CreateApprovalBypass},
    event_webhooks::{
        CreateEventEndpoint, DeadLetter, EventEndpoint, EventTypeInfo, Replayed, TestEvent, UpdateEventEndpoint,
    },
    notifications::{
        ChatLink, CreateChatLink, Device, DeviceCode, NotificationPreferences, RegisterDevice, TestNotification,
        UpdateNotificationPreferences,
    },
};
use serde_json::json;

use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::Result,
    output::{Format, Printer},
    words::{at, find, from_environment, maybe_at},
};

const MINE: &str = "/api/v1/notification-preferences/me";
const ENDPOINTS: &str = "/api/v1/event-webhooks/endpoints";
const BYPASSES: &str = "/api/v1/approval-bypasses";

#[derive(Subcommand)]
pub(crate) enum Notifications {
    /// Show what you are told by
    Show,
    /// Change what you are told by
    Set(Set),
    /// Send yourself a test by everything you are told by
    Test,
    /// Your phones, browsers and topics
    #[command(subcommand)]
    Devices(Devices),
    /// Not be told of requests for a while; they block all the same
    Mute {
        /// For how many minutes (at most 480)
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=480))]
        minutes: u32,
        /// Only of this managed agent's requests, by its id
        #[arg(long, value_name = "ID")]
        agent: Option<Uuid>,
        /// Why; others see it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Be told again
    Unmute,
    /// Say who you are in a chat, with the code it showed after a click
    LinkChat {
        /// The code
        #[arg(value_parser = some_text())]
        code: String,
    },
    /// Event webhooks of the account
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Events that no attempt could deliver
    DeadLetter,
    /// Send an event again to whom it could not be delivered
    Replay {
        /// The event's id
        event: Uuid,
    },
}

#[derive(Args)]
pub(crate) struct Set {
    /// Mails: `true` or `false`
    #[arg(long, value_name = "BOOL")]
    email: Option<bool>,
    /// Phones, browsers and topics: `true` or `false`
    #[arg(long, value_name = "BOOL")]
    push: Option<bool>,
    /// What is offered first: `email` or `mobile_push`
    #[arg(long, value_name = "CHANNEL")]
    preferred: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Devices {
    /// List your devices
    List,
    /// Show a QR code by which one phone registers itself, within 15 minutes
    Add,
    /// Register a topic on ntfy.sh or a server of your own
    AddNtfy {
        /// `https://ntfy.sh/my-topic`
        #[arg(id = "address", value_name = "URL", value_parser = some_text())]
        url: String,
        /// What you call it
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The environment variable that holds the topic's access token
        #[arg(long, value_name = "VARIABLE")]
        token_env: Option<String>,
    },
    /// Remove a device, and the key it decides with
    Remove {
        /// Its name or id
        #[arg(value_parser = some_text())]
        device: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Webhooks {
    /// List event webhooks
    List,
    /// Make an event webhook; the key that signs what it is told is shown once
    Add {
        /// Where events are posted
        #[arg(id = "address", value_name = "URL", value_parser = some_text())]
        url: String,
        /// What it is told of (repeatable); everything, when left out
        #[arg(long = "event", value_name = "TYPE")]
        events: Vec<String>,
        /// For people
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Switch an event webhook on, which also tries it at once
    Enable(Which),
    /// Switch an event webhook off
    Disable(Which),
    /// Remove an event webhook, and what waits for it
    Remove(Which),
    /// Tell an event webhook that you try it out
    Test(Which),
    /// What an event webhook can be told of
    Events,
}

#[derive(Args)]
pub(crate) struct Which {
    /// Its address or id
    #[arg(value_parser = some_text())]
    endpoint: String,
}

pub(crate) async fn run(command: &Notifications, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Notifications::Show => show(printer, &client.get(MINE).await?),
        Notifications::Set(set) => {
            let body = UpdateNotificationPreferences {
                preferred_channel: set.preferred.clone(),
                enable_email: set.email,
                enable_mobile_push: set.push,
            };
            show(printer, &client.put(MINE, &body).await?)
        }
        Notifications::Test => {
            let sent: TestNotification = client.post(&format!("{MINE}/test"), &json!({})).await?;
            let by = if sent.channels.is_empty() {
                "nothing: switch a channel on".to_owned()
            } else {
                sent.channels.join(", ")
            };
            printer.done(&sent, &format!("a test is on its way by {by}"))
        }
        Notifications::Devices(command) => devices(&client, printer, command).await,
        Notifications::Mute { minutes, agent, reason } => {
            let body = CreateApprovalBypass {
                mode: "mute_notifications".to_owned(),
                duration_minutes: *minutes,
                managed_agent_id: *agent,
                reason: reason.clone(),
                created_via: Some("cli".to_owned()),
            };
            let muted: ApprovalBypass = client.post(BYPASSES, &body).await?;
            printer.done(
                &muted,
                &format!("you are not told of requests until {}; they block all the same", at(muted.expires_at)),
            )
        }
        Notifications::Unmute => {
            let ended: Vec<ApprovalBypass> = client.post(&format!("{BYPASSES}/revoke-all"), &json!({})).await?;
            printer.done(&ended, if ended.is_empty() { "nothing was muted" } else { "you are told of requests again" })
        }
        Notifications::LinkChat { code } => {
            let body = CreateChatLink { code: code.clone() };
            let link: ChatLink = client.post(&format!("{MINE}/chat-links"), &body).await?;
            printer.done(&link, &format!("clicks of `{}` in {} are your votes now", link.chat_user_name, link.provider))
        }
        Notifications::Webhooks(command) => webhooks(&client, printer, command).await,
        Notifications::DeadLetter => dead_letter(&client, printer).await,
        Notifications::Replay { event } => {
            let path = format!("/api/v1/event-webhooks/deliveries/{event}/replay");
            let replayed: Replayed = client.post(&path, &json!({})).await?;
            printer.done(&replayed, &format!("event `{event}` is sent again to {} endpoint(s)", replayed.deliveries))
        }
    }?;
    muted_note(&client, printer, command).await
}

/// Whoever looks at what they are told by is reminded that they are not.
async fn muted_note(client: &Client, printer: Printer, command: &Notifications) -> Result {
    if let Notifications::Show = command {
        let status: BypassStatus = client.get(&format!("{BYPASSES}/status")).await?;
        if let Some(muted) = status.bypasses.iter().find(|bypass| bypass.mode == "mute_notifications") {
            printer.note(&format!("muted until {}; `preloop notifications unmute` ends that", at(muted.expires_at)));
        }
    }
    Ok(())
}

fn show(printer: Printer, mine: &NotificationPreferences) -> Result {
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let devices: Vec<_> = mine.mobile_device_tokens.iter().map(|device| device.device_name.as_str()).collect();
    printer.one(
        mine,
        &[
            ("Mail", on(mine.enable_email)),
            ("Devices", on(mine.enable_mobile_push)),
            ("Preferred", mine.preferred_channel.clone()),
            ("Registered", devices.join(", ")),
        ],
    )
}

async fn devices(client: &Client, printer: Printer, command: &Devices) -> Result {
    match command {
        Devices::List => {
            let mine: NotificationPreferences = client.get(MINE).await?;
            printer.list(
                &mine.mobile_device_tokens,
                &[
                    ("name", |device: &Device| device.device_name.clone()),
                    ("kind", |device| device.platform.clone()),
                    ("registered", |device| at(device.registered_at)),
                    ("id", |device| device.id.to_string()),
                ],
                "no devices are registered",
            )
        }
        Devices::Add => {
            let code: DeviceCode = client.get(&format!("{MINE}/qr-code")).await?;
            if printer.format != Format::Table {
                return printer.data(&code);
            }
            printer.note(&format!("Scan this with the Preloop app before {}. It works once.", at(code.expires_at)));
            printer.text(&format!("{}\n{}", qr(&code.qr_data), code.qr_data))
        }
        Devices::AddNtfy { url, name, token_env } => {
            let body = RegisterDevice {
                platform: "ntfy".to_owned(),
                token: url.clone(),
                device_name: name.clone(),
                keys: None,
                access_token: token_env.as_deref().map(from_environment).transpose()?,
            };
            let mine: NotificationPreferences = client.post(&format!("{MINE}/register-device"), &body).await?;
            printer.done(&mine, "the topic is told of requests now; whoever knows its name can read along")
        }
        Devices::Remove { device } => {
            let mine: NotificationPreferences = client.get(MINE).await?;
            let names = |device: &Device| device.device_name.clone();
            let all: Vec<(Device, String)> =
                mine.mobile_device_tokens.into_iter().map(|device| (device.clone(), names(&device))).collect();
            let (found, name) = find("device", &all, device, |(device, _)| device.id, |(_, name)| vec![name])?;
            client.delete(&format!("{MINE}/devices/{}", found.id)).await?;
            printer.done(found, &format!("device `{name}` is removed, and its key is revoked"))
        }
    }
}

async fn webhooks(client: &Client, printer: Printer, command: &Webhooks) -> Result {
    match command {
        Webhooks::List => {
            let endpoints: Vec<EventEndpoint> = client.get(ENDPOINTS).await?;
            printer.list(
                &endpoints,
                &[
                    ("url", |endpoint: &EventEndpoint| endpoint.url.clone()),
                    ("told of", |endpoint| told_of(endpoint)),
                    ("status", |endpoint| standing(endpoint)),
                    ("last error", |endpoint| endpoint.last_error.clone().unwrap_or_default()),
                    ("id", |endpoint| endpoint.id.to_string()),
                ],
                "there are no event webhooks",
            )
        }
        Webhooks::Add { url, events, description } => {
            let body =
                CreateEventEndpoint { url: url.clone(), description: description.clone(), event_types: events.clone() };
            let made: EventEndpoint = client.post(ENDPOINTS, &body).await?;
            if printer.format != Format::Table {
                return printer.data(&made);
            }
            printer
                .note(&format!("Event webhook `{}`. The key that signs what it is told, shown this once:", made.url));
            printer.text(made.secret.as_deref().unwrap_or_default())
        }
        Webhooks::Enable(which) => switch(client, printer, which, true).await,
        Webhooks::Disable(which) => switch(client, printer, which, false).await,
        Webhooks::Remove(which) => {
            let endpoint = which.find(client).await?;
            client.delete(&format!("{ENDPOINTS}/{}", endpoint.id)).await?;
            printer.done(&endpoint, &format!("event webhook `{}` is removed", endpoint.url))
        }
        Webhooks::Test(which) => {
            let endpoint = which.find(client).await?;
            let sent: TestEvent = client.post(&format!("{ENDPOINTS}/{}/test", endpoint.id), &json!({})).await?;
            printer.done(&sent, &format!("event `{}` is on its way to `{}`", sent.event_id, endpoint.url))
        }
        Webhooks::Events => {
            type Column = (&'static str, fn(&EventTypeInfo) -> String);
            let events: Vec<EventTypeInfo> = client.get("/api/v1/event-webhooks/catalogue").await?;
            let columns: [Column; 2] =
                [("type", |event| event.event_type.clone()), ("told when", |event| event.description.clone())];
            printer.list(&events, &columns, "there are no events")
        }
    }
}

async fn switch(client: &Client, printer: Printer, which: &Which, on: bool) -> Result {
    let endpoint = which.find(client).await?;
    let body = UpdateEventEndpoint { is_active: Some(on), description: Update::Keep, ..UpdateEventEndpoint::default() };
    let now: EventEndpoint = client.put(&format!("{ENDPOINTS}/{}", endpoint.id), &body).await?;
    printer.done(&now, &format!("event webhook `{}` is {}", now.url, if on { "on" } else { "off" }))
}

async fn dead_letter(client: &Client, printer: Printer) -> Result {
    let letters: Vec<DeadLetter> = client.get("/api/v1/event-webhooks/deliveries/dead-letter").await?;
    printer.list(
        &letters,
        &[
            ("event", |letter: &DeadLetter| letter.event_id.to_string()),
            ("type", |letter| letter.event_type.clone()),
            ("happened", |letter| at(letter.occurred_at)),
            ("given up", |letter| maybe_at(letter.failed_at)),
            ("attempts", |letter| letter.attempts.to_string()),
            ("error", |letter| letter.error.clone().unwrap_or_default()),
        ],
        "every event was delivered",
    )
}

fn told_of(endpoint: &EventEndpoint) -> String {
    if endpoint.event_types.is_empty() { "everything".to_owned() } else { endpoint.event_types.join(", ") }
}

fn standing(endpoint: &EventEndpoint) -> String {
    match (endpoint.is_active, endpoint.paused_until) {
        (false, _) => "off".to_owned(),
        (true, Some(until)) => format!("left alone until {}", at(until)),
        (true, None) if endpoint.consecutive_failures > 0 => format!("{} failures", endpoint.consecutive_failures),
        (true, None) => "on".to_owned(),
    }
}

impl Which {
    async fn find(&self, client: &Client) -> Result<EventEndpoint> {
        let endpoints: Vec<EventEndpoint> = client.get(ENDPOINTS).await?;
        let found = find("event webhook", &endpoints, &self.endpoint, |endpoint| endpoint.id, |e| vec![&e.url])?;
        Ok(found.clone())
    }
}

/// A QR code in half blocks, dark on light whatever the terminal's colours are.
fn qr(text: &str) -> String {
    let Ok(code) = qrcodegen::QrCode::encode_text(text, qrcodegen::QrCodeEcc::Low) else { return String::new() };
    let (size, quiet) = (code.size(), 2);
    let mut out = String::new();
    for y in (-quiet..size + quiet).step_by(2) {
        out.push_str("\u{1b}[30;107m");
        for x in -quiet..size + quiet {
            out.push(match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        out.push_str("\u{1b}[0m\n");
    }
    out
}
