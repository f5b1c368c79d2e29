//! The segment that is being written.
//!
//! Owns: [`ActiveSegment`], the one place that appends frames. May call: storage, the format.
//!
//! Invariants:
//! - Bytes are only ever appended; what is stored never changes.
//! - Gathered frames are the log's end, not stored yet: nothing is stored that is behind them.
//! - Behind every batch there is room for [`RESERVED_BYTES`]: a mark, a close frame and the seal.
//! - `chain` is the state behind the last frame stored; every frame continues it.

use std::io;
use std::sync::Arc;

use quipu_format::frame::{ControlFields, control_frame};
use quipu_format::sidecar::SealedSegment;
use quipu_format::{
    ByteOffset, Chain, CommitFields, CommitTime, ControlKind, EncodedBatch, Position,
    SegmentHeader, layout,
};

use super::prepare::Prepared;
use super::reader::Segment;
use crate::storage::raw::RegionWriter;
use crate::storage::{File, StoreMode};

/// Room that every batch leaves: for a mark, a close frame and the seal.
pub(crate) const RESERVED_BYTES: u64 = 3 * layout::CONTROL_FRAME_BYTES as u64;

/// The longest frame that fits into a segment of `capacity` bytes.
pub(crate) const fn frame_bytes_max(capacity: u64) -> u64 {
    let room = capacity.saturating_sub(layout::segment::BYTES as u64 + RESERVED_BYTES);
    if room < layout::FRAME_BYTES_MAX as u64 { room } else { layout::FRAME_BYTES_MAX as u64 }
}

/// The segment that is being written, and the state of the log at its end.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    /// `None` once the log is closed.
    writer: Option<RegionWriter>,
    mode: StoreMode,
    /// Frames that are to be stored with one call.
    gathered: Vec<u8>,
    chain: Chain,
    /// What the last frame was; `None` right behind the segment's header.
    last_control: Option<ControlKind>,
}

/// Longer frames are worth a call of their own; and no more than twice as much is ever gathered.
const GATHERED_MAX: usize = 128 << 10;

impl ActiveSegment {
    /// Goes on behind what recovery has accepted.
    pub(crate) fn resume(
        segment: Arc<Segment>,
        file: Arc<dyn File>,
        writer: RegionWriter,
        mode: StoreMode,
        chain: Chain,
        last_control: Option<ControlKind>,
    ) -> Self {
        let gathered = Vec::new();
        Self { segment, file, writer: Some(writer), mode, gathered, chain, last_control }
    }

    /// Stores the header of a segment that was prepared, which makes it the active one.
    pub(crate) fn activate(
        prepared: Prepared,
        header: &SegmentHeader,
        mode: StoreMode,
    ) -> io::Result<Self> {
        let Prepared { file, region, mut writer, .. } = prepared;
        file.append(&mut writer, &[&header.encode()], mode)?;
        let landmarks = super::landmarks::Landmarks::new(header.capacity);
        let segment = Arc::new(Segment::new(*header, region, landmarks));
        let chain = Chain::at_start_of(header);
        Ok(Self::resume(segment, file, writer, mode, chain, None))
    }

    /// As readers see it.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The state behind the last frame.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What the index of this segment is bound to, right behind the seal.
    pub(crate) fn sealed(&self) -> SealedSegment {
        let header = self.segment.header();
        SealedSegment {
            log_id: header.log_id,
            sequence: header.sequence,
            base_position: header.base_position,
            end_position: self.chain.position,
            seal_end: self.end(),
            seal_checksum: self.chain.previous,
        }
    }

    /// What the last frame was, if it was no batch.
    pub(crate) fn last_control(&self) -> Option<ControlKind> {
        self.last_control
    }

    /// Where the next frame goes.
    pub(crate) fn end(&self) -> ByteOffset {
        ByteOffset::new(self.segment.region().written() + self.gathered.len() as u64)
    }

    /// Whether a batch of so many bytes still fits.
    pub(crate) fn has_room_for(&self, frame_bytes: u64) -> bool {
        frame_bytes.saturating_add(RESERVED_BYTES) <= self.room()
    }

