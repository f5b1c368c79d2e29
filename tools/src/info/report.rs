//! What `quipu info` tells.
//!
//! Owns: [`Info`]. May call: segments, the engine.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use quipu::Log;
use serde::Serialize;

use super::segments::{End, SegmentInfo, SegmentState, bar, segments_of};
use crate::number::grouped;
use crate::time::rfc3339;

/// A log, as it stands.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Info {
    /// The directory.
    pub directory: String,
    /// The log's id.
    pub log_id: String,
    /// The position of the next event.
    pub events: u64,
    /// The position of the first event that is kept.
    pub first_available: u64,
    /// Batches.
    pub batches: u64,
    /// Distinct streams.
    pub streams: usize,
    /// Commit time of the first batch, in nanoseconds since the Unix epoch.
    pub first_commit_nanos: Option<u64>,
    /// Commit time of the last batch.
    pub last_commit_nanos: Option<u64>,
    /// All below this position is durable, by what the log says of itself.
    pub synced_position: u64,
    /// Whether the log was closed and not written to since.
    pub closed: bool,
    /// What is wrong, if something is: `quipu verify` says more.
    pub damage: Option<String>,
    /// Bytes of all files in the directory.
    pub bytes_on_disk: u64,
    /// Bytes of headers and frames.
    pub bytes_used: u64,
    /// The segments, in order.
    pub segments: Vec<SegmentInfo>,
}

impl Info {
    /// Looks at a log that is open for reading.
    ///
    /// # Errors
    /// Files that cannot be looked at.
    pub fn of(directory: &Path, log: &Log) -> anyhow::Result<Self> {
        let report = log.recovery_report();
        let end = End {
            position: report.events,
            file: report.end.file.clone(),
            offset: report.end.offset.as_u64(),
        };
        let segments = segments_of(directory, &end)?;
        // A batch that cannot be read has no time; what is wrong is said by the damage.
        let time = |batch: Option<Result<quipu::RecordedBatch, _>>| {
            Some(batch?.ok()?.committed_at().as_u64())
        };
        Ok(Self {
            directory: directory.display().to_string(),
            log_id: report.log_id.to_string(),
            events: report.events,
            first_available: log.first_available().as_u64(),
            batches: report.batches,
            streams: report.streams,
            first_commit_nanos: time(log.batches(log.first_available()..).next()),
            last_commit_nanos: time(log.batches(..).backward().next()),
            synced_position: report.proved_durable.as_u64(),
            closed: report.clean_close,
            damage: report.damage.as_ref().map(ToString::to_string),
            bytes_on_disk: bytes_in(directory)
                .with_context(|| format!("cannot list {}", directory.display()))?,
            bytes_used: segments.iter().map(|segment| segment.bytes_used).sum(),
            segments,
        })
    }

    /// As a table; with a bar of the segments where the width of a terminal is given.
    #[must_use]
    pub fn shown(&self, width: Option<usize>) -> String {
        const NAME_WIDTH: usize = 18;
        let time = |nanos: Option<u64>| nanos.map_or_else(|| "none".to_owned(), rfc3339);
        let count = |state| self.segments.iter().filter(|one| one.state == state).count() as u64;
        let mut segments = grouped(count(SegmentState::Sealed) + count(SegmentState::Active));
        let indexed = self.segments.iter().filter(|one| one.indexed).count() as u64;
        for (count, what) in [
            (indexed, "with an index"),
            (count(SegmentState::Prepared), "prepared and unused"),
            (count(SegmentState::Unreadable), "with a header that does not verify"),
        ] {
            if count > 0 {
                let _ = write!(segments, ", {} {what}", grouped(count));
            }
        }
        let mut rows = vec![
            ("directory", self.directory.clone()),
            ("log", self.log_id.clone()),
            ("events", grouped(self.events)),
            ("batches", grouped(self.batches)),
            ("streams", grouped(self.streams as u64)),
            ("first commit", time(self.first_commit_nanos)),
            ("last commit", time(self.last_commit_nanos)),
            ("synced position", grouped(self.synced_position)),
            ("closed", if self.closed { "yes" } else { "no, or in use" }.to_owned()),
            ("bytes used", grouped(self.bytes_used)),
            ("bytes on disk", grouped(self.bytes_on_disk)),
            ("segments", segments),
        ];
        if self.first_available > 0 {
            rows.insert(3, ("dropped below", grouped(self.first_available)));
        }
        if let Some(width) = width {
            rows.push(("", bar(&self.segments, width.saturating_sub(NAME_WIDTH))));
        }
        rows.extend(self.damage.as_ref().map(|damage| ("damage", damage.clone())));
        let mut text = String::new();
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<NAME_WIDTH$}{value}");
        }
        text
    }
}

/// Bytes of the files in a directory. One that is gone again counts nothing.
fn bytes_in(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        bytes += entry?.metadata().map_or(0, |about| if about.is_file() { about.len() } else { 0 });
    }
    Ok(bytes)
}
