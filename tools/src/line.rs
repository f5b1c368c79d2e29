//! One line of JSON: one batch, as `import` and `append` take it.
//!
//! Owns: [`Line`], [`LineEvent`], [`LineError`]. May call: the engine's batch. Reads strictly: a
//! field that it does not know could matter, so it is refused. Payload and metadata keep the text
//! that the line has for them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quipu::{
    Batch, CommitTime, Event, EventId, ExpectedVersion, ReadError, RecordedBatch, Version,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::time::{TimeError, parse_seconds};

/// The form of a line, for the help of commands.
pub(crate) const LINE_FORMAT: &str = r#"One line, one batch:
  {"time":1427842295.5,"events":[{"stream":"order-1","type":"OrderPlaced","data":{"total":12}}]}
time, in seconds, may be left out. An event may also have "id" (a UUID), "tags" (strings),
"metadata" (any JSON) and "expected_version": a version, "any", "no_stream" or "exists", of
its stream before this batch. "data_base64" and "metadata_base64" carry bytes that are not
JSON. Other fields are refused. An event by itself is a batch of its own:
  {"stream":"order-1","type":"OrderPlaced","data":{"total":12}}"#;

/// A batch as the line has it.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) time: Option<CommitTime>,
    pub(crate) events: Vec<LineEvent<'a>>,
}

/// An event as the line has it.
#[derive(Debug)]
pub(crate) struct LineEvent<'a> {
    pub(crate) stream: Cow<'a, str>,
    pub(crate) event_type: Cow<'a, str>,
    pub(crate) data: Cow<'a, [u8]>,
    pub(crate) metadata: Cow<'a, [u8]>,
    pub(crate) id: Option<EventId>,
    pub(crate) tags: Vec<Cow<'a, str>>,
    pub(crate) expected: Option<ExpectedVersion>,
}

