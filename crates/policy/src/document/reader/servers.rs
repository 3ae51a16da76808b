//! The section `mcp_servers`.

use std::collections::BTreeMap;

use preloop_types::config::ServerSettings;
use serde_json::Value as Json;

use super::{
    super::{
        fields::{Field, Object},
        model::{JsonObject, ServerEntry},
        problem::Problem,
    },
    Reader, is_redacted,
};
use crate::suggest::nearest;

impl<'a> Reader<'a> {
    pub(super) fn server(&self, field: &Field<'a>) -> Option<ServerEntry> {
        let known =
            ["name", "url", "transport", "auth_type", "auth_config", "command", "args", "env", "cwd", "settings"];
        let server = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let transport = server.word(
            "transport",
            &[
                ("streamable-http", "streamable_http"),
                ("http-streaming", "streamable_http"),
                ("streamable_http", "streamable_http"),
                ("sse", "sse"),
                ("stdio", "stdio"),
            ],
            if server.get("command").is_some() { "stdio" } else { "streamable_http" },
        );
        let is_program = transport == "stdio";
        let (needed, idle): (&str, &[&str]) =
            if is_program { ("command", &["url"]) } else { ("url", &["command", "args", "env", "cwd"]) };
        for name in idle.iter().filter(|name| server.says_something(name)) {
            server.error(name, format!("`{name}` has no meaning for a server of transport `{transport}`"));
        }
        let target = server.required(needed).map(|target| self.resolve_text(&server, needed, target));
        let auth = ["none", "bearer", "api_key", "header", "oauth"].map(|word| (word, word));
        let auth_type = server.word("auth_type", &auth, "none");
        let mut auth_config = server.json("auth_config");
        if let Some(config) = &mut auth_config {
            self.resolve_object(&server, "auth_config", config);
        }
        let redacted = auth_config.as_ref().is_some_and(is_redacted);
        if let Some(config) = auth_config.as_ref().filter(|_| !redacted) {
            self.check_auth(&server, auth_type, config);
        }
        let env = server.json("env").map(|mut env| {
            self.resolve_object(&server, "env", &mut env);
            for (name, value) in &env {
                if !value.is_string() && !value.as_object().is_some_and(is_redacted) {
                    server.error(&format!("env.{name}"), "an environment variable is a text");
                }
            }
            env.into_iter().collect::<BTreeMap<_, _>>()
        });
        let settings = server.json("settings").unwrap_or_default();
        if let Err(error) = serde_json::from_value::<ServerSettings>(Json::Object(settings.clone())) {
            server.error("settings", error.to_string());
        }
        let (url, command) = if is_program { (None, target) } else { (target, None) };
        Some(ServerEntry {
            name: server.required("name")?,
            transport: transport.to_owned(),
            url,
            command,
            args: server.texts("args").unwrap_or_default(),
            env,
            cwd: server.text("cwd"),
            auth_type: auth_type.to_owned(),
            auth_config,
            settings,
        })
    }

    /// Keys of `auth_config` by `auth_type`.
    pub(super) fn check_auth(&self, server: &Object<'a>, auth_type: &str, config: &JsonObject) {
        let (needed, optional): (&[&str], &[&str]) = match auth_type {
            "bearer" => (&["token"], &["access_token"]),
            "api_key" => (&["api_key"], &["key", "key_name", "header"]),
            "oauth" => (&[], &["client_id", "client_secret", "scopes", "issuer", "access_token", "refresh_token"]),
            "header" => return,
            _ => (&[], &[]),
        };
        for name in needed {
            let alias = if *name == "token" { "access_token" } else { "key" };
            if !config.contains_key(*name) && !config.contains_key(alias) {
                server.error("auth_config", format!("`auth_type: {auth_type}` needs `auth_config.{name}`"));
            }
        }
        for name in config.keys() {
            let known: Vec<&str> = needed.iter().chain(optional).copied().collect();
            if !known.contains(&name.as_str()) {
                let path = format!("{}.auth_config.{name}", server.path);
                let mut problem = Problem::new(path, format!("unknown key `{name}` for `auth_type: {auth_type}`"));
                problem.help = nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                self.notes.error(problem);
            }
        }
    }
}
