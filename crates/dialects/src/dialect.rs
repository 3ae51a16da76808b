use serde::{Deserialize, Serialize};

/// The shape of a model API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's chat completions, and its embeddings.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Google's Gemini.
    Gemini,
    /// Amazon Bedrock's Converse. Providers speak it, agents do not.
    Converse,
}

impl Dialect {
    /// The spelling in SQL, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Responses => "responses",
            Dialect::Messages => "messages",
            Dialect::Gemini => "gemini",
            Dialect::Converse => "converse",
        }
    }
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// An answer.
    Generate,
    /// Vectors.
    Embed,
    /// How many tokens a prompt has. Free of charge.
    CountTokens,
}

impl Operation {
    /// The spelling in SQL, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Generate => "generate",
            Operation::Embed => "embed",
            Operation::CountTokens => "count_tokens",
        }
    }
}