/// Why a line is no batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Json(String),
    #[error(transparent)]
    Time(#[from] TimeError),
    #[error("the batch has no events")]
    NoEvents,
    #[error("event {event} has {found}, it must have {wanted}")]
    Event { event: usize, found: String, wanted: &'static str },
}

impl<'a> Line<'a> {
    /// A batch; or a single event, an object with a stream, that is a batch of its own.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, LineError> {
        #[derive(Deserialize)]
        struct Glance<'a> {
            #[serde(borrow, rename = "stream")]
            _stream: &'a RawValue,
        }
        let raw: RawBatch<'a> = match from_json(text) {
            Ok(raw) => raw,
            Err(_) if serde_json::from_slice::<Glance<'a>>(text).is_ok() => {
                let event: RawEvent<'a> = from_json(text)?;
                return Ok(Self { time: None, events: vec![event.check(1)?] });
            }
            Err(error) => return Err(error),
        };
        let time = raw.time.map(|time| parse_seconds(time.get())).transpose()?;
        let mut events = Vec::with_capacity(raw.events.len());
        for (at, event) in (1..).zip(raw.events) {
            events.push(event.check(at)?);
        }
        if events.is_empty() {
            return Err(LineError::NoEvents);
        }
        Ok(Self { time: time.map(CommitTime::new), events })
    }

    /// Adds to `batch` the line's events, in order, with what each expects of its stream.
    pub(crate) fn add_to(&self, mut batch: Batch) -> Batch {
        if let Some(time) = self.time {
            batch = batch.committed_at(time);
        }
        for event in &self.events {
            // "any" may stand beside another expectation for the same stream.
            let expected = event.expected.filter(|expected| *expected != ExpectedVersion::Any);
            if let Some(expected) = expected {
                batch = batch.expect(&event.stream, expected);
            }
            let mut out = Event::new(&*event.event_type, event.data.as_ref())
                .metadata(event.metadata.as_ref());
            if let Some(id) = event.id {
                out = out.id(id);
            }
            for tag in &event.tags {
                out = out.tag(&**tag);
            }
            batch.push(&event.stream, &out);
        }
        batch
    }

    /// Whether an event says itself what it expects of `stream`.
    pub(crate) fn is_expected(&self, stream: &str) -> bool {
        self.events.iter().any(|event| event.expected.is_some() && event.stream == stream)
    }

    /// Whether `batch` holds exactly these events.
    pub(crate) fn is(&self, batch: &RecordedBatch) -> Result<bool, ReadError> {
        if batch.event_count() as usize != self.events.len() {
            return Ok(false);
        }
        for (wanted, found) in self.events.iter().zip(batch.events()?) {
            let found = found?;
            let same = wanted.stream == found.stream()
                && wanted.event_type == found.event_type()
                && wanted.data == found.payload()
                && wanted.metadata == found.metadata()
                && wanted.id == found.id()
                && found.tags().iter().eq(wanted.tags.iter().map(|tag| &**tag));
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, LineError> {
    serde_json::from_slice(text).map_err(|error| {
        // "at line 1" would be taken for the line of the file.
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        LineError::Json(format!("column {}: {message}", error.column()))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBatch<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Vec<RawEvent<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    data_base64: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    metadata: Option<&'a RawValue>,
    #[serde(default)]
    metadata_base64: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow, default)]
    tags: Vec<Tag<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    expected_version: Option<&'a RawValue>,
}

/// Borrowed where it has no escapes, which a bare `Cow` in a list would not be.
#[derive(Deserialize)]
#[serde(transparent)]
struct Tag<'a>(#[serde(borrow)] Cow<'a, str>);

/// A field that is there, even as `null`: that is JSON, too.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> RawEvent<'a> {
    fn check(self, event: usize) -> Result<LineEvent<'a>, LineError> {
        let wrong =
            |found: &str, wanted| LineError::Event { event, found: found.to_owned(), wanted };
        let data = bytes_of(self.data, self.data_base64.as_deref())
            .map_err(|found| wrong(&found, "data, or bytes in base64 as data_base64"))?
            .ok_or_else(|| wrong("no data", "data or data_base64"))?;
        let metadata = bytes_of(self.metadata, self.metadata_base64.as_deref())
            .map_err(|found| wrong(&found, "metadata, or bytes in base64 as metadata_base64"))?;
        let id = match &self.id {
            None => None,
            Some(text) => {
                let id = uuid::Uuid::try_parse(text)
                    .map_err(|_| wrong(&format!("the id {text:?}"), "a UUID, or none"))?;
                Some(EventId::from_bytes(id.into_bytes())).filter(|id| !id.is_nil())
            }
        };
        let expected = match self.expected_version {
            None => None,
            Some(raw) => Some(expectation(raw.get()).ok_or_else(|| {
                let found = format!("the expected_version {}", raw.get());
                wrong(&found, "a version, \"any\", \"no_stream\" or \"exists\"")
            })?),
        };
        Ok(LineEvent {
            stream: self.stream,
            event_type: self.event_type,
            data,
            metadata: metadata.unwrap_or_default(),
            id,
            tags: self.tags.into_iter().map(|tag| tag.0).collect(),
            expected,
        })
    }
}

/// The bytes that are meant, given as JSON or as base64; what is wrong, if they are not.
fn bytes_of<'a>(
    json: Option<&'a RawValue>,
    base64: Option<&str>,
) -> Result<Option<Cow<'a, [u8]>>, String> {
    match (json, base64) {
        (Some(_), Some(_)) => Err("the same thing twice".to_owned()),
        (Some(json), None) => Ok(Some(Cow::Borrowed(json.get().as_bytes()))),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text).map_err(|error| format!("bad base64 ({error})"))?;
            Ok(Some(Cow::Owned(bytes)))
        }
        (None, None) => Ok(None),
    }
}

