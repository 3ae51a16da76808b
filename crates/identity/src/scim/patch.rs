//! `PATCH` (RFC 7644, section 3.5.2), as directories really send it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Filter, ScimError, filter::attribute_name};

/// The body of a `PATCH`.
#[derive(Debug, Clone, Deserialize)]
pub struct PatchRequest {
    /// What to do, in order.
    #[serde(rename = "Operations", alias = "operations")]
    pub operations: Vec<Operation>,
}

/// One step.
#[derive(Debug, Clone, Deserialize)]
pub struct Operation {
    /// `add`, `replace` or `remove`, in any case.
    op: String,
    /// Where; the resource itself when absent.
    path: Option<String>,
    /// What.
    #[serde(default)]
    value: Value,
}

/// Most steps of one request.
const OPERATIONS_MAX: usize = 1_000;
/// Deepest value a path leads to.
const DEPTH_MAX: usize = 4;

/// `resource` after every step of `request`. Attributes are in lower case from here on: their
/// spelling means nothing.
pub fn patch(resource: Value, request: &PatchRequest) -> Result<Value, ScimError> {
    if request.operations.len() > OPERATIONS_MAX {
        return Err(ScimError::InvalidValue(format!("more than {OPERATIONS_MAX} operations")));
    }
    let mut resource = lower(resource);
    for operation in &request.operations {
        let verb = operation.op.to_ascii_lowercase();
        let value = lower(operation.value.clone());
        match (verb.as_str(), operation.path.as_deref()) {
            ("add" | "replace", None) => {
                let Value::Object(members) = value else {
                    return Err(ScimError::InvalidValue("an operation without a path needs an object".to_owned()));
                };
                for (name, value) in members {
                    put(&mut resource, &Path::parse(&name)?, value, verb == "add")?;
                }
            }
            ("add" | "replace", Some(path)) => put(&mut resource, &Path::parse(path)?, value, verb == "add")?,
            ("remove", Some(path)) => remove(&mut resource, &Path::parse(path)?, &value),
            ("remove", None) => return Err(ScimError::InvalidPath("(none)".to_owned())),
            _ => {
                return Err(ScimError::InvalidSyntax(format!(
                    "`{}` is not `add`, `replace` or `remove`",
                    operation.op
                )));
            }
        }
    }
    Ok(resource)
}

/// `members[value eq "x"]`, `emails[type eq "work"].value`, `name.givenname`, `active`.
struct Path {
    attribute: String,
    filter: Option<Filter>,
    rest: Vec<String>,
}

impl Path {
    fn parse(text: &str) -> Result<Self, ScimError> {
        let refused = || ScimError::InvalidPath(text.chars().take(80).collect());
        let (head, filter, tail) = match text.split_once('[') {
            Some((head, rest)) => {
                let (filter, tail) = rest.rsplit_once(']').ok_or_else(refused)?;
                (head, Some(Filter::parse(filter)?), tail.trim_start_matches('.'))
            }
            None => (text, None, ""),
        };
        let head = attribute_name(head);
        let mut names = head.split('.').chain(tail.split('.')).filter(|name| !name.is_empty()).map(str::to_lowercase);
        let attribute = names.next().ok_or_else(refused)?;
        let rest: Vec<_> = names.collect();
        if rest.len() >= DEPTH_MAX {
            return Err(refused());
        }
        Ok(Self { attribute, filter, rest })
    }
}

fn put(resource: &mut Value, path: &Path, value: Value, adds: bool) -> Result<(), ScimError> {
    let members = object(resource)?;
    let place = members.entry(path.attribute.clone()).or_insert(Value::Null);
    if let Some(filter) = &path.filter {
        if place.is_null() {
            *place = json!([]);
        }
        let Value::Array(items) = place else { return Err(ScimError::InvalidPath(path.attribute.clone())) };
        if !items.iter().any(|item| selected(item, filter)) {
            // What is to be set in an item that is not there makes the item.
            items.push(json!({ filter.attribute.clone(): filter.value }));
        }
        for item in items.iter_mut().filter(|item| selected(item, filter)) {
            set(item, &path.rest, value.clone())?;
        }
        return Ok(());
    }
    match (place, value) {
        (Value::Array(items), Value::Array(more)) if adds && path.rest.is_empty() => {
            for item in more {
                add_once(items, item);
            }
        }
        (Value::Array(items), item) if adds && path.rest.is_empty() => add_once(items, item),
        (place, value) => set(place, &path.rest, value)?,
    }
    Ok(())
}

fn add_once(items: &mut Vec<Value>, item: Value) {
    let known = |other: &&Value| match (other.get("value"), item.get("value")) {
        (Some(a), Some(b)) => a == b,
        _ => **other == item,
    };
    if items.iter().find(known).is_none() {
        items.push(item);
    }
}

