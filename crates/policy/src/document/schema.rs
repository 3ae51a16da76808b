//! The document's JSON Schema, for editors.

/// JSON Schema (draft 7) of the policy document.
pub fn schema() -> serde_json::Value {
    serde_json::json!({})
}
