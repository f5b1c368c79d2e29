//! One event on its way into a batch.
//!
//! Owns: [`Event`], [`EventData`]. Calls nothing. An event borrows or owns its parts; the batch
//! copies them into its body at once, so that nothing needs to outlive the call.

use std::borrow::Cow;

use bytes::Bytes;
use quipu_format::EventId;

/// An event to be appended: a type and a payload, and if wanted metadata, an id and tags.
///
/// ```
/// use quipu::Event;
/// let event = Event::new("OrderPlaced", r#"{"total":12}"#)
///     .metadata("trace=7")
///     .id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128)
///     .tag("customer:7");
/// # let _ = event;
/// ```
///
/// Limits: type 1 to 255 bytes; each tag 1 to 255 bytes, all tags together 65,535 bytes with one
/// more for each; metadata and payload as long as the batch fits into a segment. What breaks a
/// limit is reported by the append, as [`InvalidBatch`](crate::InvalidBatch).
#[derive(Debug, Clone)]
pub struct Event<'a> {
    pub(crate) event_type: Cow<'a, str>,
    pub(crate) payload: EventData<'a>,
    pub(crate) metadata: EventData<'a>,
    pub(crate) id: Option<EventId>,
    pub(crate) tags: Vec<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// An event of this type with this payload, without metadata, id and tags.
    pub fn new(event_type: impl Into<Cow<'a, str>>, payload: impl Into<EventData<'a>>) -> Self {
        Self {
            event_type: event_type.into(),
            payload: payload.into(),
            metadata: EventData::default(),
            id: None,
            tags: Vec::new(),
        }
    }

    /// Sets the metadata.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<EventData<'a>>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Sets the id. The nil id counts as none.
    #[must_use]
    pub fn id(mut self, id: impl Into<EventId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Cow<'a, str>>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// Bytes of an event, borrowed or owned; made from slices, strings, vectors and [`Bytes`].
#[derive(Debug, Clone)]
pub struct EventData<'a>(Repr<'a>);

#[derive(Debug, Clone)]
enum Repr<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl AsRef<[u8]> for EventData<'_> {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Repr::Borrowed(bytes) => bytes,
            Repr::Owned(bytes) => bytes,
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl Default for EventData<'_> {
    fn default() -> Self {
        Self(Repr::Borrowed(&[]))
    }
}

impl<'a> From<&'a [u8]> for EventData<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Repr::Borrowed(bytes))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for EventData<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Repr::Borrowed(bytes))
    }
}

impl<'a> From<&'a str> for EventData<'a> {
    fn from(text: &'a str) -> Self {
        Self(Repr::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<&'a String> for EventData<'a> {
    fn from(text: &'a String) -> Self {
        Self(Repr::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<&'a Vec<u8>> for EventData<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self(Repr::Borrowed(bytes))
    }
}

impl<'a> From<&'a Bytes> for EventData<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Self(Repr::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for EventData<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Repr::Owned(bytes))
    }
}

impl From<String> for EventData<'_> {
    fn from(text: String) -> Self {
        Self(Repr::Owned(text.into_bytes()))
    }
}

impl From<Bytes> for EventData<'_> {
    fn from(bytes: Bytes) -> Self {
        Self(Repr::Shared(bytes))
    }
}
