//! Clicks in Mattermost: a button's context comes back with who clicked. Mattermost signs nothing, so the
//! context is what it is known by; only the server the instance trusts was ever told one.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ChatAnswer, ChatDesk, ChatError, Clicker, MattermostButtons, Said};

#[derive(Deserialize)]
struct Payload {
    user_id: String,
    #[serde(default)]
    user_name: String,
    #[serde(default)]
    context: Value,
}

impl ChatDesk {
    /// Takes a click in Mattermost.
    pub async fn mattermost(&self, body: &[u8]) -> Result<ChatAnswer, ChatError> {
        let settings = &self.settings.mattermost;
        let buttons = MattermostButtons::new(settings).filter(|_| settings.url.is_some());
        let buttons = buttons.ok_or(ChatError::NotSetUp("`MATTERMOST_URL` or `MATTERMOST_ACTION_SECRET`"))?;
        let payload: Payload =
            serde_json::from_slice(body).map_err(|_| ChatError::Malformed("the body is not a click"))?;
        let ours = buttons.verify(&payload.context);
        let (button, approve) = ours.ok_or(ChatError::Refused("the button is not one of ours"))?;
        // Its users' ids are the same in all its teams.
        let team = String::new();
        let who = Clicker { provider: "mattermost", team, id: payload.user_id, name: payload.user_name };
        Ok(ChatAnswer::Json(answer(&Box::pin(self.click(&who, &button, approve)).await)))
    }
}

fn answer(said: &Said) -> Value {
    if said.replaces {
        let text = format!("```text\n{}\n```", said.text.replace("```", "'''"));
        return json!({ "update": { "message": "", "props": { "attachments": [{ "text": text }] } } });
    }
    json!({ "ephemeral_text": said.text })
}
