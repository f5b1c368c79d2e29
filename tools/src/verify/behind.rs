//! What stands behind the place where the log stops verifying.
//!
//! Owns: [`look_behind`]. May call: directory, walk, the format's search for evidence. Decides
//! nothing.

use indicatif::ProgressBar;
use quipu_format::zeros::last_nonzero;
use quipu_format::{ByteOffset, Position, Salt, find_evidence, layout};

use super::decide::{Behind, Sighting};
use super::directory::{Directory, HeaderState, SegmentFile, VerifyError, wrong_magic};
use super::walk::Walk;

/// Searched at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// Reads all from the place on where the walk stands, and every later segment.
pub(super) fn look_behind(directory: &Directory, walk: &Walk<'_>) -> Result<Behind, VerifyError> {
    let ((sequence, offset), log_id) = (walk.place(), walk.log_id());
    let (sealed_before, base) = (walk.sealed_before(), walk.base_at_start());
    let mut behind = Behind { sealed_before, base, ..Behind::default() };
    let (segments, _) = directory.list()?;
    for later in segments.into_iter().filter(|later| *later >= sequence) {
        let Some(mut file) = directory.open(later, log_id)? else { continue };
        let is_first = later == sequence;
        let from = if is_first { offset } else { ByteOffset::ZERO };
        let activated = matches!(file.header, HeaderState::Activated(_));
        // The first segment has its name before any other, and keeps it as long as there are
        // others.
        if !is_first && (activated || walk.is_at_start()) {
            behind.there_behind.get_or_insert_with(|| file.name.clone());
        }
        if let Some(error) = wrong_magic(&file.header) {
            behind.wrong_magic.get_or_insert_with(|| (file.name.clone(), error));
        }
        if let HeaderState::Activated(header) = file.header
            && from == ByteOffset::ZERO
        {
            behind.see(&file.name, ByteOffset::ZERO, header.synced_position);
        }
        let salt = log_id.map(|log_id| Salt::new(log_id, later));
        let last_not_zero = behind.search(&mut file, from, salt, walk.bar())?;
        match last_not_zero {
            Some(last) => behind.bytes += last + 1 - from.as_u64(),
            None if from == ByteOffset::ZERO => behind.unused += 1,
            None => {}
        }
        let has_frames = last_not_zero.is_some_and(|last| last >= layout::segment::BYTES as u64);
        if has_frames && log_id.is_none() {
            behind.unchecked.get_or_insert_with(|| file.name.clone());
        }
    }
    Ok(behind)
}

impl Behind {
    /// Searches a file from `from` on. Where its last byte stands that is not zero.
    fn search(
        &mut self,
        file: &mut SegmentFile,
        from: ByteOffset,
        salt: Option<Salt>,
        bar: &ProgressBar,
    ) -> Result<Option<u64>, VerifyError> {
        let mut last_not_zero = None;
        let mut at = from.as_u64();
        file.window.forget();
        while at < file.length {
            // A header that stands across two pieces is seen whole at the end of the first.
            let bytes = file.at(at, PIECE_BYTES + layout::header::BYTES as u64)?;
            if bytes.is_empty() {
                break;
            }
            let mut found = None;
            if let Some(last) = last_nonzero(bytes) {
                last_not_zero = Some(at + last as u64);
                found = salt.and_then(|salt| find_evidence(bytes, salt, ByteOffset::new(at)));
            }
            if let Some(found) = found {
                self.see(&file.name, found.offset, found.synced_position);
                // What stands at X itself speaks of what is in front of X.
                if let Some(settled) = found.settled_at.filter(|settled| *settled > from) {
                    let place = || (file.name.clone(), settled.as_u64());
                    self.settled.get_or_insert_with(place);
                }
            }
            bar.inc(PIECE_BYTES.min(file.length - at));
            at += PIECE_BYTES;
        }
        Ok(last_not_zero)
    }

    /// Notes a synced position, if it is the highest so far.
    fn see(&mut self, file: &str, offset: ByteOffset, synced_position: Position) {
        if self.evidence.as_ref().is_none_or(|best| best.synced_position < synced_position) {
            let (file, offset) = (file.to_owned(), offset.as_u64());
            self.evidence = Some(Sighting { file, offset, synced_position });
        }
    }
}
