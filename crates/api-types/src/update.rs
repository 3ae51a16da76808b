use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field of a partial update: left alone when absent, cleared by `null`, else set.
///
/// Use with `#[serde(default, skip_serializing_if = "Update::is_keep")]` and
/// `#[schema(value_type = Option<T>)]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Update<T> {
    /// The field was not sent.
    #[default]
    Keep,
    /// The field was sent as `null`.
    Clear,
    /// The field was sent.
    Set(T),
}

impl<T> Update<T> {
    /// Whether the field was not sent.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Update::Keep)
    }

    /// The same change of a field of another type.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Update<U> {
        match self {
            Update::Keep => Update::Keep,
            Update::Clear => Update::Clear,
            Update::Set(value) => Update::Set(convert(value)),
        }
    }

    /// `None` to keep, `Some(None)` to clear.
    pub fn patch(self) -> Option<Option<T>> {
        match self {
            Update::Keep => None,
            Update::Clear => Some(None),
            Update::Set(value) => Some(Some(value)),
        }
    }
}

impl<T: Serialize> Serialize for Update<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Update::Set(value) => serializer.serialize_some(value),
            Update::Keep | Update::Clear => serializer.serialize_none(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Update<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(value) => Update::Set(value),
            None => Update::Clear,
        })
    }
}