    /// Whether a mark or a close frame still fits, with the seal behind it.
    pub(crate) fn has_room_for_control(&self) -> bool {
        2 * layout::CONTROL_FRAME_BYTES as u64 <= self.room()
    }

    /// Completes a batch and stores it, or, with `gather`, may leave that to [`Self::flush`]. The
    /// streams' first versions have been noted in it.
    ///
    /// After an error some of its bytes may be there: nothing may be stored behind them.
    pub(crate) fn append_batch(
        &mut self,
        batch: &mut EncodedBatch,
        time: CommitTime,
        (synced_position, settled): (Position, bool),
        gather: bool,
    ) -> io::Result<()> {
        let (offset, position) = (self.end(), self.chain.position);
        let fields = CommitFields {
            offset,
            first_position: position,
            commit_time: time,
            synced_position,
            settled,
            previous: self.chain.previous,
        };
        let checksum = batch.commit(&fields, self.segment.salt());
        self.store(&batch.parts(), gather)?;
        if batch.event_count() > 0 {
            self.segment.landmarks().note(position, offset);
        }
        self.chain = Chain {
            position: position.plus(u64::from(batch.event_count())),
            previous: checksum,
            time,
            synced_position,
        };
        self.last_control = None;
        Ok(())
    }

    /// Stores a frame without a body. What is durable: the synced position, and whether all in front is.
    pub(crate) fn append_control(
        &mut self,
        kind: ControlKind,
        time: CommitTime,
        (synced_position, settled): (Position, bool),
    ) -> io::Result<()> {
        let fields = ControlFields {
            position: self.chain.position,
            time,
            synced_position,
            settled,
            previous: self.chain.previous,
        };
        let (bytes, checksum) = control_frame(kind, fields, self.segment.salt(), self.end());
        self.store(&[&bytes], false)?;
        self.chain = Chain { previous: checksum, time, synced_position, ..self.chain };
        self.last_control = Some(kind);
        Ok(())
    }

    /// Lets go of the file's writing half: nothing is stored any more, and whoever opens the log
    /// next may write.
    pub(crate) fn release(&mut self) {
        self.writer = None;
    }

    /// Stores what has been gathered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.append(&[&gathered])?;
        self.gathered = gathered;
        self.gathered.clear();
        Ok(())
    }

    fn store(&mut self, parts: &[&[u8]], gather: bool) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // Where all is copied, it is copied to where it belongs.
        if !gather || length > GATHERED_MAX || self.mode == StoreMode::Mapped {
            self.flush()?;
            return self.append(parts);
        }
        parts.iter().for_each(|part| self.gathered.extend_from_slice(part));
        match self.gathered.len() > GATHERED_MAX {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => self.file.append(writer, parts, self.mode),
            None => Err(io::Error::other("the log is closed")),
        }
    }

    fn room(&self) -> u64 {
        let room = self.writer.as_ref().map_or(0, RegionWriter::room);
        room.saturating_sub(self.gathered.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use quipu_format::{LogId, SegmentSeq};

    use super::*;
    use crate::segment::prepare::Preparer;
    use crate::sim::SimDisk;
    use crate::storage::Preparation;

    #[test]
    fn however_many_marks_there_are_the_seal_still_fits() {
        for mode in [StoreMode::Mapped, StoreMode::Positioned] {
            let (disk, next) = (Arc::new(SimDisk::new(1)), SegmentSeq::ZERO);
            let mut preparer = Preparer::new(disk, 8 << 10, Preparation::default(), vec![], next);
            let header = SegmentHeader {
                log_id: LogId::from_bytes([1; 16]),
                sequence: next,
                capacity: 8 << 10,
                base_position: Position::ZERO,
                created_at: CommitTime::ZERO,
                synced_position: Position::ZERO,
                predecessor: None,
                optional_features: 0,
            };
            let prepared = preparer.prepare().unwrap();
            let mut active = ActiveSegment::activate(prepared, &header, mode).unwrap();
            let mut append = |kind| {
                active.append_control(kind, CommitTime::ZERO, (Position::ZERO, false)).unwrap();
                active.has_room_for_control()
            };
            while append(ControlKind::Mark) {}
            append(ControlKind::Seal);
        }
    }
}
