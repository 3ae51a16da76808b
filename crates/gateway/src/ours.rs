//! Models for Preloop's own parts: the generator of policies, the AI reviewer.
//!
//! A part of ours asks as an agent does, in one dialect, and is governed like one: its call is
//! decided, reserved, recorded and settled. It speaks Anthropic's dialect, which every provider's can
//! be translated from.

use std::sync::Arc;

use axum::{body::to_bytes, response::Response};
use http::{HeaderMap, HeaderValue, Method, header};
use preloop_govern::{NoAnswer, Question, Reply};
use preloop_types::{CallId, Permission, Principal};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Gateway,
    call::Received,
    failure::Failure,
    serve::{Ask, What},
};

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Deserialize)]
struct Message {
    model: String,
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    text: Option<String>,
}

impl Gateway {
    /// Asks a model on behalf of one of our own parts, in `who`'s name and on `who`'s budgets.
    pub async fn ask(&self, who: Arc<Principal>, question: Question) -> Result<Reply, NoAnswer> {
        if !who.may(Permission::InvokeModels) {
            return Err(NoAnswer(format!("`{}` may not call models", who.username)));
        }
        let body = json!({
            "model": question.model,
            "max_tokens": question.output_tokens_max,
            "system": question.system,
            "messages": [{"role": "user", "content": question.text}],
        });
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        if let Ok(client) = HeaderValue::try_from(format!("preloop-{}/{}", question.part, env!("CARGO_PKG_VERSION"))) {
            headers.insert(header::USER_AGENT, client);
        }
        let path = "/anthropic/v1/messages";
        let ask = Ask::read(&Method::POST, path, None, true).map_err(|_| nowhere())?;
        let What::Model(operation, in_path) = &ask.what else { return Err(nowhere()) };
        let received = Received {
            id: CallId::new(self.now()),
            ask: &ask,
            method: Method::POST,
            headers: &headers,
            body: body.to_string().into(),
        };
        let answered = self.model_call(who, received, *operation, in_path).await;
        read(answered.map_err(|Failure { message, .. }| NoAnswer(message))?).await
    }
}

fn nowhere() -> NoAnswer {
    NoAnswer("the gateway has no such API".to_owned())
}

async fn read(response: Response) -> Result<Reply, NoAnswer> {
    let status = response.status();
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
    let body = body.map_err(|_| NoAnswer("the model's answer broke off or is too long".to_owned()))?;
    if !status.is_success() {
        return Err(NoAnswer(format!("the model's provider answered {status}")));
    }
    let message: Message =
        serde_json::from_slice(&body).map_err(|_| NoAnswer("the model's answer cannot be read".to_owned()))?;
    let text: String = message.content.into_iter().filter_map(|block| block.text).collect();
    Ok(Reply { text, model: message.model, is_whole: message.stop_reason.as_deref() != Some("max_tokens") })
}
