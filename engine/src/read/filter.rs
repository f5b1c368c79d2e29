//! Which events a read gives back.
//!
//! Owns: [`Filter`]. Every event is looked at; answering from an index belongs elsewhere.

use super::batch::BatchEvent;

/// Stream prefix, types and tags; what is not set lets everything pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) stream_prefix: Option<String>,
    /// One of these.
    pub(crate) event_types: Vec<String>,
    /// All of these.
    pub(crate) tags: Vec<String>,
}

impl Filter {
    /// Whether it lets everything pass.
    pub(crate) fn is_open(&self) -> bool {
        let Self { stream_prefix, event_types, tags } = self;
        stream_prefix.is_none() && event_types.is_empty() && tags.is_empty()
    }

    pub(crate) fn matches(&self, event: &BatchEvent<'_>) -> bool {
        let Self { stream_prefix, event_types, tags } = self;
        stream_prefix.as_ref().is_none_or(|prefix| event.stream().starts_with(&**prefix))
            && (event_types.is_empty() || event_types.iter().any(|one| event.event_type() == one))
            && tags.iter().all(|tag| event.tags().contains(tag))
    }
}
