//! Events as JSON, as `export` and `read --json` write them and `import` takes them.
//!
//! Owns: [`EventOut`]. Payload and metadata that are JSON stand there as they are; all else, which
//! another program has stored, stands there in base64.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quipu::EventId;
use serde::Serialize;
use serde_json::value::RawValue;

/// One event. What is `None` or empty is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct EventOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<Box<RawValue>>,
    pub(crate) stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    #[serde(rename = "type")]
    pub(crate) event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl<'a> EventOut<'a> {
    pub(crate) fn new(stream: &'a str, event_type: &'a str) -> Self {
        Self { stream, event_type, ..Self::default() }
    }

    pub(crate) fn id(mut self, id: Option<EventId>) -> Self {
        self.id = id.map(|id| id.to_string());
        self
    }

    /// Sets the metadata; empty bytes are none.
    pub(crate) fn metadata(mut self, bytes: &'a [u8]) -> Self {
        if !bytes.is_empty() {
            (self.metadata, self.metadata_base64) = json_or_base64(bytes);
        }
        self
    }

    pub(crate) fn data(mut self, bytes: &'a [u8]) -> Self {
        (self.data, self.data_base64) = json_or_base64(bytes);
        self
    }
}

/// A time as a JSON number.
pub(crate) fn time_out(nanos: u64) -> serde_json::Result<Box<RawValue>> {
    RawValue::from_string(crate::time::seconds(nanos))
}

fn json_or_base64(bytes: &[u8]) -> (Option<Cow<'_, RawValue>>, Option<String>) {
    match as_json(bytes) {
        Some(json) => (Some(json), None),
        None => (None, Some(STANDARD.encode(bytes))),
    }
}

/// The bytes as JSON in one line, if they are JSON.
fn as_json(bytes: &[u8]) -> Option<Cow<'_, RawValue>> {
    let json: &RawValue = serde_json::from_slice(bytes).ok()?;
    if !json.get().contains(['\n', '\r']) {
        return Some(Cow::Borrowed(json));
    }
    // Within a JSON string a line break is escaped, so these stand between tokens.
    RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metadata: &[u8], data: &[u8]) -> String {
        let event = EventOut::new("s", "T").metadata(metadata).data(data);
        serde_json::to_string(&event).unwrap()
    }

    #[test]
    fn json_stands_as_it_is_and_all_else_in_base64() {
        let start = r#"{"stream":"s","type":"T","#;
        for (metadata, data, rest) in [
            (&b""[..], &br#"{"b":1.50, "a":1e999}"#[..], r#""data":{"b":1.50, "a":1e999}}"#),
            (b"null", b"[]", r#""metadata":null,"data":[]}"#),
            (b"trace=1", b"", r#""metadata_base64":"dHJhY2U9MQ==","data_base64":""}"#),
            (b"", b"\xff", r#""data_base64":"/w=="}"#),
            (b"", b"{\n \"a\": \"\\n\"\r\n}", r#""data":{  "a": "\n"  }}"#),
        ] {
            assert_eq!(text(metadata, data), format!("{start}{rest}"));
        }
    }
}
