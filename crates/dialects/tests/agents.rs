//! What coding agents of autumn 2026 send can be put to every provider as it is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use preloop_dialects::{
    Dialect, Quirks,
    ir::Signature,
    translate::{BadRequest, Carrier, Target, codec},
};
use serde_json::{Value, json};

const PROVIDERS: [(Dialect, &str); 5] = [
    (Dialect::Chat, "gpt-5"),
    (Dialect::Responses, "gpt-5"),
    (Dialect::Messages, "claude-opus-4-6"),
    (Dialect::Gemini, "gemini-3-pro-preview"),
    (Dialect::Converse, "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
];

struct Nothing;

impl Carrier for Nothing {
    fn seal(&self, signature: &Signature) -> String {
        signature.value.clone()
    }

    fn open(&self, _: &str) -> Result<Option<Signature>, BadRequest> {
        Ok(None)
    }

    fn remember(&self, _: &str, _: &str, _: Option<&Signature>) {}

    fn recall(&self, _: &str) -> Option<(String, Option<Signature>)> {
        None
    }
}

/// Warnings of each provider for what `agent` sends.
fn put_to_all(agent: Dialect, body: &Value) -> Vec<(Dialect, Vec<String>)> {
    let request = codec(agent).decode_request(body.to_string().as_bytes(), &Nothing).unwrap();
    let quirks = Quirks::default();
    let put = |(provider, model)| {
        let target = Target { model, max_output: Some(64000), quirks: &quirks, drop_unsupported: false };
        let encoded = codec(provider).encode_request(&request, &target);
        let encoded = encoded.unwrap_or_else(|refused| panic!("{agent:?} to {provider:?}: {refused}"));
        let body = String::from_utf8(encoded.body).unwrap();
        assert!(body.contains("echo it") && body.contains("echoed"), "{agent:?} to {provider:?}: {body}");
        (provider, encoded.warnings)
    };
    PROVIDERS.into_iter().filter(|(provider, _)| *provider != agent).map(put).collect()
}

#[test]
fn claude_code() {
    let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}, "$schema": "https://json-schema.org/draft/2020-12/schema", "additionalProperties": false});
    let warnings = put_to_all(
        Dialect::Messages,
        &json!({
            "model": "m", "max_tokens": 32000, "stream": true,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "echo it"}]},
                {"role": "system", "content": "There are more tools."},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "ToolSearch", "input": {"query": "echo"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "tool_reference", "tool_name": "mcp__probe__echo"}]}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_2", "name": "mcp__probe__echo", "input": {"text": "it"}, "caller": {"type": "direct"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "echoed"}], "cache_control": {"type": "ephemeral"}}]}
            ],
            "tools": [
                {"name": "ToolSearch", "description": "Finds tools.", "input_schema": schema},
                {"name": "mcp__probe__echo", "description": "Echoes.", "input_schema": schema, "defer_loading": true}
            ],
            "metadata": {"user_id": "user_session"},
            "thinking": {"type": "adaptive", "display": "omitted"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "high"}
        }),
    );
    for (provider, warnings) in warnings {
        assert!(warnings.iter().any(|warning| warning.contains("context_management")), "{provider:?}: {warnings:?}");
    }
}

#[test]
fn gemini_cli() {
    let tool = json!({"name": "echo", "description": "Echoes.", "parametersJsonSchema": {"type": "object", "properties": {"text": {"type": "string"}}}});
    put_to_all(
        Dialect::Gemini,
        &json!({
            "contents": [
                {"role": "user", "parts": [{"text": "echo it"}]},
                {"role": "model", "parts": [{"functionCall": {"id": "echo_1_0", "name": "echo", "args": {"text": "it"}}, "thoughtSignature": "skip_thought_signature_validator"}]},
                {"role": "user", "parts": [{"functionResponse": {"id": "echo_1_0", "name": "echo", "response": {"output": "echoed"}}}]}
            ],
            "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
            "tools": [{"functionDeclarations": [tool]}],
            "generationConfig": {"temperature": 1, "topP": 0.95, "topK": 64, "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 8192}}
        }),
    );
}

#[test]
fn codex() {
    put_to_all(
        Dialect::Responses,
        &json!({
            "model": "m", "instructions": "Be brief.", "stream": true, "store": false, "parallel_tool_calls": true,
            "input": [
                {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandboxed."}], "id": "msg_0"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "echo it"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"},
                {"type": "function_call", "call_id": "call_1", "name": "echo", "namespace": "mcp__probe", "arguments": "{\"text\":\"it\"}"},
                {"type": "custom_tool_call", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin Patch"},
                {"type": "function_call_output", "call_id": "call_1", "output": "echoed"},
                {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done"}
            ],
            "tools": [
                {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
                {"type": "namespace", "name": "mcp__probe", "description": "Probe.", "tools": [
                    {"type": "function", "name": "echo", "description": "Echoes.", "strict": false, "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}]}
            ],
            "tool_choice": "auto", "reasoning": {"effort": "medium", "summary": "auto"},
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "client_metadata": {"x": "y"}
        }),
    );
}

#[test]
fn opencode() {
    put_to_all(
        Dialect::Chat,
        &json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 32000,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "echo it"},
                {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "echo", "arguments": "{\"text\":\"it\"}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "echoed"}
            ],
            "tools": [{"type": "function", "function": {"name": "echo", "description": "Echoes.", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}}],
            "tool_choice": "auto", "reasoning_effort": null
        }),
    );
}
