//! What a button carries.

use hmac::{Hmac, KeyInit, Mac};
use preloop_types::ApprovalId;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use super::MattermostSettings;

/// A request, and the token of the notice the button is in: it proves that the button is one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Button {
    pub(crate) request: ApprovalId,
    pub(crate) token: String,
}

impl Button {
    /// The button that stands beside a link.
    pub(crate) fn of(link: &str) -> Option<Self> {
        let url = Url::parse(link).ok()?;
        let request = url.path_segments()?.next_back()?.parse().ok()?;
        let token = url.query_pairs().find(|(name, _)| name == "token")?.1.into_owned();
        Some(Self { request, token })
    }

    pub(crate) fn value(&self) -> String {
        format!("{}.{}", self.request, self.token)
    }

    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (request, token) = value.split_once('.')?;
        Some(Self { request: request.parse().ok()?, token: token.to_owned() })
    }
}

/// Makes buttons of Mattermost, and knows them again.
pub(crate) struct MattermostButtons(SecretString);

impl MattermostButtons {
    /// `None` where clicks cannot be verified.
    pub(crate) fn new(settings: &MattermostSettings) -> Option<Self> {
        settings.action_secret.clone().map(Self)
    }

    /// What Mattermost keeps with a button, unseen by people, and sends along with a click.
    pub(crate) fn context(&self, button: &Button, action: &str) -> Value {
        let mac = self.mac(button, action).map(|mac| hex::encode(mac.finalize().into_bytes()));
        json!({ "preloop": "v1", "action": action, "button": button.value(), "token": mac })
    }

    /// The button and its action, if the context is one of ours.
    pub(super) fn verify(&self, context: &Value) -> Option<(Button, bool)> {
        let field = |name: &str| context[name].as_str();
        let (button, action) = (Button::parse(field("button")?)?, field("action")?);
        let token = hex::decode(field("token")?).ok()?;
        self.mac(&button, action)?.verify_slice(&token).ok()?;
        match action {
            "approve" => Some((button, true)),
            "decline" => Some((button, false)),
            _ => None,
        }
    }

    fn mac(&self, button: &Button, action: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).ok()?;
        mac.update(format!("preloop/mattermost/v1:{action}:{}", button.value()).as_bytes());
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn button() -> Button {
        Button::of("https://preloop.example/approval/0192a1b0-0000-7000-8000-000000000001?token=secret-1").unwrap()
    }

    #[test]
    fn a_button_says_which_link_it_stands_beside() {
        assert_eq!(button().value(), "0192a1b0-0000-7000-8000-000000000001.secret-1");
        assert_eq!(Button::parse(&button().value()), Some(button()));
        assert_eq!(Button::of("https://preloop.example/approval/x?token=1"), None);
    }

    #[test]
    fn a_context_cannot_be_made_or_turned_by_others() {
        let settings = |secret: &str| MattermostSettings {
            action_secret: Some(SecretString::from(secret)),
            ..MattermostSettings::default()
        };
        let buttons = |secret: &str| MattermostButtons::new(&settings(secret)).unwrap();
        let mut context = buttons("one").context(&button(), "decline");
        assert_eq!(buttons("one").verify(&context), Some((button(), false)));
        assert_eq!(buttons("two").verify(&context), None);
        context["action"] = json!("approve");
        assert_eq!(buttons("one").verify(&context), None);
        assert_eq!(buttons("one").verify(&json!({})), None);
    }
}
