//! The segments of a log as their headers describe them.
//!
//! Owns: [`SegmentInfo`], [`segments_of`], [`bar`]. Reads with the verifier's directory, so without
//! the engine.

use std::path::Path;

use quipu_format::layout;
use serde::Serialize;

use crate::verify::directory::{Directory, Front, HeaderState, VerifyError};

/// What a segment is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SegmentState {
    /// Full, never written again.
    Sealed,
    /// The one that is written.
    Active,
    /// Made ready, not used yet.
    Prepared,
    /// Its header does not verify.
    Unreadable,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its number.
    pub sequence: u64,
    /// What it is used for.
    pub state: SegmentState,
    /// The position of its first event.
    pub first_position: Option<u64>,
    /// Its events.
    pub events: u64,
    /// Bytes of its header and frames.
    pub bytes_used: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether it has an index beside it.
    pub indexed: bool,
}

/// The end of the log: the position of the next event, and where in the active segment it goes.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) position: u64,
    pub(super) file: String,
    pub(super) offset: u64,
}

/// The segments in `directory`, in order.
pub(super) fn segments_of(directory: &Path, end: &End) -> Result<Vec<SegmentInfo>, VerifyError> {
    let files = Directory::new(directory);
    let (mut sequences, _) = files.list()?;
    if let Front::Based(base) = files.front()? {
        // Files that a truncation has left are no part of the log.
        sequences.retain(|sequence| base.first <= *sequence);
    }
    let mut segments: Vec<SegmentInfo> = Vec::new();
    for sequence in sequences {
        // Removed since it was listed, by a live writer.
        let Some(file) = files.look(sequence, |file| Box::new(file))? else { continue };
        let mut info = SegmentInfo {
            sequence: sequence.as_u64(),
            state: SegmentState::Prepared,
            first_position: None,
            events: 0,
            bytes_used: 0,
            bytes: file.length,
            indexed: directory.join(&file.name).with_extension("idx").is_file(),
        };
        match file.header {
            HeaderState::Unused => {}
            HeaderState::Bad(_) => info.state = SegmentState::Unreadable,
            HeaderState::Activated(header) => {
                info.state = SegmentState::Active;
                info.first_position = Some(header.base_position.as_u64());
                let is_last = file.name == end.file;
                info.bytes_used = if is_last { end.offset } else { layout::segment::BYTES as u64 };
                info.events = end.position.saturating_sub(header.base_position.as_u64());
                let before = segments.last_mut().filter(|before| before.first_position.is_some());
                if let (Some(before), Some(seal)) = (before, header.predecessor) {
                    let first = before.first_position.unwrap_or_default();
                    before.state = SegmentState::Sealed;
                    before.bytes_used = seal.end.as_u64();
                    before.events = header.base_position.as_u64().saturating_sub(first);
                }
            }
        }
        segments.push(info);
    }
    Ok(segments)
}

/// How full the segments are, from the first to the last, in at most `width` characters: one each, or
/// one for several.
pub(super) fn bar(segments: &[SegmentInfo], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let together = segments.len().div_ceil(width.max(1)).max(1);
    let shown = segments.chunks(together).map(|chunk| {
        if chunk.iter().any(|segment| segment.state == SegmentState::Unreadable) {
            return '!';
        }
        let used: u64 = chunk.iter().map(|segment| segment.bytes_used).sum();
        let bytes: u64 = chunk.iter().map(|segment| segment.bytes).sum();
        if used == 0 {
            return '·';
        }
        let level = used.saturating_mul(LEVELS.len() as u64) / bytes.max(1);
        let level = usize::try_from(level).unwrap_or(LEVELS.len());
        *LEVELS.get(level).or(LEVELS.last()).unwrap_or(&'█')
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bytes_used: u64, state: SegmentState) -> SegmentInfo {
        SegmentInfo {
            sequence: 0,
            state,
            first_position: None,
            events: 0,
            bytes_used,
            bytes: 80,
            indexed: false,
        }
    }

    #[test]
    fn the_bar_has_a_character_for_each_segment_or_for_several() {
        let full = segment(80, SegmentState::Sealed);
        let some = segment(10, SegmentState::Active);
        let none = segment(0, SegmentState::Prepared);
        let all = [full.clone(), full, some, none];
        assert_eq!(bar(&all, 60), "██▂·");
        assert_eq!(bar(&all, 4), "██▂·");
        assert_eq!(bar(&all, 2), "█▁");
        assert_eq!(bar(&all, 0), "▅");
        assert_eq!(bar(&[], 10), "");
        let bad = segment(0, SegmentState::Unreadable);
        assert_eq!(bar(&[bad], 10), "!");
    }
}
