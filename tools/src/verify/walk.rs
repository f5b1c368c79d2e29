//! From the first frame of the log to the first place where none verifies.
//!
//! Owns: [`Walk`], which stands in one segment. May call: ahead, derived, directory, frames, streams, the
//! format. Decides nothing: it says where it stopped and why.
//!
//! A walk that has stopped may be run again: it looks at the same place anew, in the files, and
//! goes on if a writer has meanwhile written there.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use quipu_format::sidecar::{LogBase, SealedSegment};
use quipu_format::{
    ByteOffset, Chain, CommitTime, LogId, Position, Predecessor, SegmentHeader, SegmentSeq, layout,
};

use super::ahead::{Ahead, Stretch};
use super::decide::Fault;
use super::derived::{Derived, WrongFile};
use super::directory::{Directory, HeaderState, VerifyError, segment_name};
use super::frames::{Frames, State, Taken, Totals};
use super::streams::Streams;

/// How far the log was followed, and what was met.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    directory: &'a Directory,
    bar: &'a ProgressBar,
    /// Segments that are verified meanwhile.
    ahead: Option<Ahead<'a>>,
    log_id: Option<LogId>,
    sequence: SegmentSeq,
    /// The segment that the walk stands in; `None` before its header was accepted.
    segment: Option<Frames>,
    /// Where the segment before ended.
    before: Option<Predecessor>,
    /// The file that says so of segments that were dropped, and which segment is the first then.
    base: Option<(String, SegmentSeq)>,
    /// That of the first event that is kept: all below was durable.
    first_position: Position,
    state: State,
    /// What is derived from the segments that were left.
    derived: Derived,
}

/// What one step came to.
enum Advance {
    Went,
    Stopped(Fault),
}

impl<'a> Walk<'a> {
    /// Before the first segment. All segments must bear `log_id`, once one is known.
    pub(super) fn new(
        directory: &'a Directory,
        log_id: Option<LogId>,
        ahead: Option<Ahead<'a>>,
        bar: &'a ProgressBar,
    ) -> Self {
        let chain = Chain {
            position: Position::ZERO,
            previous: 0,
            time: CommitTime::ZERO,
            synced_position: Position::ZERO,
        };
        Self {
            directory,
            bar,
            ahead,
            log_id,
            sequence: SegmentSeq::ZERO,
            segment: None,
            before: None,
            base: None,
            first_position: Position::ZERO,
            state: State { chain, streams: Streams::default(), totals: Totals::default() },
            derived: Derived::default(),
        }
    }

    /// Begins behind segments that were dropped.
    pub(super) fn begin(&mut self, name: &str, base: &LogBase<'_>) {
        self.sequence = base.first_segment();
        self.state.chain = base.chain();
        self.first_position = self.state.chain.position;
        let checksum = self.state.chain.previous;
        self.before = Some(Predecessor { end: base.seal_end(), checksum });
        self.base = Some((name.to_owned(), self.sequence));
        self.state.streams.begin(base);
    }

    /// The base, if the walk stands at the start of the segment that it names.
    pub(super) fn base_at_start(&self) -> Option<String> {
        let (name, first) = self.base.as_ref()?;
        (self.segment.is_none() && *first == self.sequence).then(|| name.clone())
    }

    /// Whether the walk stands at the very start of the log.
    pub(super) fn is_at_start(&self) -> bool {
        let first = self.base.as_ref().map_or(SegmentSeq::ZERO, |(_, first)| *first);
        self.segment.is_none() && self.sequence == first
    }

    /// Goes on to the next place where no frame verifies; says what is wrong there.
    pub(super) fn run(&mut self) -> Result<Fault, VerifyError> {
        if let Some(segment) = &mut self.segment {
            segment.file.window.forget();
        }
        loop {
            match self.advance()? {
                Advance::Went => {}
                Advance::Stopped(fault) => return Ok(fault),
            }
        }
    }

    /// X: the segment and offset where the walk stands. Offset 0: the segment's own header.
    pub(super) fn place(&self) -> (SegmentSeq, ByteOffset) {
        let offset = self.segment.as_ref().map_or(ByteOffset::ZERO, |segment| segment.offset);
        (self.sequence, offset)
    }

    /// The segment that a seal ends, if the walk stands at the start of the next one.
    pub(super) fn sealed_before(&self) -> Option<String> {
        if self.is_at_start() {
            return None;
        }
        let before = self.segment.is_none().then_some(self.sequence.as_u64())?.checked_sub(1)?;
        Some(segment_name(SegmentSeq::new(before)))
    }

    /// The position of the next event.
    pub(super) fn position(&self) -> Position {
        self.state.chain.position
    }

    /// The highest synced position on the way.
    pub(super) fn synced_position(&self) -> Position {
        self.state.chain.synced_position.max(self.first_position)
    }

    pub(super) fn stream_count(&self) -> usize {
        self.state.streams.len()
    }

    pub(super) fn checkpoints(&self) -> BTreeMap<String, u64> {
        self.state.streams.checkpoints()
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.state.totals
    }

