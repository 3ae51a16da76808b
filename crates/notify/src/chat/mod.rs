//! Clicks on buttons in chats: verified, made the vote of the person who clicked, and answered.
//!
//! A click counts only if the chat vouches for who clicked and that person is known here: by a link they
//! made themselves, or by the mail address the chat knows of them. Everybody else is told how to decide;
//! there are no anonymous votes by click.

mod button;
mod code;
mod mattermost;
mod people;
mod slack;

use std::fmt;

use preloop_egress::Egress;
use preloop_govern::{Error, Governor, Vote};
use preloop_store::{Approval, ApprovalStatus, ChatLink};
use preloop_types::{AccountId, Entry, EntryKind, Subject, UserId, text::one_line};
use secrecy::SecretString;
use serde_json::{Value, json, value::to_raw_value};
use url::Url;

pub(crate) use button::{Button, MattermostButtons};

use crate::{SettingsError, http::Http};

/// The chats whose clicks are taken.
#[derive(Debug, Clone, Default)]
pub struct ChatSettings {
    /// Slack.
    pub slack: SlackSettings,
    /// Mattermost.
    pub mattermost: MattermostSettings,
}

/// A Slack app.
#[derive(Debug, Clone)]
pub struct SlackSettings {
    /// By which Slack signs clicks (`SLACK_SIGNING_SECRET`). Messages have no buttons without it.
    pub signing_secret: Option<SecretString>,
    /// By which the mail address of whoever clicked is looked up (`SLACK_BOT_TOKEN`; `users:read.email`).
    pub bot_token: Option<SecretString>,
    /// Where Slack's API is.
    pub api_url: Url,
}

impl Default for SlackSettings {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant")]
        let api_url = Url::parse("https://slack.com/api/").expect("a URL");
        Self { signing_secret: None, bot_token: None, api_url }
    }
}

/// A Mattermost server.
#[derive(Debug, Clone, Default)]
pub struct MattermostSettings {
    /// Where it is (`MATTERMOST_URL`). Buttons are sent to this server alone.
    pub url: Option<Url>,
    /// By which buttons are known again (`MATTERMOST_ACTION_SECRET`). Messages have no buttons without it.
    pub action_secret: Option<SecretString>,
    /// By which the mail address of whoever clicked is looked up (`MATTERMOST_BOT_TOKEN`).
    pub bot_token: Option<SecretString>,
}

/// Takes clicks. Cheap to clone.
#[derive(Clone)]
pub struct ChatDesk {
    governor: Governor,
    http: Http,
    settings: ChatSettings,
}

/// What the chat is answered.
#[derive(Debug)]
pub enum ChatAnswer {
    /// Nothing; what there is to say is said elsewhere.
    Taken,
    /// This.
    Json(Value),
}

/// Why a click was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatError {
    /// Clicks of this chat cannot be verified here.
    NotSetUp(&'static str),
    /// It is not from the chat, too old, or was seen before.
    Refused(&'static str),
    /// It is not what the chat sends.
    Malformed(&'static str),
    /// It cannot be decided now.
    Unavailable,
}

impl fmt::Display for ChatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSetUp(what) => write!(f, "{what} is not set on this instance"),
            Self::Refused(why) | Self::Malformed(why) => f.write_str(why),
            Self::Unavailable => f.write_str("the click cannot be taken now; try again"),
        }
    }
}

/// Somebody in a chat, as the chat vouches for them.
struct Clicker {
    provider: &'static str,
    team: String,
    id: String,
    name: String,
}

/// What is said after a click.
struct Said {
    text: String,
    /// The request is at its end: the message is replaced by this.
    replaces: bool,
}

impl ChatDesk {
    /// A desk for the chats of `settings`.
    pub fn new(governor: Governor, egress: &Egress, settings: ChatSettings) -> Result<Self, SettingsError> {
        Ok(Self { governor, http: Http::new(egress)?, settings })
    }

