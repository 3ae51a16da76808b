//! A request that is a question: an agent asks a person something, with or without a form.
//!
//! What may be asked for is a small part of JSON Schema: enough for a form that works on a phone and without a
//! script, little enough to be checked whole.

use preloop_types::{Timestamp, ToolRef};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The built-in tool by which agents ask.
pub const ASK_USER: &str = "ask_user";
/// The built-in tool by which agents ask for leave.
pub const REQUEST_APPROVAL: &str = "request_approval";

const OPTIONS_MAX: usize = 50;
const ITEMS_MAX: usize = 100;
const FIELDS_MAX: usize = 50;
const DEPTH_MAX: usize = 4;
const SCHEMA_BYTES_MAX: usize = 16 * 1024;
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What a person is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Enquiry {
    /// The question; what is to be done, where leave is asked for.
    pub text: String,
    /// Answers to choose from.
    pub options: Vec<String>,
    /// Whether another answer will do.
    pub allow_free_text: bool,
    /// The form to fill in.
    pub schema: Option<Value>,
    /// What the question is about, one by one.
    pub items: Vec<Item>,
    /// Whether it wants an answer rather than a yes.
    pub wants_answer: bool,
}

/// One of the things a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// By which an answer names it.
    pub id: String,
    /// In one line.
    pub title: String,
    /// In more.
    #[serde(default)]
    pub description: String,
    /// How much it matters, in the agent's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Short labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub badges: Vec<String>,
}

#[derive(Deserialize)]
struct Given {
    question: Option<String>,
    operation: Option<String>,
    #[serde(default)]
    options: Vec<String>,
    allow_free_text: Option<bool>,
    input_schema: Option<Value>,
    #[serde(default)]
    items: Vec<Item>,
}

/// What a person answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// In their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_text: Option<String>,
    /// One of the options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_option: Option<String>,
    /// The form, filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Map<String, Value>>,
}

/// What is wrong with one field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Which: names with dots between; empty for the answer as a whole.
    pub path: String,
    /// What.
    pub message: String,
}

impl FieldProblem {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into() }
    }
}

/// Who answers, and when: stamped into fields that ask for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answerer<'a> {
    pub(super) name: &'a str,
    pub(super) at: Timestamp,
}

impl Enquiry {
    /// The question that a call of a built-in tool asks, if it asks one.
    pub fn of(tool: &ToolRef, arguments: &Value) -> Option<Self> {
        if tool.server_id.is_some() || !matches!(&*tool.name, ASK_USER | REQUEST_APPROVAL) {
            return None;
        }
        let given = Given::deserialize(arguments).ok()?;
        Some(Self {
            text: given.question.or(given.operation)?,
            options: given.options,
            allow_free_text: given.allow_free_text.unwrap_or(true),
            schema: given.input_schema.filter(|schema| !schema.is_null()),
            items: given.items,
            wants_answer: &*tool.name == ASK_USER,
        })
    }

    /// Whether there is a form to fill in.
    pub fn has_form(&self) -> bool {
        self.schema.is_some()
    }

    /// Whether one tap on one of many can answer it.
    pub fn is_batchable(&self) -> bool {
        !self.wants_answer && !self.has_form()
    }

