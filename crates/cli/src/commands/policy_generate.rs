//! `preloop policy generate`: a policy written by the account's model, for a person to read.

use std::{fs, path::PathBuf};

use clap::Args;
use preloop_api_types::policies::{GeneratePolicy, GeneratePolicyFromAudit, GeneratedPolicy};

use super::policy;
use crate::{
    cli::Global,
    client::Client,
    failure::{Exit, Failure, Result},
    output::{Format, Printer, warn},
};

#[derive(Args)]
pub(crate) struct Generate {
    /// What the policy is to do, in your words; `-` reads them from the standard input
    #[arg(required_unless_present = "from_audit_logs", conflicts_with = "from_audit_logs")]
    prompt: Option<String>,
    /// Fit the policy to recorded calls
    #[arg(long)]
    from_audit_logs: bool,
    /// Calls from this day or time on
    #[arg(long, value_name = "DATE", requires = "from_audit_logs")]
    start_date: Option<String>,
    /// Calls up to this day or time
    #[arg(long, value_name = "DATE", requires = "from_audit_logs")]
    end_date: Option<String>,
    /// Calls of this file (a JSON array) instead of those on record
    #[arg(long, value_name = "FILE", requires = "from_audit_logs")]
    logs: Option<PathBuf>,
    /// Do not show the model the configuration as it is
    #[arg(long, conflicts_with = "from_audit_logs")]
    no_context: bool,
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(command: &Generate, global: &Global, printer: Printer) -> Result {
    let client = Client::new(global)?;
    let generated: GeneratedPolicy = if let Some(prompt) = &command.prompt {
        let prompt = if prompt == "-" { policy::read_one(&PathBuf::from("-"))?.text } else { prompt.clone() };
        let body = GeneratePolicy { prompt, include_current_config: command.no_context.then_some(false) };
        client.post("/api/v1/policies/generate", &body).await?
    } else {
        let logs = command.logs.as_deref().map(policy::read_file).transpose()?;
        let body = GeneratePolicyFromAudit {
            start_date: command.start_date.clone(),
            end_date: command.end_date.clone(),
            audit_logs_json: logs.map(|file| file.text),
        };
        client.post("/api/v1/policies/generate-from-audit", &body).await?
    };
    for warning in &generated.warnings {
        warn(warning);
    }
    match (&command.output, printer.format) {
        (Some(path), _) => {
            fs::write(path, format!("{}\n", generated.yaml.trim_end()))
                .map_err(|error| Failure::new(Exit::Failure, format!("cannot write `{}`: {error}", path.display())))?;
            printer.note(&format!("written to `{}`; nothing is applied", path.display()));
            Ok(())
        }
        (None, Format::Json) => printer.data(&generated),
        (None, _) => printer.document(&format!("{}\n", generated.yaml.trim_end())),
    }
}
