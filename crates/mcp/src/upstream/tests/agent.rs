use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::{Value, json, value::RawValue};
use tokio_util::sync::CancellationToken;

use crate::protocol::{AskError, Client, ClientInfo, InputRequest, InputResponses, LogLevel, Version};

/// An agent at the other end, with everything it was told.
pub(super) struct Agent {
    version: Version,
    info: ClientInfo,
    token: Option<Box<RawValue>>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) conversation: Option<String>,
    pub(super) cancel: CancellationToken,
    pub(super) told: Mutex<Vec<(String, Value)>>,
    pub(super) asked: Mutex<Vec<BTreeMap<String, (String, Value)>>>,
    pub(super) answer: Value,
}

impl Agent {
    fn new(version: Version) -> Self {
        Self {
            version,
            info: ClientInfo::default(),
            token: None,
            log_level: None,
            conversation: None,
            cancel: CancellationToken::new(),
            told: Mutex::default(),
            asked: Mutex::default(),
            answer: json!({"action": "accept", "content": {"name": "Ann"}}),
        }
    }

    pub(super) fn legacy() -> Self {
        Self::new(Version::V2025_11_25)
    }

    pub(super) fn modern() -> Self {
        Self::new(Version::V2026_07_28)
    }

    pub(super) fn declaring(mut self, capabilities: Value) -> Self {
        self.info.capabilities = capabilities.as_object().unwrap().clone();
        self
    }

    pub(super) fn with_progress(mut self, token: &str) -> Self {
        self.token = Some(RawValue::from_string(token.to_owned()).unwrap());
        self
    }

    pub(super) fn in_conversation(mut self, name: &str) -> Self {
        self.conversation = Some(name.to_owned());
        self
    }

    pub(super) fn told(&self, method: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }
}

#[async_trait]
impl Client for Agent {
    fn version(&self) -> Version {
        self.version
    }

    fn info(&self) -> &ClientInfo {
        &self.info
    }

    fn progress_token(&self) -> Option<&RawValue> {
        self.token.as_deref()
    }

    fn log_level(&self) -> Option<LogLevel> {
        self.log_level
    }

    fn conversation(&self) -> Option<&str> {
        self.conversation.as_deref()
    }

    fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    fn notify(&self, method: &str, params: Option<Arc<RawValue>>) {
        let params = params.map_or(Value::Null, |params| serde_json::from_str(params.get()).unwrap());
        self.told.lock().unwrap().push((method.to_owned(), params));
    }

    async fn ask(&self, requests: BTreeMap<String, InputRequest>) -> Result<InputResponses, AskError> {
        let seen = requests.iter().map(|(key, request)| {
            let params = request.params.as_ref().map_or(Value::Null, |raw| serde_json::from_str(raw.get()).unwrap());
            (key.clone(), (request.method.clone(), params))
        });
        self.asked.lock().unwrap().push(seen.collect());
        let answer: Arc<RawValue> = Arc::from(serde_json::value::to_raw_value(&self.answer).unwrap());
        Ok(requests.into_keys().map(|key| (key, Ok(Arc::clone(&answer)))).collect())
    }
}