    /// What is derived from the segments that were left, the table of the streams included.
    pub(super) fn derived(&mut self) -> (u64, Vec<WrongFile>) {
        self.derived.stream_table(self.directory);
        let Derived { indexes, wrong, .. } = std::mem::take(&mut self.derived);
        (indexes, wrong)
    }

    pub(super) fn log_id(&self) -> Option<LogId> {
        self.log_id
    }

    /// Where to tell how far it has come.
    pub(super) fn bar(&self) -> &'a ProgressBar {
        self.bar
    }

    fn advance(&mut self) -> Result<Advance, VerifyError> {
        if self.segment.is_none() {
            return self.enter();
        }
        let Some(fault) = self.take_frame()? else { return Ok(Advance::Went) };
        let Some((next, seal)) = self.missing_seal()? else { return Ok(Advance::Stopped(fault)) };
        // The next header was read after this place was: a writer may have sealed in between.
        if let Some(segment) = &mut self.segment {
            segment.file.window.forget();
        }
        if self.take_frame()?.is_some() {
            let State { chain, totals, .. } = &mut self.state;
            totals.seals_missing.push(self.sequence.as_u64());
            totals.bytes += layout::CONTROL_FRAME_BYTES as u64;
            chain.previous = seal.checksum;
            chain.time = next.created_at;
            chain.synced_position = next.synced_position;
            self.leave(seal);
        }
        Ok(Advance::Went)
    }

    /// Accepts the header of the next segment, and what of its frames has been verified already.
    fn enter(&mut self) -> Result<Advance, VerifyError> {
        let mut segment = match Frames::open(self.directory, self.sequence, self.log_id)? {
            Ok(segment) => segment,
            Err(fault) => return Ok(Advance::Stopped(fault)),
        };
        let header = segment.header;
        let linked = match self.before {
            Some(before) => self.state.chain.leads_to(&header, before.end),
            None => header.predecessor.is_none(),
        };
        if !linked {
            return Ok(Advance::Stopped(Fault::Unlinked));
        }
        self.log_id = Some(header.log_id);
        self.state.chain = Chain::at_start_of(&header);
        self.state.totals.segments += 1;
        self.state.totals.bytes += layout::segment::BYTES as u64;
        let verified = self.ahead.as_mut().and_then(|ahead| ahead.take(self.sequence));
        let seal = verified.and_then(|stretch| self.take_over(stretch, &mut segment));
        self.segment = Some(segment);
        if let Some(seal) = seal {
            self.leave(seal);
        }
        Ok(Advance::Went)
    }

    /// Goes behind frames that verify by themselves, if they continue the streams and checkpoints
    /// of all in front of them. All else that they must continue is in the header in front of them.
    fn take_over(&mut self, stretch: Stretch, segment: &mut Frames) -> Option<Predecessor> {
        let Stretch { header, state, offset, seal } = stretch;
        if header != segment.header || !self.state.streams.join(state.streams) {
            return None;
        }
        self.state.chain = state.chain;
        self.state.totals.join(state.totals);
        segment.skip_to(offset);
        seal
    }

    /// Verifies the frame at this place and goes behind it. What is wrong, if there is none.
    fn take_frame(&mut self) -> Result<Option<Fault>, VerifyError> {
        let Some(segment) = &mut self.segment else { return Ok(None) };
        match segment.take(&mut self.state, self.bar)? {
            Taken::Frame => {}
            Taken::Seal(seal) => self.leave(seal),
            Taken::Stopped(fault) => return Ok(Some(fault)),
        }
        Ok(None)
    }

    /// The next segment's header and what it says of this one's seal, if that seal would stand here
    /// and continue the log: then nothing is missing in front of it.
    fn missing_seal(&self) -> Result<Option<(SegmentHeader, Predecessor)>, VerifyError> {
        let Some(segment) = &self.segment else { return Ok(None) };
        let next = self.directory.open(self.sequence.plus(1), self.log_id)?;
        let Some(HeaderState::Activated(next)) = next.map(|next| next.header) else {
            return Ok(None);
        };
        let chain = &self.state.chain;
        let named = chain.seal_named_by(&next, segment.salt, segment.offset).is_some();
        let fits = |seal: &Predecessor| named && seal.end.as_u64() <= segment.header.capacity;
        Ok(next.predecessor.filter(fits).map(|seal| (next, seal)))
    }

    /// Goes on to the next segment, behind a seal.
    fn leave(&mut self, seal: Predecessor) {
        if let Some(Frames { header, .. }) = &self.segment {
            let sealed = SealedSegment {
                log_id: header.log_id,
                sequence: header.sequence,
                base_position: header.base_position,
                end_position: self.state.chain.position,
                seal_end: seal.end,
                seal_checksum: seal.checksum,
            };
            self.derived.index(self.directory, sealed);
        }
        self.before = Some(seal);
        self.sequence = self.sequence.plus(1);
        self.segment = None;
    }

    /// The name of the file that the walk stands in.
    pub(super) fn file(&self) -> String {
        segment_name(self.sequence)
    }
}
