//! Reads JSON that agents wrote: each field is taken out under its path, so that a mistake can be named
//! and what is left over is known.

use serde_json::{Map, Number, Value};

use super::BadRequest;

/// A JSON object, with the path it stands at. A field that is `null` is absent.
#[derive(Debug)]
pub(crate) struct Object {
    path: String,
    map: Map<String, Value>,
    snake: bool,
}

impl Object {
    /// Reads a whole body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { path: String::new(), map, snake: false }),
            Ok(_) => Err(BadRequest { field: None, why: "the body is not a JSON object".to_owned() }),
            Err(error) => Err(BadRequest { field: None, why: format!("the body is not JSON: {error}") }),
        }
    }

    /// `value`, which stands at `path`.
    pub(crate) fn of(value: Value, path: String) -> Result<Self, BadRequest> {
        match value {
            Value::Object(map) => Ok(Self { path, map, snake: false }),
            _ => Err(bad(path, "is not an object")),
        }
    }

    /// Takes a field named in camel case under its name in snake case too, here and in what is below.
    pub(crate) fn or_snake(mut self) -> Self {
        self.snake = true;
        self
    }

    /// The path of a field.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Where this object stands.
    pub(crate) fn here(&self) -> &str {
        &self.path
    }

    /// What is wrong with a field.
    pub(crate) fn bad(&self, name: &str, why: &str) -> BadRequest {
        bad(self.path(name), why)
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        let there = |name: &str| self.map.get(name).is_some_and(|value| !value.is_null());
        there(name) || (self.snake && there(&snake_case(name)))
    }

    /// A field as it is.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let plain = self.map.shift_remove(name);
        let value = if plain.is_none() && self.snake { self.map.shift_remove(&snake_case(name)) } else { plain };
        value.filter(|value| !value.is_null())
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(name, "is not a string")),
        }
    }

    /// A text that has to be there.
    pub(crate) fn need_text(&mut self, name: &str) -> Result<String, BadRequest> {
        self.text(name)?.ok_or_else(|| self.bad(name, "is missing"))
    }

    /// A number, as written.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<Number>, BadRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(self.bad(name, "is not a number")),
        }
    }

    /// A whole number from 0. One written with a fraction of zero (`40.0`) counts as whole.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, BadRequest> {
        match self.integer(name)? {
            None => Ok(None),
            Some(number) => u64::try_from(number).map(Some).map_err(|_| self.bad(name, "is not a whole number from 0")),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, BadRequest> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        let whole = number.as_i64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok());
        whole.map(Some).ok_or_else(|| self.bad(name, "is not a whole number"))
    }

    /// A truth value.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, BadRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.bad(name, "is not true or false")),
        }
    }

    /// A list; empty when absent.
    pub(crate) fn list(&mut self, name: &str) -> Result<Vec<Value>, BadRequest> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.bad(name, "is not a list")),
        }
    }

    /// A list of texts; empty when absent.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, BadRequest> {
        let text = |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let list: Option<Vec<String>> = self.list(name)?.into_iter().map(text).collect();
        list.ok_or_else(|| self.bad(name, "is not a list of strings"))
    }

    /// A list of objects; empty when absent.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<Object>, BadRequest> {
        let (path, snake) = (self.path(name), self.snake);
        let object = |(index, value)| Ok(Object { snake, ..Object::of(value, format!("{path}[{index}]"))? });
        self.list(name)?.into_iter().enumerate().map(object).collect()
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Object>, BadRequest> {
        let (path, snake) = (self.path(name), self.snake);
        self.take(name).map(|value| Ok(Object { snake, ..Object::of(value, path)? })).transpose()
    }

    /// What was not taken and says something, each under its whole path.
    pub(crate) fn rest(self) -> Vec<(String, Value)> {
        let path = |name: &str| if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        self.map.iter().filter(|(_, value)| says(value)).map(|(name, value)| (path(name), value.clone())).collect()
    }

    /// What was not taken, as it is.
    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.map
    }
}

/// Whether leaving a value out changes anything.
fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

/// What is wrong at `path`.
pub(crate) fn bad(path: String, why: &str) -> BadRequest {
    let why = format!("`{path}` {why}");
    BadRequest { field: Some(path), why }
}

fn snake_case(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_by_its_path() {
        let mut body = Object::parse(br#"{"a": [{"b": 1}], "c": "x"}"#).unwrap();
        let mut item = body.objects("a").unwrap().remove(0);

        assert_eq!(item.text("b").unwrap_err().why, "`a[0].b` is not a string");
        assert_eq!(item.need_text("d").unwrap_err().field.as_deref(), Some("a[0].d"));
        assert_eq!(body.count("c").unwrap_err().why, "`c` is not a number");
    }

    #[test]
    fn what_nobody_took_is_left_over_under_its_path() {
        let mut body = Object::parse(br#"{"a": {"b": 1, "c": null, "d": [], "e": false}}"#).unwrap();
        let item = body.object("a").unwrap().unwrap();

        assert_eq!(item.rest(), [("a.b".to_owned(), 1.into()), ("a.e".to_owned(), false.into())]);
        assert_eq!(body.rest(), []);
    }

    #[test]
    fn either_case_is_taken_where_it_is_asked_for() {
        let mut body = Object::parse(br#"{"topK": 40.0, "generation_config": {"top_p": 1}}"#).unwrap().or_snake();

        assert_eq!(body.count("topK").unwrap(), Some(40));
        assert!(body.object("generationConfig").unwrap().unwrap().has("topP"));
    }
}
