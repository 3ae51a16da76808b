//! One representation of a conversation with a model, between any two dialects.
//!
//! It holds what at least two dialects can say. What only one can say stays in `extra` under that
//! dialect's own field name and is sent only to a provider of the same dialect; asked of another,
//! it is refused by name, never dropped in silence.

use preloop_types::Tokens;
use serde_json::{Number, Value};

use crate::Dialect;

/// A request for an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The model as the agent named it; empty where the URL names it.
    pub model: String,
    /// Instructions ahead of the conversation.
    pub system: Vec<Part>,
    /// The conversation, oldest first. Neighbours may have the same role.
    pub turns: Vec<Turn>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Which of them it has to.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// Longest answer, in tokens, reasoning included.
    pub max_output: Option<u64>,
    /// Sampling temperature, as written.
    pub temperature: Option<Number>,
    /// Nucleus sampling, as written.
    pub top_p: Option<Number>,
    /// Sampling among the likeliest.
    pub top_k: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Seed of the sampling.
    pub seed: Option<i64>,
    /// Penalty on frequent tokens, as written.
    pub frequency_penalty: Option<Number>,
    /// Penalty on tokens that occurred, as written.
    pub presence_penalty: Option<Number>,
    /// How many likeliest tokens to report at each place; 0 reports the chosen one's alone.
    pub logprobs: Option<u32>,
    /// How many answers; 1 when absent.
    pub choices: Option<u32>,
    /// The form of the answer.
    pub output: OutputFormat,
    /// How much to think.
    pub reasoning: Option<Reasoning>,
    /// The agent's own stable name for its user.
    pub user: Option<String>,
    /// What prompts with a common beginning share.
    pub cache_key: Option<String>,
    /// The provider's class of service.
    pub service_tier: Option<String>,
    /// The agent's labels.
    pub metadata: Vec<(String, String)>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the agent wants usage in a chat stream.
    pub include_usage: bool,
    /// How wordy the answer should be: `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// Tools the agent declared inside a namespace; `tools` has them under their flat names.
    pub namespaces: Vec<Namespaced>,
    /// Fields only `extra.0` can say, by their name there.
    pub extra: Option<(Dialect, Vec<(String, Value)>)>,
}

impl Request {
    /// Whether `tool` takes free text instead of JSON arguments.
    pub fn is_custom(&self, tool: &str) -> bool {
        self.tools.iter().any(|known| matches!(known, Tool::Custom { name, .. } if name == tool))
    }
}

/// A tool inside a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaced {
    /// The name that stands for both elsewhere in the request.
    pub flat: String,
    /// The namespace.
    pub namespace: String,
    /// The tool's name in it.
    pub name: String,
}

/// What one side said at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Who spoke.
    pub role: Role,
    /// What.
    pub parts: Vec<Part>,
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions in the middle of the conversation.
    System,
    /// The agent's side; tool results are parts of its turns.
    User,
    /// The model.
    Assistant,
}

/// A piece of a turn, of the instructions or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Where a prompt cache ends.
        cache: Option<CacheMark>,
    },
    /// An image.
    Image {
        /// Where its bytes are.
        source: Media,
        /// `low`, `high` or `auto`.
        detail: Option<String>,
        /// Where a prompt cache ends.
        cache: Option<CacheMark>,
    },
    /// A document.
    Document {
        /// Where its bytes are.
        source: Media,
        /// Its file name.
        name: Option<String>,
        /// Where a prompt cache ends.
        cache: Option<CacheMark>,
    },
    /// Sound.
    Audio {
        /// Its bytes.
        source: Media,
    },
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// What a tool answered.
    ToolResult {
        /// The call it answers.
        call_id: String,
        /// The tool's name, where the dialect says it; decoders fill it from the call otherwise.
        name: Option<String>,
        /// Text, images and documents.
        parts: Vec<Part>,
        /// Whether the tool failed; `None` where the dialect cannot say.
        is_error: Option<bool>,
        /// Where a prompt cache ends.
        cache: Option<CacheMark>,
    },
    /// The model thinks.
    Reasoning(Thought),
    /// The model declines, in these words.
    Refusal(String),
}