    /// Makes a click a vote, where it is one.
    async fn click(&self, who: &Clicker, button: &Button, approve: bool) -> Said {
        let aside = |text: String| Said { text, replaces: false };
        let approvals = self.governor.approvals();
        let approval = match approvals.by_token(button.request, &button.token).await {
            Ok((approval, _)) => approval,
            Err(Error::NotFound(_)) => return aside("This request is not there any more.".to_owned()),
            Err(error) => return unavailable(&error),
        };
        let account = approval.account;
        let user = match self.person(account, who).await {
            Ok(Some(user)) => user,
            Ok(None) => return aside(self.unknown(who)),
            Err(error) => return unavailable(&error),
        };
        let before = approval.clone();
        let decided = approvals.decide_in_chat(approval, user, who.provider, Vote { approve, ..Vote::default() }).await;
        match decided {
            Ok(now) if now.status == ApprovalStatus::Pending => aside(format!(
                "Your {} is counted; {} more approval(s) needed.",
                if approve { "approval" } else { "refusal" },
                missing(&now)
            )),
            Ok(now) => self.end(&now).await,
            Err(error) => match approvals.get(account, before.id).await {
                // It was decided meanwhile: the message is out of date.
                Ok(now) if now.status != ApprovalStatus::Pending => self.end(&now).await,
                _ => match error {
                    Error::Store(error) => unavailable(&Error::Store(error)),
                    other => aside(format!("Not counted: {other}. You can decide by “Review and decide”.")),
                },
            },
        }
    }

    /// What is said of a request at its end.
    async fn end(&self, approval: &Approval) -> Said {
        let by = match (approval.decided_by, self.governor.snapshot(approval.account).await) {
            (Some(id), Ok(snapshot)) => snapshot.users.get(&id).map(|user| format!(" by {}", user.username)),
            _ => None,
        };
        let tool = one_line(&approval.tool.exposed);
        let text = format!("{tool}: {}{}", approval.status.as_str(), by.unwrap_or_default());
        Said { text, replaces: true }
    }

    /// What somebody is told whom nobody knows here.
    fn unknown(&self, who: &Clicker) -> String {
        let now = self.governor.now();
        let code = code::mint(&self.settings, who, now);
        format!(
            "Preloop does not know who you are here, so nothing was decided. Decide by “Review and decide”, or say \
             once who you are: preloop notifications link-chat {code} (good for 15 minutes)."
        )
    }

    /// Says that `user` is whom a code was made for.
    pub async fn link(&self, account: AccountId, user: UserId, code: &str) -> Result<ChatLink, Error> {
        let now = self.governor.now();
        let Some(who) = code::read(&self.settings, code, now) else {
            return Err(Error::Invalid("the code is wrong or too old; click a button again for a new one".to_owned()));
        };
        let link = ChatLink {
            provider: who.provider.to_owned(),
            team: who.team,
            chat_user: who.id,
            chat_name: who.name,
            user,
            created_at: now,
        };
        let kept = link.clone();
        let body = json!({
            "config_type": "chat_link", "action": "created", "id": user, "name": kept.provider,
            "new": { "team": kept.team, "chat_user": kept.chat_user },
        });
        let record = Entry {
            account,
            kind: EntryKind::KeyChanged,
            call: None,
            subject: Subject { user: Some(user), ..Subject::default() },
            // A map of plain values always serialises.
            body: to_raw_value(&body).unwrap_or_default(),
            payload: None,
        };
        let write = self.governor.store().write(account, move |tx| {
            Box::pin(async move {
                tx.put_chat_link(&kept).await?;
                tx.record(record);
                Ok(())
            })
        });
        write.await?;
        Ok(link)
    }
}

fn missing(approval: &Approval) -> u32 {
    let approved = approval.votes.iter().filter(|vote| vote.approve).count();
    approval.approvals_required.saturating_sub(u32::try_from(approved).unwrap_or(u32::MAX))
}

fn unavailable(error: &Error) -> Said {
    tracing::error!(%error, "a click in a chat could not be taken");
    Said {
        text: "Preloop cannot take your decision now, so nothing was decided. Try again.".to_owned(),
        replaces: false,
    }
}
