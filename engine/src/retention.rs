//! Dropping the front of the log.
//!
//! Owns: [`Retention`], [`Truncation`], [`plan`]. May call: segment, index, the watermarks, storage. Runs on the
//! caller's thread; the writer is kept from nothing but the list of segments, for a moment.
//!
//! What must outlive the events: every stream's version and last position, and the named checkpoints. They
//! go into a base ([`crate::segment::base`]), which is made from the base before and the indexes of what
//! is dropped, read anew and verified. As every event belongs to one stream, a base that has lost a stream
//! or a version is seen not to add up, here and wherever it is read.
//!
//! The order of effects, so that a crash between any two leaves the log as it was or as it is to be:
//! 1. What is to be dropped is sealed and durable, and so is an event in the first segment that is kept:
//!    with it that segment's header, and its name.
//! 2. Both copies of the base are stored, each synced before it is named, and their names made durable.
//!    From here on the log begins behind it: opening goes by the newest base.
//! 3. The segments leave the list: reads that begin now begin behind.
//! 4. Their files, their indexes and the base before are removed, in no order that matters: whatever of
//!    that a crash takes back is in front of the base, and opening removes it again.
//!
//! A failure in 1 or 2 drops nothing. One in 4 leaves files, which is told.

use std::sync::Arc;

use quipu_format::sidecar::{LogBase, SidecarError};
use quipu_format::{Position, SegmentSeq};

use crate::error::{ReadError, TruncateError};
use crate::index::table::{NEEDED, merge};
use crate::segment::base::{self, BadCopy, Base};
use crate::segment::name::{base_names, segment_name, sidecar_name};
use crate::segment::reader::Segment;
use crate::segment::set::{self, SegmentSet};
use crate::segment::sidecar::{self, SegmentIndex};
use crate::storage::latch::Latch;
use crate::storage::{Directory, IoError};
use crate::sync::{Mutex, MutexGuard};
use crate::watermark::Watermarks;

/// What [`Log::truncate_before`](crate::Log::truncate_before) has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncation {
    /// Segments that are no part of the log any more.
    pub segments: usize,
    /// Events that were in them.
    pub events: u64,
    /// The length of their files.
    pub bytes: u64,
    /// The position of the first event that is kept.
    pub first_available: Position,
    /// Files that could not be removed. They are of no use, and removed when the log is opened again.
    pub files_left: usize,
}

/// Drops segments from the front of a log that is open for writing.
#[derive(Debug)]
pub(crate) struct Retention {
    directory: Arc<dyn Directory>,
    segments: Arc<SegmentSet>,
    watermarks: Arc<Watermarks>,
    latch: Arc<Latch>,
    /// Held by the one that drops, or needs that nothing is dropped.
    front: Mutex<()>,
    /// Held by the one that drops; whether the log is closed.
    closed: Mutex<bool>,
}

