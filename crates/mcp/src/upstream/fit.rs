//! Results that are larger than the server's `max_response_bytes` are shortened, not refused: a
//! model can do something with most of a text, and nothing with an error.
//!
//! Texts lose their middle and say so; `structuredContent` that does not fit goes; what cannot be
//! shortened (an image, a resource) and still does not fit is an error. Everything else stays.

use std::sync::Arc;

use serde_json::{Map, Value, json, value::RawValue, value::to_raw_value};

use super::UpstreamError;

/// How much larger than the limit an answer may be to be read and shortened at all.
pub(super) const READ_FACTOR: u64 = 4;
/// Where a shortened result says so in `_meta`.
const TRUNCATED: &str = "dev.preloop/truncated";
/// Room for what is put in the place of what was cut, and for `_meta`.
const NOTICE_BYTES: usize = 256;
/// A text is not made shorter than this.
const TEXT_BYTES_MIN: usize = 64;

/// `result`, if it has at most `limit` bytes, else shortened to that.
pub(super) fn fit(result: Arc<RawValue>, limit: u64) -> Result<Arc<RawValue>, UpstreamError> {
    let length = result.get().len();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if length <= limit {
        return Ok(result);
    }
    let too_large = || UpstreamError::TooLarge(limit as u64);
    let mut parts: Map<String, Value> = serde_json::from_str(result.get()).map_err(|_| too_large())?;
    mark(&mut parts, length);
    if shorten(&mut parts, limit) {
        return raw(&parts).ok_or_else(too_large);
    }
    if parts.remove("structuredContent").is_some() {
        let notice =
            format!("[structuredContent left out by Preloop: the result has {length} bytes, {limit} are allowed]");
        let content = parts.entry("content").or_insert_with(|| json!([]));
        if let Value::Array(blocks) = content {
            blocks.push(json!({"type": "text", "text": notice}));
        }
    }
    if shorten(&mut parts, limit) { raw(&parts).ok_or_else(too_large) } else { Err(too_large()) }
}

fn mark(parts: &mut Map<String, Value>, length: usize) {
    if let Value::Object(meta) = parts.entry("_meta").or_insert_with(|| json!({})) {
        meta.insert(TRUNCATED.to_owned(), json!({"bytes": length}));
    }
}

/// Shortens the longest texts until everything fits, if that is possible.
fn shorten(parts: &mut Map<String, Value>, limit: usize) -> bool {
    // What is escaped grows again when it is written, so that the first cut may not be enough.
    for _ in 0..8 {
        let length = encoded(&Value::Object(parts.clone()));
        let Some(excess) = length.checked_sub(limit).filter(|excess| *excess > 0) else { return true };
        let Some(text) = longest_text(parts) else { return false };
        let (written, wanted) = (encoded(&Value::from(text.as_str())), excess + NOTICE_BYTES);
        let keep = text.len().saturating_mul(written.saturating_sub(wanted)) / written.max(1);
        if text.len() <= TEXT_BYTES_MIN + NOTICE_BYTES {
            return false;
        }
        *text = without_middle(text, keep.max(TEXT_BYTES_MIN));
    }
    false
}

/// The longest text among the blocks of a tool's result or the contents of a resource.
fn longest_text(parts: &mut Map<String, Value>) -> Option<&mut String> {
    let lists = parts.iter_mut().filter(|(name, _)| matches!(name.as_str(), "content" | "contents"));
    let blocks = lists.filter_map(|(_, list)| list.as_array_mut()).flatten();
    let texts = blocks.filter_map(|block| match block.get_mut("text") {
        Some(Value::String(text)) => Some(text),
        _ => None,
    });
    texts.max_by_key(|text| text.len())
}

/// The first four fifths and the last fifth of `keep` bytes of `text`, and between them what is missing.
fn without_middle(text: &str, keep: usize) -> String {
    let head = text.floor_char_boundary(keep / 5 * 4);
    let tail = text.ceil_char_boundary(text.len() - keep / 5);
    let cut = tail - head;
    format!(
        "{}\n[{cut} of {} bytes cut by Preloop: the result was too long]\n{}",
        &text[..head],
        text.len(),
        &text[tail..]
    )
}

fn encoded(value: &Value) -> usize {
    // A JSON value always serialises.
    serde_json::to_string(value).map_or(usize::MAX, |text| text.len())
}

fn raw(parts: &Map<String, Value>) -> Option<Arc<RawValue>> {
    to_raw_value(parts).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splice;

    fn fitted(result: &Value, limit: u64) -> Result<Value, UpstreamError> {
        let fitted = fit(splice::raw(result.to_string()), limit)?;
        assert!(fitted.get().len() as u64 <= limit, "{} bytes", fitted.get().len());
        Ok(serde_json::from_str(fitted.get()).unwrap())
    }

    #[test]
    fn what_fits_is_not_touched() {
        let result = splice::raw(r#"{"content" : [],"x":1.0e3}"#);
        assert_eq!(fit(result.clone(), 1_024).unwrap().get(), result.get());
    }

    #[test]
    fn a_long_text_keeps_its_ends_and_says_what_is_missing() {
        let text = format!("begin{}end", "é\"".repeat(50_000));
        let result = json!({"content": [{"type": "text", "text": "short"}, {"type": "text", "text": text, "annotations": {}}],
            "isError": true, "vendor": {"x": 1}});
        let short = fitted(&result, 10_000).unwrap();
        let cut = short["content"][1]["text"].as_str().unwrap();
        assert!(cut.starts_with("begin") && cut.ends_with("end") && cut.contains("bytes cut by Preloop"), "{cut}");
        assert!(cut.len() > 5_000, "no more is cut than has to be: {}", cut.len());
        assert_eq!(short["content"][0]["text"], "short");
        assert_eq!((&short["isError"], &short["vendor"]), (&json!(true), &json!({"x": 1})));
        assert_eq!(short["_meta"]["dev.preloop/truncated"]["bytes"], result.to_string().len());
    }

    #[test]
    fn structured_content_goes_where_it_does_not_fit() {
        let result = json!({"content": [{"type": "text", "text": "done"}], "structuredContent": {"rows": vec![7; 10_000]},
            "isError": false});
        let short = fitted(&result, 4_000).unwrap();
        assert!(short.get("structuredContent").is_none());
        assert_eq!(short["content"][0]["text"], "done");
        assert!(short["content"][1]["text"].as_str().unwrap().contains("structuredContent left out"), "{short}");
        assert_eq!(short["isError"], false);
    }

    #[test]
    fn what_cannot_be_shortened_is_an_error() {
        let image = json!({"content": [{"type": "image", "data": "A".repeat(50_000), "mimeType": "image/png"}]});
        assert!(matches!(fitted(&image, 10_000), Err(UpstreamError::TooLarge(10_000))));
    }
}
