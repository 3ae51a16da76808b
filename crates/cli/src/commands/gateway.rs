//! `preloop gateway`: what holds for all model traffic.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use preloop_api_types::account::{ModelSettings, UpdateModelSettings};
use preloop_types::{
    Guardrails,
    config::{Capture, OnUnpriced},
};

use crate::{
    cli::Global,
    client::Client,
    failure::{Failure, Result},
    output::Printer,
};

const SETTINGS: &str = "/api/v1/account/model-settings";

#[derive(Subcommand)]
pub(crate) enum Gateway {
    /// Show what holds for all model traffic
    Status,
    /// Let agents call models
    On,
    /// Press the kill switch for model calls: refuse each from now on
    Off,
    /// Change what holds for all model traffic; what is not named stays
    Set(Set),
}

#[derive(Args)]
pub(crate) struct Set {
    /// The only models anybody may use: an alias, a glob or `tag:<label>` (repeatable)
    #[arg(long = "allow", value_name = "MODELS", conflicts_with = "allow_all")]
    allow: Vec<String>,
    /// Let any model be used
    #[arg(long)]
    allow_all: bool,
    /// A call without a known price, where a hard budget counts dollars: `deny` it or serve it and `warn`
    #[arg(long, value_name = "WORD", value_parser = on_unpriced)]
    unpriced: Option<OnUnpriced>,
    /// What is kept of conversations: `off`, `metadata`, `preview` or `full`
    #[arg(long, value_name = "WORD", value_parser = capture)]
    capture: Option<Capture>,
    /// Guardrails as JSON, in this file (`-` is the standard input): `{"rules": […]}`
    #[arg(long, value_name = "FILE")]
    guardrails: Option<PathBuf>,
    /// Minutes of silence after which a session is over, where nothing else tells; 0 is never
    #[arg(long, value_name = "MINUTES")]
    idle: Option<u32>,
}

pub(crate) async fn run(command: &Gateway, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    let switch = |on: bool| UpdateModelSettings { model_traffic: Some(on), ..UpdateModelSettings::default() };
    match command {
        Gateway::Status => show(printer, &client.get(SETTINGS).await?),
        Gateway::On => {
            let settings: ModelSettings = client.put(SETTINGS, &switch(true)).await?;
            printer.done(&settings, "model traffic is on")
        }
        Gateway::Off => {
            let settings: ModelSettings = client.put(SETTINGS, &switch(false)).await?;
            printer.done(&settings, "model traffic is off: every model call is refused")
        }
        Gateway::Set(wanted) => {
            let change = UpdateModelSettings {
                allowed_models: (wanted.allow_all || !wanted.allow.is_empty()).then(|| wanted.allow.clone()),
                on_unpriced: wanted.unpriced,
                capture: wanted.capture,
                guardrails: wanted.guardrails.as_deref().map(guardrails).transpose()?,
                session_idle_minutes: wanted.idle,
                ..UpdateModelSettings::default()
            };
            show(printer, &client.put(SETTINGS, &change).await?)
        }
    }
}

fn show(printer: Printer, settings: &ModelSettings) -> Result {
    let allowed =
        if settings.allowed_models.is_empty() { "all".to_owned() } else { settings.allowed_models.join(", ") };
    printer.one(
        settings,
        &[
            ("model traffic", if settings.model_traffic { "on" } else { "off" }.to_owned()),
            ("allowed models", allowed),
            ("without a price", settings.on_unpriced.as_str().to_owned()),
            ("kept of conversations", settings.capture.as_str().to_owned()),
            (
                "guardrails",
                match settings.guardrails.rules.len() {
                    0 => "none".to_owned(),
                    rules => format!("{rules} rules"),
                },
            ),
            ("silence ends sessions", format!("{} min", settings.session_idle_minutes)),
        ],
    )
}

fn guardrails(file: &Path) -> Result<Guardrails> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(file)?
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("`{}` is not guardrails: {error}", file.display())))
}

fn on_unpriced(text: &str) -> std::result::Result<OnUnpriced, String> {
    OnUnpriced::parse(text).ok_or_else(|| format!("`{text}` is neither `warn` nor `deny`"))
}

fn capture(text: &str) -> std::result::Result<Capture, String> {
    let words = || Capture::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", ");
    Capture::parse(text).ok_or_else(|| format!("`{text}` is not one of {}", words()))
}
