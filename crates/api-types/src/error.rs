use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::schema::{ArrayBuilder, Object, OneOfBuilder, Schema, Type},
};

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    #[schema(schema_with = detail)]
    pub detail: Detail,
}

/// What went wrong: a sentence, the fields of the body that are wrong (422), or an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// A sentence for people.
    Text(String),
    /// One item per field that is wrong.
    Fields(Vec<FieldError>),
    /// Facts about the failure; always has a `message`.
    Object(crate::JsonObject),
}

/// One field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where: `["body", "rules", 0, "action"]`.
    pub loc: Vec<Value>,
    /// What is wrong with it.
    pub msg: String,
    /// A word for programs: `value_error`, `json_invalid`, `missing`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Detail::Text(text)
    }
}

fn detail() -> Schema {
    OneOfBuilder::new()
        .item(Object::with_type(Type::String))
        .item(ArrayBuilder::new().items(FieldError::schema()))
        .item(Object::with_type(Type::Object))
        .build()
        .into()
}