fn set(place: &mut Value, rest: &[String], value: Value) -> Result<(), ScimError> {
    match rest {
        [] => match (place, value) {
            // An object is added to, not lost, where only some of it is said.
            (Value::Object(have), Value::Object(more)) => have.extend(more),
            (place, value) => *place = value,
        },
        [name, rest @ ..] => {
            let inner = object(place)?.entry(name.clone()).or_insert(Value::Null);
            set(inner, rest, value)?;
        }
    }
    Ok(())
}

fn remove(resource: &mut Value, path: &Path, value: &Value) {
    let Value::Object(members) = resource else { return };
    let Some(place) = members.get_mut(&path.attribute) else { return };
    match (place, &path.filter) {
        (Value::Array(items), Some(filter)) if path.rest.is_empty() => items.retain(|item| !selected(item, filter)),
        (Value::Array(items), Some(filter)) => {
            items.iter_mut().filter(|item| selected(item, filter)).for_each(|item| take(item, &path.rest));
        }
        // Some directories name the members to remove in the value.
        (Value::Array(items), None) if value.is_array() => {
            let named = |item: &Value| {
                value.as_array().is_some_and(|gone| gone.iter().any(|gone| gone.get("value") == item.get("value")))
            };
            items.retain(|item| !named(item));
        }
        (_, None) if path.rest.is_empty() => drop(members.remove(&path.attribute)),
        (place, None) => take(place, &path.rest),
        (_, Some(_)) => {}
    }
}

fn take(place: &mut Value, rest: &[String]) {
    let (Value::Object(members), [name, rest @ ..]) = (place, rest) else { return };
    match (rest, members.get_mut(name)) {
        ([], _) => drop(members.remove(name)),
        (rest, Some(inner)) => take(inner, rest),
        (_, None) => {}
    }
}

fn selected(item: &Value, filter: &Filter) -> bool {
    match item.get(&filter.attribute) {
        Some(Value::String(text)) => filter.matches(Some(text)),
        Some(Value::Bool(value)) => filter.matches(Some(if *value { "true" } else { "false" })),
        _ => false,
    }
}

fn object(value: &mut Value) -> Result<&mut Map<String, Value>, ScimError> {
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| ScimError::InvalidPath("something that is no object".to_owned()))
}

/// Attributes in lower case, at every depth; schema URNs stay as they are.
pub(super) fn lower(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (attribute_key(&name), lower(value)));
            Value::Object(members.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower).collect()),
        value => value,
    }
}

fn attribute_key(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { name.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(resource: Value, operations: &Value) -> Result<Value, ScimError> {
        patch(resource, &serde_json::from_value(json!({ "Operations": operations })).unwrap())
    }

    #[test]
    fn a_person_is_changed_as_directories_do_it() {
        let ann = json!({"userName": "ann", "active": true, "name": {"givenName": "Ann"}, "emails": [{"value": "a@x", "type": "work"}]});
        let now = patched(
            ann,
            &json!([
                {"op": "Replace", "path": "active", "value": "False"},
                {"op": "replace", "value": {"name.familyName": "Lee", "displayName": "Ann Lee"}},
                {"op": "Add", "path": r#"emails[type eq "work"].value"#, "value": "b@x"},
                {"op": "add", "path": r#"emails[type eq "home"].value"#, "value": "h@x"},
                {"op": "remove", "path": "name.givenName"},
            ]),
        )
        .unwrap();
        assert_eq!(
            now,
            json!({
                "username": "ann", "active": "False", "name": {"familyname": "Lee"}, "displayname": "Ann Lee",
                "emails": [{"value": "b@x", "type": "work"}, {"type": "home", "value": "h@x"}],
            })
        );
    }

    #[test]
    fn members_come_and_go_one_by_one() {
        let group = json!({"displayName": "ops", "members": [{"value": "1"}, {"value": "2"}, {"value": "3"}]});
        let now = patched(
            group,
            &json!([
                {"op": "add", "path": "members", "value": [{"value": "2"}, {"value": "4"}]},
                {"op": "remove", "path": r#"members[value eq "1"]"#},
                {"op": "Remove", "path": "members", "value": [{"value": "3"}]},
            ]),
        )
        .unwrap();
        assert_eq!(now["members"], json!([{"value": "2"}, {"value": "4"}]));
        assert_eq!(
            patched(now.clone(), &json!([{"op": "remove", "path": "members"}])).unwrap()["members"],
            Value::Null
        );
        assert_eq!(
            patched(now, &json!([{"op": "replace", "path": "members", "value": []}])).unwrap()["members"],
            json!([])
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for operation in [
            json!({"op": "move", "path": "active", "value": true}),
            json!({"op": "remove"}),
            json!({"op": "add", "value": 3}),
            json!({"op": "add", "path": "", "value": 3}),
            json!({"op": "add", "path": "emails[type eq", "value": 3}),
            json!({"op": "add", "path": "a.b.c.d.e.f", "value": 3}),
            json!({"op": "replace", "path": "username.deep", "value": 3}),
        ] {
            assert!(patched(json!({"userName": "ann"}), &json!([operation])).is_err(), "{operation}");
        }
    }
}