/// A call of a tool by the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolCall {
    /// Joins it with its result. Decoders make one up, stable within the answer, where the provider sends none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments, as text: JSON of an object, or free text for a custom tool.
    pub arguments: String,
    /// What the provider demands back with the call.
    pub signature: Option<Signature>,
    /// Where a prompt cache ends.
    pub cache: Option<CacheMark>,
}

/// Thinking the model showed, and what proves it is its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thought {
    /// The thinking, or the summary of it; empty when hidden.
    pub text: String,
    /// What the provider demands back with it.
    pub signature: Option<Signature>,
    /// Whether `signature` is all there is, because the provider hid the text.
    pub redacted: bool,
}

/// Opaque bytes a provider demands back unchanged, as it wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Whose. A signature is only ever sent back to a provider of the dialect it came from.
    pub dialect: Dialect,
    /// The id the provider gave the item it belongs to, where it has one.
    pub item_id: Option<String>,
    /// The bytes, as text.
    pub value: String,
}

/// Where the bytes of an image, document or sound are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// Here, in base64.
    Inline {
        /// Media type, e.g. `image/png`.
        mime: String,
        /// Standard base64.
        base64: String,
    },
    /// Behind a URL, which is not a `data:` URL.
    Url {
        /// Media type, where it is said.
        mime: Option<String>,
        /// The URL.
        url: String,
    },
    /// In the provider's own store.
    File {
        /// Whose store.
        dialect: Dialect,
        /// Its id or URI there.
        id: String,
    },
    /// Plain text (documents only).
    Text(String),
}

/// The end of a prefix the provider should keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMark {
    /// As long as the provider usually does.
    Default,
    /// An hour.
    Hour,
}

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool {
    /// With arguments that follow a JSON Schema.
    Function {
        /// Its name.
        name: String,
        /// For the model.
        description: Option<String>,
        /// JSON Schema of the arguments, an object; `None` takes none.
        parameters: Option<Value>,
        /// Whether the arguments have to follow the schema exactly.
        strict: Option<bool>,
        /// Where a prompt cache ends.
        cache: Option<CacheMark>,
    },
    /// With free text as its argument.
    Custom {
        /// Its name.
        name: String,
        /// For the model.
        description: Option<String>,
        /// The grammar of the text, as the dialect writes it.
        format: Option<Value>,
    },
    /// Run by the provider itself: as it came, with the dialect that knows it.
    Hosted {
        /// Whose.
        dialect: Dialect,
        /// Its type there (`web_search`, `codeExecution`, …), for messages.
        kind: String,
        /// The definition.
        definition: Value,
    },
}

/// Which tools the model has to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// At least one.
    Required,
    /// None.
    None,
    /// This one.
    Tool(String),
    /// Some of these; at least one if `required`.
    Among {
        /// Their names.
        names: Vec<String>,
        /// Whether at least one has to be called.
        required: bool,
    },
}

/// The form of the answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum OutputFormat {
    /// Free text.
    #[default]
    Text,
    /// Some JSON object.
    Json,
    /// JSON of a schema.
    Schema {
        /// Its name, where the dialect has one.
        name: Option<String>,
        /// For the model.
        description: Option<String>,
        /// JSON Schema.
        schema: Value,
        /// Whether it has to be followed exactly.
        strict: Option<bool>,
    },
}

/// How much to think.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// In words.
    pub effort: Option<Effort>,
    /// In tokens; `Some(0)` is not at all.
    pub budget: Option<u64>,
    /// Whether the amount is left to the model (`adaptive`, a budget of −1).
    pub dynamic: bool,
    /// Whether the thinking is shown, and how (`auto`, `concise`, `detailed`).
    pub summary: Option<String>,
}

