//! Who somebody in a chat is here.

use std::time::Duration;

use preloop_govern::Error;
use preloop_types::{AccountId, UserId};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

use super::{ChatDesk, Clicker};

/// Chats wait some three seconds for an answer to a click.
const LOOKUP_MAX: Duration = Duration::from_secs(2);

impl ChatDesk {
    /// The person who clicked: by the link they made, else by the mail address the chat knows of them and that
    /// they proved to be theirs here.
    pub(super) async fn person(&self, account: AccountId, who: &Clicker) -> Result<Option<UserId>, Error> {
        let rows = self.governor.store().account(account);
        let link = rows.chat_link(who.provider.to_owned(), who.team.clone(), who.id.clone()).await?;
        if let Some(link) = link {
            return Ok(Some(link.user));
        }
        let Some(address) = self.address(who).await else { return Ok(None) };
        let snapshot = self.governor.snapshot(account).await?;
        let mut same = snapshot.users.values().filter(|user| {
            user.is_active
                && user.email_verified
                && user.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(&address))
        });
        // An address that two people share says nothing about which of them clicked.
        let found = same.next().map(|user| user.id);
        Ok(found.filter(|_| same.next().is_none()))
    }

    /// The confirmed mail address that the chat knows of whoever clicked.
    async fn address(&self, who: &Clicker) -> Option<String> {
        let looked_up = match who.provider {
            "slack" => self.slack_address(&who.id).await,
            _ => self.mattermost_address(&who.id).await,
        };
        match looked_up {
            Ok(address) => address,
            Err(error) => {
                tracing::warn!(provider = who.provider, %error, "who clicked cannot be looked up");
                None
            }
        }
    }

    async fn slack_address(&self, id: &str) -> Result<Option<String>, crate::SendError> {
        let settings = &self.settings.slack;
        let Some(token) = &settings.bot_token else { return Ok(None) };
        let Ok(mut url) = settings.api_url.join("users.info") else { return Ok(None) };
        url.query_pairs_mut().append_pair("user", id);
        let said = self.http.get_json("Slack", url, token.expose_secret(), LOOKUP_MAX).await?;
        let user = &said["user"];
        let usable = said["ok"] == true && user["deleted"] != true && user["is_bot"] != true;
        let confirmed = user["is_email_confirmed"] != false;
        Ok(text(&user["profile"]["email"]).filter(|_| usable && confirmed))
    }

    async fn mattermost_address(&self, id: &str) -> Result<Option<String>, crate::SendError> {
        let settings = &self.settings.mattermost;
        let (Some(token), Some(url)) = (&settings.bot_token, &settings.url) else { return Ok(None) };
        let Some(url) = below(url, &["api", "v4", "users", id]) else { return Ok(None) };
        let said = self.http.get_json("Mattermost", url, token.expose_secret(), LOOKUP_MAX).await?;
        let usable = said["delete_at"].as_u64().unwrap_or(0) == 0 && said["is_bot"] != true;
        Ok(text(&said["email"]).filter(|_| usable && said["email_verified"] != false))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn below(base: &Url, path: &[&str]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}
