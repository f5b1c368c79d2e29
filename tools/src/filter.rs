//! Which events a command shows.
//!
//! Owns: [`Filter`], the arguments that `read` and `tail` share. May call: the engine's query.

use jiff::Timestamp;
use quipu::{CommitTime, Query, RecordedEvent};

/// Which events are shown. What is not given lets all pass.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only the events of this stream.
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
    /// Only events of streams whose name begins so.
    #[arg(long, value_name = "TEXT", conflicts_with = "stream")]
    prefix: Option<String>,
    /// Only events of this type; given several times, of one of them.
    #[arg(long = "type", value_name = "TYPE")]
    event_types: Vec<String>,
    /// Only events with this tag; given several times, with all of them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only events committed at this time or later, as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<CommitTime>,
    /// Only events committed before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<CommitTime>,
}

impl Filter {
    /// What to ask the log for. With a stream it asks for too much, and [`Filter::passes`] decides.
    pub(crate) fn query(&self) -> Query {
        let Self { stream, prefix, event_types, tags, .. } = self;
        let mut query = Query::new();
        if let Some(prefix) = stream.as_ref().or(prefix.as_ref()) {
            query = query.stream_prefix(prefix);
        }
        query = event_types.iter().fold(query, |query, one| query.event_type(one));
        query = tags.iter().fold(query, |query, tag| query.tag(tag));
        match (self.since, self.until) {
            (None, None) => query,
            (Some(since), None) => query.committed(since..),
            (None, Some(until)) => query.committed(..until),
            (Some(since), Some(until)) => query.committed(since..until),
        }
    }

    /// Whether an event is to be shown.
    pub(crate) fn passes(&self, event: &RecordedEvent) -> bool {
        let Self { stream, prefix, event_types, tags, since, until } = self;
        let time = event.committed_at();
        stream.as_ref().is_none_or(|stream| event.stream() == stream)
            && prefix.as_ref().is_none_or(|prefix| event.stream().starts_with(&**prefix))
            && (event_types.is_empty() || event_types.iter().any(|one| event.event_type() == one))
            && tags.iter().all(|tag| event.tags().contains(tag))
            && since.is_none_or(|since| since <= time)
            && until.is_none_or(|until| time < until)
    }
}

/// A date and time as the commit time that it is.
fn time(text: &str) -> Result<CommitTime, String> {
    let time: Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let nanos = u64::try_from(time.as_nanosecond());
    nanos.map(CommitTime::new).map_err(|_| "it is before 1970 or after 2554".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_as_they_are_printed() {
        for nanos in [0, 1_427_842_295_250_000_000] {
            assert_eq!(time(&crate::time::rfc3339(nanos)), Ok(CommitTime::new(nanos)));
        }
        for text in ["yesterday", "2026-01-31", "1969-12-31T23:59:59Z"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