/// How much to think, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    /// The spelling all dialects share.
    pub const fn as_str(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::XHigh => "xhigh",
            Effort::Max => "max",
        }
    }

    /// Reads that spelling.
    pub fn parse(text: &str) -> Option<Self> {
        use Effort::{High, Low, Max, Medium, Minimal, None as Off, XHigh};
        [Off, Minimal, Low, Medium, High, XHigh, Max].into_iter().find(|effort| effort.as_str() == text)
    }

    /// The budget of thinking tokens that stands for it where a dialect knows only budgets.
    pub const fn budget(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal | Effort::Low => 1024,
            Effort::Medium => 2048,
            Effort::High => 4096,
            Effort::XHigh => 8192,
            Effort::Max => 16384,
        }
    }

    /// The word nearest to a budget.
    pub const fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Effort::None,
            1..=1024 => Effort::Low,
            1025..=2048 => Effort::Medium,
            2049..=4096 => Effort::High,
            4097..=8192 => Effort::XHigh,
            _ => Effort::Max,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Response {
    /// The provider's id of it; empty if it sent none.
    pub id: String,
    /// The model as the provider names it.
    pub model: String,
    /// The answers; one unless several were asked for.
    pub choices: Vec<Choice>,
    /// What it consumed; `None` if the provider did not say.
    pub usage: Option<Tokens>,
    /// Unix seconds, where the provider says them.
    pub created: Option<i64>,
    /// The class of service it was given.
    pub service_tier: Option<String>,
}

/// One answer of several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// What the model said, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Stop,
    /// Likelihoods, as chat completions writes them.
    pub logprobs: Option<Value>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stop {
    /// The model was done.
    #[default]
    End,
    /// A stop sequence, where the provider says which.
    Sequence(Option<String>),
    /// The longest answer asked for.
    Length,
    /// The longest context the model has.
    ContextFull,
    /// The model waits for its tools.
    ToolCalls,
    /// The provider's filter, or the model's refusal.
    Filtered,
    /// The provider paused a long turn of its own tools.
    Paused,
}

/// A step of a streamed answer. Of choice 0: streams of several choices are not translated.
///
/// Order: `Start`, then for each part `PartStart`, its deltas, `PartEnd` (parts may overlap: providers
/// interleave parallel tool calls), then `Stop`, `Usage` any time, `End` last. Or `Error`, last.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer begins.
    Start {
        /// The provider's id of it; empty if it sent none.
        id: String,
        /// The model as the provider names it.
        model: String,
    },
    /// A part begins. Indexes are dense, from 0, in the order parts begin.
    PartStart {
        /// Its index.
        index: usize,
        /// What it is.
        kind: PartKind,
    },
    /// More of a text, thinking, refusal or arguments.
    Delta {
        /// The part's index.
        index: usize,
        /// What is added.
        text: String,
    },
    /// What the provider demands back with a part.
    Signature {
        /// The part's index.
        index: usize,
        /// The signature, whole.
        signature: Signature,
    },
    /// A part is complete.
    PartEnd {
        /// The part's index.
        index: usize,
    },
    /// What was consumed so far. Cumulative; the larger of each counter holds.
    Usage(Tokens),
    /// Why the answer ended.
    Stop(Stop),
    /// Everything was said.
    End,
    /// The provider broke off.
    Error {
        /// The provider's word for it.
        code: String,
        /// For people.
        message: String,
    },
}

/// What a streamed part is.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Text.
    Text,
    /// Thinking; `redacted` thinking has a signature and no text.
    Reasoning {
        /// Whether the provider hid the text.
        redacted: bool,
    },
    /// A tool call; its deltas are the arguments.
    ToolCall {
        /// Joins it with its result.
        id: String,
        /// The tool.
        name: String,
    },
    /// The model declines.
    Refusal,
}

/// A feature that the target dialect cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` cannot be sent to this model: {why}")]
pub struct Unsupported {
    /// The field, as the agent wrote it.
    pub field: String,
    /// Why, and what to do instead.
    pub why: String,
}
