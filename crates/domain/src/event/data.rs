//! What an event says.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, value::RawValue};

/// The `data` of an event: JSON, kept as its text. On its way from the writer to the log and to every webhook it is
/// shared and never built anew; who looks into it reads it with [`EventData::value`].
#[derive(Debug, Clone)]
pub struct EventData(Arc<RawValue>);

impl EventData {
    /// From its stored text.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn from_stored(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(|raw| Self(raw.into()))
    }

    /// Its text: the bytes that leave.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// What it says, read anew each time.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).expect("it was checked to be JSON when it was made")
    }

    /// A copy with something changed.
    #[must_use]
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = self.value();
        change(&mut value);
        value.into()
    }
}

impl From<Value> for EventData {
    fn from(value: Value) -> Self {
        let raw = serde_json::value::to_raw_value(&value).expect("a JSON value always serialises");
        Self(raw.into())
    }
}

impl PartialEq for EventData {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Serialize for EventData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EventData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_the_same_text_on_every_way() {
        let value = json!({ "b": [1, null], "a": "ü \u{0}" });
        let data = EventData::from(value.clone());
        assert_eq!(data.text(), value.to_string());
        assert_eq!(data.value(), value);
        assert_eq!(serde_json::to_string(&data).unwrap(), data.text());
        assert_eq!(serde_json::to_value(&data).unwrap(), value);
        let spaced = EventData::from_stored("{ \"a\" : 1 }".into()).unwrap();
        assert_eq!(serde_json::to_string(&spaced).unwrap(), "{ \"a\" : 1 }");
        assert_eq!(data.changed(|value| value["a"] = json!(1)).text(), r#"{"a":1,"b":[1,null]}"#);
        assert!(EventData::from_stored("{".into()).is_err());
    }
}
