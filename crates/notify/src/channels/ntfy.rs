//! ntfy: a topic on ntfy.sh or on one's own server. Whoever knows a topic can read it, so it is told no more
//! than a locked screen.

use async_trait::async_trait;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::{
    SendError,
    brief::Brief,
    channel::{Channel, Parcel},
    http::Http,
};

const WHAT: &str = "ntfy";

#[derive(Deserialize)]
struct Address {
    /// `https://ntfy.sh/topic`
    url: String,
    token: Option<String>,
}

pub(super) struct Ntfy(pub(super) Http);

#[async_trait]
impl Channel for Ntfy {
    fn name(&self) -> &'static str {
        "ntfy"
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let (to, message): (Address, _) = parcel.open()?;
        let (server, topic) = server_and_topic(&to.url)?;
        let brief = Brief::of(&message);
        let title = [brief.title.as_str(), brief.subtitle.as_str()];
        let title = title.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        // 3 is the default, 4 is high.
        let priority = if brief.priority == "high" { 4 } else { 3 };
        let body = json!({
            "topic": topic, "title": title, "message": brief.body, "priority": priority, "tags": ["preloop"],
        });
        let mut headers = HeaderMap::new();
        if let Some(token) = &to.token {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let mut value = value.map_err(|_| SendError::permanent("ntfy's token is no HTTP header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let answer = self.0.post_json(WHAT, server.as_str(), headers, &body).await?;
        match answer.status {
            // Topics are never gone; the address is wrong until its owner corrects it.
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Err(SendError::permanent(format!("{WHAT} answered {}", answer.status)))
            }
            _ => answer.judged(WHAT),
        }
    }
}

/// The last segment is the topic; what is before it, the server.
fn server_and_topic(address: &str) -> Result<(Url, String), SendError> {
    let wrong = || SendError::permanent("ntfy's URL names no topic: `https://ntfy.sh/my-topic`".to_owned());
    let mut url = Url::parse(address).map_err(|_| wrong())?;
    let topic = url.path_segments().and_then(|mut path| path.next_back()).unwrap_or_default().to_owned();
    if topic.is_empty() {
        return Err(wrong());
    }
    url.path_segments_mut().map_err(|()| wrong())?.pop().push("");
    url.set_query(None);
    Ok((url, topic))
}