impl Retention {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        segments: Arc<SegmentSet>,
        watermarks: Arc<Watermarks>,
        latch: Arc<Latch>,
    ) -> Self {
        let (front, closed) = (Mutex::new(()), Mutex::new(false));
        Self { directory, segments, watermarks, latch, front, closed }
    }

    /// Waits for whoever drops segments now; nobody does any more.
    pub(crate) fn close(&self) {
        *self.closed.lock() = true;
    }

    /// As long as this is held, nothing is dropped.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.front.lock()
    }

    /// Drops all segments whose events are below `position`, as far as they can be dropped.
    pub(crate) fn truncate_before(&self, position: Position) -> Result<Truncation, TruncateError> {
        let _front = self.hold();
        let closed = self.closed.lock();
        if *closed {
            return Err(TruncateError::Closed);
        }
        self.latch.check().map_err(TruncateError::Poisoned)?;
        let segments = self.segments.snapshot();
        // An event behind the base of a segment is durable: then so are its header, and all in front.
        let durable = self.watermarks.synced().min(self.watermarks.published());
        let (truncation, first) = droppable(&segments, position, durable);
        let Some(first) = first else { return Ok(truncation) };
        let dropped = segments.get(..truncation.segments).unwrap_or_default();
        let base = self.build(dropped, first)?;
        self.store(first.sequence(), &base.bytes)?;
        self.segments.drop_before(first.sequence());
        let Truncation { segments, first_available, .. } = truncation;
        tracing::info!(segments, %first_available, "dropped");
        Ok(Truncation { files_left: self.remove(dropped), ..truncation })
    }

    /// The base in front of `first`.
    fn build(&self, dropped: &[Arc<Segment>], first: &Segment) -> Result<Base, TruncateError> {
        let mut base = match dropped.first().map(|oldest| oldest.sequence()) {
            None | Some(SegmentSeq::ZERO) => None,
            Some(oldest) => Some(self.load(oldest)?),
        };
        let mut parts = dropped.chunks(MERGED_MAX).peekable();
        while let Some(part) = parts.next() {
            let behind = parts.peek().and_then(|next| next.first()).map_or(first, |next| next);
            base = Some(self.build_on(base.as_ref(), part, behind)?);
        }
        base.ok_or(TruncateError::NotAccountedFor(NO_SEGMENTS))
    }

    /// The base in front of `behind`, by the one before and the segments between.
    fn build_on(
        &self,
        before: Option<&Base>,
        dropped: &[Arc<Segment>],
        behind: &Segment,
    ) -> Result<Base, TruncateError> {
        let mut failure = NO_SEGMENTS;
        for remade in [false, true] {
            let own: Vec<Arc<SegmentIndex>> = dropped
                .iter()
                .map(|segment| self.own_index(segment, remade))
                .collect::<Result<_, _>>()
                .map_err(TruncateError::Unreadable)?;
            match merged(before, &own, behind) {
                Ok(base) => return Ok(base),
                Err(error) => failure = error,
            }
        }
        Err(TruncateError::NotAccountedFor(failure))
    }

    /// The base that the log begins with now.
    fn load(&self, oldest: SegmentSeq) -> Result<Base, TruncateError> {
        base::load(&*self.directory, oldest).map_err(|bad| {
            let of_io = bad.into_iter().find_map(|(_, why)| match why {
                BadCopy::Io(error) => Some(TruncateError::Io(error)),
                BadCopy::Wrong(error) => Some(TruncateError::NotAccountedFor(error)),
                BadCopy::Misnamed(_) => None,
            });
            of_io.unwrap_or_else(|| {
                let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
                TruncateError::Io(IoError::new("find the base of", self.directory.name(), missing))
            })
        })
    }

    /// The index of a segment, read from the disk and verified; else, or `remade`, made from its frames.
    fn own_index(&self, segment: &Segment, remade: bool) -> Result<Arc<SegmentIndex>, ReadError> {
        if let Some(sealed) = segment.sealed().filter(|_| !remade)
            && let Ok(own) = sidecar::load(&*self.directory, &sealed, &NEEDED)
        {
            return Ok(Arc::new(own));
        }
        segment.own_index(true)
    }

    /// Stores the base. After a failure the log is as it was.
    fn store(&self, first: SegmentSeq, bytes: &[u8]) -> Result<(), TruncateError> {
        let stored = base::store(&*self.directory, first, bytes);
        stored.map_err(|error| {
            // A name that stays leads the next opening to where this was to lead.
            let _names = self.directory.naming().lock();
            for name in base_names(first) {
                let _ = self.directory.remove(&name);
            }
            let _ = self.directory.sync();
            TruncateError::Io(error)
        })
    }

    /// Removes the files of what is no part of the log any more. Gives how many are left.
    fn remove(&self, dropped: &[Arc<Segment>]) -> usize {
        let is_left = |name: &String| {
            let removed = self.directory.remove(name);
            removed.is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound)
        };
        let of_segments = dropped.iter().flat_map(|segment| {
            let sequence = segment.sequence();
            [segment_name(sequence), sidecar_name(sequence)]
        });
        let oldest = dropped.first().map_or(SegmentSeq::ZERO, |oldest| oldest.sequence());
        let of_base = base_names(oldest).into_iter().filter(|_| oldest > SegmentSeq::ZERO);
        let left = of_segments.chain(of_base).filter(is_left).count();
        let _names = self.directory.naming().lock();
        // What comes back after a power cut is removed when the log is opened.
        let _ = self.directory.sync();
        left
    }
}

/// So many segments are merged at a time: what is held of each stream in each of them is memory.
const MERGED_MAX: usize = 16;

/// Whoever drops something has segments to drop.
const NO_SEGMENTS: SidecarError = SidecarError::Field { field: "segments", found: 0 };

/// What would be dropped of a log that is durable up to `durable`. Changes nothing.
pub(crate) fn plan(segments: &SegmentSet, position: Position, durable: Position) -> Truncation {
    droppable(&segments.snapshot(), position, durable).0
}

/// What may be dropped, and the segment that is the first then; `None`: nothing. `durable`: all events
/// below it are.
fn droppable(
    segments: &[Arc<Segment>],
    position: Position,
    durable: Position,
) -> (Truncation, Option<&Arc<Segment>>) {
    // The writer looks for events of a segment without an index in memory.
    let indexed = segments.iter().take_while(|segment| segment.attached().is_some()).count();
    let may_be_first = |segment: &Arc<Segment>| {
        segment.base_position() <= position && segment.base_position() < durable
    };
    let count = segments.iter().take(indexed + 1).rposition(may_be_first).unwrap_or(0);
    let first = segments.get(count).filter(|_| count > 0);
    let start = set::start(segments);
    let first_available = first.map_or(start, |first| first.base_position());
    let lengths = segments.iter().take(count).map(|segment| segment.region().capacity());
    let truncation = Truncation {
        segments: count,
        events: first_available.as_u64() - start.as_u64(),
        bytes: lengths.sum(),
        first_available,
        files_left: 0,
    };
    (truncation, first)
}

/// All streams and checkpoints in front of `first`, and the seal that it follows.
fn merged(
    before: Option<&Base>,
    own: &[Arc<SegmentIndex>],
    first: &Segment,
) -> Result<Base, SidecarError> {
    let missing = SidecarError::Field { field: "segment", found: first.sequence().as_u64() };
    let sealed = own.last().map(|own| own.header().segment).ok_or(missing)?;
    let before = before.map(Base::view).transpose()?;
    let builder = merge(before.as_ref().map(LogBase::table), own, &sealed)?.ok_or(missing)?;
    let header = first.header();
    let bytes = builder.finish_base(&sealed, header.created_at, header.synced_position);
    let base = Base::of("", bytes)?;
    match base.chain.leads_to(header, base.seal_end) {
        true => Ok(base),
        false => Err(missing),
    }
}