    /// What is wrong with the question itself; said to the agent.
    pub fn check(&self) -> Result<(), String> {
        if self.text.trim().is_empty() {
            return Err("the question is empty".to_owned());
        }
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(format!("the question is longer than {TEXT_BYTES_MAX} bytes"));
        }
        if self.options.len() > OPTIONS_MAX || self.items.len() > ITEMS_MAX {
            return Err(format!("at most {OPTIONS_MAX} options and {ITEMS_MAX} items can be shown"));
        }
        if !self.allow_free_text && self.options.is_empty() && self.schema.is_none() {
            return Err("there is nothing to answer with: give `options`, or allow free text".to_owned());
        }
        if let Some(item) = self.items.iter().find(|item| item.id.is_empty() || item.id.chars().count() > 200) {
            return Err(format!("the id of item `{}` is not 1 to 200 characters long", item.title));
        }
        let Some(schema) = &self.schema else { return Ok(()) };
        if schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(format!("`input_schema` is longer than {SCHEMA_BYTES_MAX} bytes"));
        }
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err("`input_schema` has to describe an object".to_owned());
        }
        let mut fields = 0;
        check_schema("input_schema", schema, 0, &mut fields)
    }

    /// The answer as it is kept, or what is wrong with it. `comment` is an answer too where no other is given.
    pub(super) fn settle(
        &self,
        given: Answer,
        comment: Option<&str>,
        by: Answerer<'_>,
    ) -> Result<Value, Vec<FieldProblem>> {
        let words = given.answer_text.filter(|text| !text.trim().is_empty());
        let words = words.or_else(|| given.selected_option.clone()).or_else(|| comment.map(str::to_owned));
        if words.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(vec![FieldProblem::new("answer_text", format!("is longer than {TEXT_BYTES_MAX} bytes"))]);
        }
        let listed = |text: &String| self.options.contains(text);
        if let Some(option) = given.selected_option.as_ref().filter(|option| !listed(option)) {
            return Err(vec![FieldProblem::new("selected_option", format!("`{option}` is not one of the options"))]);
        }
        let mut settled = json!({"answered_by": by.name, "answered_at": by.at});
        if let Some(schema) = &self.schema {
            let mut form = Value::Object(given.answer.unwrap_or_default());
            stamp(schema, &mut form, by);
            let mut problems = Vec::new();
            fit("", schema, &form, &mut problems);
            if !problems.is_empty() {
                return Err(problems);
            }
            settled["answer"] = form;
        } else if self.wants_answer {
            match &words {
                None => return Err(vec![FieldProblem::new("", "an answer is missing")]),
                Some(text) if !self.allow_free_text && !listed(text) => {
                    return Err(vec![FieldProblem::new("answer_text", "has to be one of the options")]);
                }
                Some(_) => {}
            }
        }
        if let Some(words) = words {
            settled["answer_text"] = json!(words);
        }
        Ok(settled)
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn choices(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("enum").and_then(Value::as_array)
}

/// Only what the form can show and the server can check.
fn check_schema(path: &str, schema: &Value, depth: usize, fields: &mut usize) -> Result<(), String> {
    *fields += 1;
    if depth > DEPTH_MAX || *fields > FIELDS_MAX {
        return Err(format!("`{path}`: a form has at most {FIELDS_MAX} fields, {DEPTH_MAX} levels deep"));
    }
    if let Some(choices) = choices(schema)
        && (choices.is_empty() || !choices.iter().all(Value::is_string))
    {
        return Err(format!("`{path}.enum` has to be a list of texts"));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string" | "number" | "integer" | "boolean") => Ok(()),
        Some("array") => match schema.get("items") {
            Some(items) if choices(items).is_some() || items.get("type").and_then(Value::as_str) == Some("object") => {
                check_schema(&format!("{path}.items"), items, depth + 1, fields)
            }
            _ => Err(format!("`{path}`: a list has to be of choices (`enum`) or of objects")),
        },
        Some("object") => {
            for (name, member) in properties(schema) {
                check_schema(&format!("{path}.{name}"), member, depth + 1, fields)?;
            }
            Ok(())
        }
        _ => Err(format!("`{path}.type` is not one of `string`, `number`, `integer`, `boolean`, `array`, `object`")),
    }
}

/// Fills in what the server knows better than a person: who answers, and when.
fn stamp(schema: &Value, form: &mut Value, by: Answerer<'_>) {
    let Some(members) = form.as_object_mut() else { return };
    for (name, field) in properties(schema) {
        match field.get("x-autofill").and_then(Value::as_str) {
            Some("author") => drop(members.insert(name.clone(), json!(by.name))),
            Some("date") => drop(members.insert(name.clone(), json!(by.at))),
            _ => {
                if let Some(member) = members.get_mut(name).filter(|member| member.is_object()) {
                    stamp(field, member, by);
                }
            }
        }
    }
}

