//! Evaluates CEL conformance cases: one JSON object a line on standard input
//! (`{"expr", "bindings": {name: {"value": V}}}`), one answer a line on standard output
//! (`{"value": V}` or `{"error": text}`), `V` being `cel.expr.Value` as JSON.
//!
//! `tests/cel/conformance.mjs` feeds it the official suite.

use std::{
    collections::HashMap,
    io::{self, BufRead as _, Write as _},
};

use ::cel::common::{
    types::{
        CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelType, CelUInt, Kind,
    },
    value::Val,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use preloop_policy::engine::{Library, on_big_stack, parse};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(out, "{}", answer(&line?))?;
    }
    Ok(())
}

/// The answer to one case.
pub(crate) fn answer(line: &str) -> Value {
    let answer = serde_json::from_str(line).map_err(|error| error.to_string()).and_then(|case| eval(&case));
    answer.map_or_else(|error| json!({"error": error}), |value| json!({"value": value}))
}

fn eval(case: &Value) -> Result<Value, String> {
    let source = case["expr"].as_str().unwrap_or_default();
    on_big_stack(|stack| {
        let program = parse(source, stack).and_then(|parsed| parsed.compile()).map_err(|error| error.message)?;
        let mut library = Library::default();
        library.add(&program);
        let mut bindings = library.open();
        for (name, binding) in case["bindings"].as_object().into_iter().flatten() {
            bindings.bind(name, decode(&binding["value"])?);
        }
        program.inspect(&bindings, stack, encode).map_err(|error| error.to_string())?
    })?
}

fn decode(value: &Value) -> Result<Box<dyn Val>, String> {
    let (kind, value) = value.as_object().and_then(|one| one.iter().next()).ok_or("not a value")?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let unreadable = || format!("cannot read `{text}`");
    Ok(match kind.as_str() {
        "nullValue" => Box::new(CelNull),
        "boolValue" => Box::new(CelBool::from(value.as_bool().unwrap_or_default())),
        "int64Value" => Box::new(CelInt::from(text.parse::<i64>().map_err(|_| unreadable())?)),
        "uint64Value" => Box::new(CelUInt::from(text.parse::<u64>().map_err(|_| unreadable())?)),
        "doubleValue" => Box::new(CelDouble::from(text.parse::<f64>().map_err(|_| unreadable())?)),
        "stringValue" => Box::new(CelString::from(text.clone())),
        "bytesValue" => Box::new(CelBytes::from(STANDARD.decode(&text).map_err(|_| unreadable())?)),
        "listValue" => {
            let items = value["values"].as_array().into_iter().flatten().map(decode);
            Box::new(CelList::from(items.collect::<Result<Vec<_>, _>>()?))
        }
        "mapValue" => {
            let entries = value["entries"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|entry| Ok((key(&entry["key"])?, decode(&entry["value"])?)));
            Box::new(CelMap::from(entries.collect::<Result<HashMap<_, _>, String>>()?))
        }
        "typeValue" => Box::new(CelType::new(text.clone().leak())),
        other => return Err(format!("no value of kind {other}")),
    })
}

fn key(value: &Value) -> Result<CelMapKey<'static>, String> {
    let (kind, value) = value.as_object().and_then(|one| one.iter().next()).ok_or("not a key")?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(match kind.as_str() {
        "boolValue" => CelMapKey::Bool(CelBool::from(value.as_bool().unwrap_or_default())),
        "int64Value" => CelMapKey::Int(CelInt::from(text.parse::<i64>().map_err(|error| error.to_string())?)),
        "uint64Value" => CelMapKey::UInt(CelUInt::from(text.parse::<u64>().map_err(|error| error.to_string())?)),
        _ => CelMapKey::String(CelString::from(text)),
    })
}

fn encode(value: &dyn Val) -> Result<Value, String> {
    let unknown = || format!("no JSON for a {}", value.get_type().name());
    Ok(match value.get_type().kind() {
        Kind::NullType => json!({"nullValue": null}),
        Kind::Boolean => json!({"boolValue": value.downcast_ref::<CelBool>().ok_or_else(unknown)?.inner()}),
        Kind::Int => json!({"int64Value": value.downcast_ref::<CelInt>().ok_or_else(unknown)?.inner().to_string()}),
        Kind::UInt => json!({"uint64Value": value.downcast_ref::<CelUInt>().ok_or_else(unknown)?.inner().to_string()}),
        Kind::Double => {
            let number = *value.downcast_ref::<CelDouble>().ok_or_else(unknown)?.inner();
            match number {
                number if number.is_nan() => json!({"doubleValue": "NaN"}),
                f64::INFINITY => json!({"doubleValue": "Infinity"}),
                f64::NEG_INFINITY => json!({"doubleValue": "-Infinity"}),
                number => json!({"doubleValue": number}),
            }
        }
        Kind::String => json!({"stringValue": value.downcast_ref::<CelString>().ok_or_else(unknown)?.inner()}),
        Kind::Bytes => {
            json!({"bytesValue": STANDARD.encode(value.downcast_ref::<CelBytes>().ok_or_else(unknown)?.inner())})
        }
        Kind::List => {
            let list = value.downcast_ref::<CelList>().ok_or_else(unknown)?;
            let values: Vec<_> = list.inner().iter().map(|item| encode(item.as_ref())).collect::<Result<_, _>>()?;
            json!({"listValue": {"values": values}})
        }
        Kind::Map => {
            let map = value.downcast_ref::<CelMap>().ok_or_else(unknown)?;
            let entries = map.inner().iter().map(|(key, value)| {
                let key = match key {
                    CelMapKey::Int(number) => json!({"int64Value": number.inner().to_string()}),
                    CelMapKey::UInt(number) => json!({"uint64Value": number.inner().to_string()}),
                    CelMapKey::Bool(truth) => json!({"boolValue": truth.inner()}),
                    CelMapKey::String(text) => json!({"stringValue": text.inner()}),
                };
                Ok(json!({"key": key, "value": encode(value.as_ref())?}))
            });
            json!({"mapValue": {"entries": entries.collect::<Result<Vec<_>, String>>()?}})
        }
        Kind::Type => json!({"typeValue": value.downcast_ref::<CelType>().ok_or_else(unknown)?.name()}),
        _ => return Err(unknown()),
    })
}
