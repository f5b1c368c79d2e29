//! How much of each stream has been dropped from the front of a log, beside the lines of a file.
//!
//! Owns: [`Dropped`], [`Place`]. May call: kept, line. Its memory grows with the streams of the lines
//! that were in the front.

use std::collections::HashMap;

use quipu::{Log, ReadError};

use crate::kept::first_kept;
use crate::line::Line;

/// Counts the lines' events, stream by stream, against what was dropped.
pub(super) struct Dropped<'a> {
    log: &'a Log,
    streams: HashMap<String, Stream>,
}

/// How many events of a stream were dropped, and how many of them the lines so far have had.
struct Stream {
    dropped: u64,
    met: u64,
}

/// Where a line would be, by its events' places in their streams.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In what was dropped.
    Front,
    /// In what is kept, or nowhere yet.
    Behind,
    /// No batch is so: a part of its events is this side of the border.
    Across {
        /// The stream of such an event.
        stream: String,
    },
}

impl<'a> Dropped<'a> {
    pub(super) fn of(log: &'a Log) -> Self {
        Self { log, streams: HashMap::new() }
    }

    /// Where the next line would be. One that is in front is counted.
    pub(super) fn place_of(&mut self, line: &Line<'_>) -> Result<Place, ReadError> {
        let mut in_front = 0;
        let mut behind = None;
        for event in &line.events {
            let name: &str = &event.stream;
            if !self.streams.contains_key(name) {
                let stream = Stream { dropped: first_kept(self.log, name)?, met: 0 };
                self.streams.insert(name.to_owned(), stream);
            }
            match self.streams.get_mut(name) {
                Some(stream) if stream.met < stream.dropped => {
                    stream.met += 1;
                    in_front += 1;
                }
                _ => behind = Some(name),
            }
        }
        Ok(match behind {
            None => Place::Front,
            Some(_) if in_front == 0 => Place::Behind,
            Some(stream) => Place::Across { stream: stream.to_owned() },
        })
    }

    /// A stream of which more was dropped than the lines have had.
    pub(super) fn not_accounted_for(&self) -> Option<&str> {
        let mut short = self.streams.iter().filter(|(_, stream)| stream.met < stream.dropped);
        short.next().map(|(name, _)| &**name)
    }
}