/// Notes where `value` is not what `schema` asks for.
fn fit(path: &str, schema: &Value, value: &Value, problems: &mut Vec<FieldProblem>) {
    let mut wrong = |message: String| problems.push(FieldProblem::new(path, message));
    if let Some(choices) = choices(schema)
        && !choices.contains(value)
    {
        return wrong(format!("`{}` is not one of the choices", value.as_str().unwrap_or_default()));
    }
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => match value.as_str() {
            None => wrong("has to be a text".to_owned()),
            #[expect(clippy::cast_precision_loss, reason = "lengths are small")]
            Some(text) => {
                let length = text.chars().count() as f64;
                if bound("minLength").is_some_and(|least| length < least) {
                    wrong("is too short".to_owned());
                } else if bound("maxLength").is_some_and(|most| length > most) || text.len() > TEXT_BYTES_MAX {
                    wrong("is too long".to_owned());
                }
            }
        },
        Some(kind @ ("number" | "integer")) => match value.as_f64() {
            Some(number) if kind == "number" || number.fract() == 0.0 => {
                if bound("minimum").is_some_and(|least| number < least)
                    || bound("maximum").is_some_and(|most| number > most)
                {
                    wrong("is out of range".to_owned());
                }
            }
            _ => wrong(format!("has to be {}", if kind == "integer" { "a whole number" } else { "a number" })),
        },
        Some("boolean") if !value.is_boolean() => wrong("has to be yes or no".to_owned()),
        Some("array") => match (value.as_array(), schema.get("items")) {
            (Some(items), Some(schema)) if items.len() <= ITEMS_MAX => {
                for (place, item) in items.iter().enumerate() {
                    fit(&at(&place.to_string()), schema, item, problems);
                }
            }
            _ => wrong(format!("has to be a list of at most {ITEMS_MAX}")),
        },
        Some("object") => match value.as_object() {
            Some(members) => {
                for name in required(schema).filter(|name| !members.contains_key(*name)) {
                    problems.push(FieldProblem::new(&at(name), "is missing"));
                }
                for (name, member) in members {
                    match schema.get("properties").and_then(|known| known.get(name)) {
                        Some(schema) => fit(&at(name), schema, member, problems),
                        None => problems.push(FieldProblem::new(&at(name), "is not part of the form")),
                    }
                }
            }
            None => wrong("has to be an object".to_owned()),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> ToolRef {
        ToolRef {
            id: None,
            server_id: None,
            server: "builtin".into(),
            name: ASK_USER.into(),
            exposed: ASK_USER.into(),
            definition: preloop_types::Hash::of(ASK_USER),
        }
    }

    fn question(arguments: &Value) -> Enquiry {
        Enquiry::of(&tool(), arguments).expect("is a question")
    }

    fn settle(question: &Enquiry, given: &Value) -> Result<Value, Vec<(String, String)>> {
        let given = serde_json::from_value(given.clone()).expect("is an answer");
        let by = Answerer { name: "ann", at: Timestamp::from_micros(0) };
        question
            .settle(given, None, by)
            .map_err(|problems| problems.into_iter().map(|problem| (problem.path, problem.message)).collect())
    }

    #[test]
    fn a_choice_is_one_of_the_options_unless_others_will_do() {
        let strict = question(&json!({"question": "Which?", "options": ["a", "b"], "allow_free_text": false}));
        assert_eq!(settle(&strict, &json!({"selected_option": "a"})).expect("fits")["answer_text"], "a");
        assert!(settle(&strict, &json!({"answer_text": "c"})).is_err());
        assert!(settle(&strict, &json!({"selected_option": "c"})).is_err());
        assert!(settle(&strict, &json!({})).is_err(), "no answer is no answer");
        let open = question(&json!({"question": "Which?", "options": ["a"]}));
        let both = json!({"answer_text": "c", "selected_option": "a"});
        assert_eq!(settle(&open, &both).expect("fits")["answer_text"], "c", "own words come first");
    }

    #[test]
    fn a_form_is_checked_field_by_field_and_stamped_by_the_server() {
        let form = question(&json!({"question": "Release?", "input_schema": {
            "type": "object", "required": ["count", "kind"],
            "properties": {
                "count": {"type": "integer", "minimum": 1},
                "kind": {"type": "string", "enum": ["minor", "major"]},
                "areas": {"type": "array", "items": {"type": "string", "enum": ["ui", "api"]}},
                "by": {"type": "string", "x-autofill": "author"}
            }
        }}));
        form.check().expect("is a form");
        let answer = json!({"answer": {"count": 2, "kind": "minor", "areas": ["ui"], "by": "mallory"}});
        assert_eq!(settle(&form, &answer).expect("fits")["answer"]["by"], "ann", "nobody signs for another");
        let wrong = json!({"answer": {"count": 1.5, "areas": ["db"], "more": true}});
        let problems = settle(&form, &wrong).expect_err("does not fit");
        let paths: Vec<&str> = problems.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["kind", "count", "areas.0", "more"]);
    }

    #[test]
    fn a_form_the_page_cannot_show_is_refused_when_it_is_asked() {
        for schema in [
            json!({"type": "string"}),
            json!({"type": "object", "properties": {"x": {"type": "array", "items": {"type": "string"}}}}),
            json!({"type": "object", "properties": {"x": {"$ref": "#/y"}}}),
            json!({"type": "object", "properties": {"x": {"type": "string", "enum": []}}}),
        ] {
            let asked = question(&json!({"question": "?", "input_schema": schema}));
            assert!(asked.check().is_err(), "{schema}");
        }
    }
}