fn expectation(text: &str) -> Option<ExpectedVersion> {
    match text {
        r#""any""# => Some(ExpectedVersion::Any),
        r#""no_stream""# => Some(ExpectedVersion::NoStream),
        r#""exists""# => Some(ExpectedVersion::StreamExists),
        number => number.parse().ok().map(|number| ExpectedVersion::Exact(Version::new(number))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Line<'_>, String> {
        Line::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_with_every_field_is_taken_as_it_stands() {
        let line = parse(concat!(
            r#"{"time":1427842295.5,"events":[{"stream":"a\u0062","type":"T","data":{"z": 1.0},"#,
            r#""metadata":null,"id":"01234567-89ab-cdef-0123-456789abcdef","tags":["x","y\n"],"#,
            r#""expected_version":3},{"stream":"c","type":"U","data_base64":"/w==","#,
            r#""expected_version":"no_stream"}]}"#,
        ))
        .unwrap();
        assert_eq!(line.time, Some(CommitTime::new(1_427_842_295_500_000_000)));
        let [first, second] = &line.events[..] else { panic!("two events") };
        assert_eq!((&*first.stream, &*first.event_type), ("ab", "T"));
        assert_eq!((&*first.data, &*first.metadata), (&br#"{"z": 1.0}"#[..], &b"null"[..]));
        assert_eq!(first.id.unwrap().to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(first.tags, ["x", "y\n"]);
        assert_eq!(first.expected, Some(ExpectedVersion::Exact(Version::new(3))));
        assert_eq!((&*second.data, &*second.metadata), (&b"\xff"[..], &b""[..]));
        assert_eq!(second.expected, Some(ExpectedVersion::NoStream));
    }

    #[test]
    fn an_event_by_itself_is_a_batch_of_its_own() {
        let line = parse(r#"{"stream":"s","type":"T","data":1,"expected_version":4}"#).unwrap();
        assert_eq!((line.time, line.events.len()), (None, 1));
        assert_eq!((&*line.events[0].stream, &*line.events[0].data), ("s", &b"1"[..]));
        assert!(line.is_expected("s") && !line.is_expected("t"));
        for (text, reason) in [
            (r#"{"stream":"s","type":"T"}"#, "event 1 has no data"),
            (r#"{"stream":"s","type":"T","data":1,"time":1}"#, "unknown field `time`"),
            (r#"{"stream":"s","events":[]}"#, "unknown field `events`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}\n{error}");
        }
    }

    #[test]
    fn what_is_no_batch_is_refused_with_its_reason() {
        let event = |rest: &str| format!(r#"{{"events":[{{"stream":"s","type":"T"{rest}}}]}}"#);
        for (line, reason) in [
            ("{".to_owned(), "column 1: EOF while parsing an object"),
            (r#"{"events":[]}"#.to_owned(), "the batch has no events"),
            (r#"{"events":[],"evnts":1}"#.to_owned(), "column 20: unknown field `evnts`"),
            (r#"{"time":"1","events":[]}"#.to_owned(), "time \"1\" is no number of seconds"),
            (r#"{"time":null,"events":[]}"#.to_owned(), "time null is no number of seconds"),
            (r#"{"time":1}"#.to_owned(), "column 10: missing field `events`"),
            (event(""), "event 1 has no data, it must have data or data_base64"),
            (event(r#","data":1,"data_base64":"""#), "event 1 has the same thing twice"),
            (event(r#","data_base64":"?""#), "event 1 has bad base64"),
            (event(r#","data":1,"id":"7""#), "event 1 has the id \"7\", it must have a UUID"),
            (event(r#","data":1,"data":2"#), "column 51: duplicate field `data`"),
            (event(r#","data":1,"expected_version":-1"#), "event 1 has the expected_version -1"),
            (event(r#","data":1,"expected_version":"some""#), "the expected_version \"some\""),
            (event(r#","data":1,"tags":[1]"#), "invalid type: integer `1`"),
            (event(r#","data":1} {"#), "expected"),
        ] {
            let error = parse(&line).unwrap_err();
            assert!(error.contains(reason), "{line}\n{error}\n{reason}");
        }
        assert!(Line::parse(b"{\"events\":[{\"stream\":\"\xff\"}]}").is_err());
    }
}
