//! Segments verified ahead of the walk, several at once.
//!
//! Owns: [`Ahead`], the threads and what they have come to; [`Stretch`], the frames of one segment,
//! as far as they verify by themselves. May call: frames, streams. Decides nothing, and says
//! nothing: a stretch is taken over by the walk whole or not at all, and only where every rule
//! between it and all in front of it holds. Where anything is wrong, the walk reads it itself, so
//! that the verdict is that of a walk from frame to frame.
//!
//! Each thread has every so manieth segment, and hands each over before it begins the one after the
//! next: memory is bounded by a few segments' streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, available_parallelism};

use indicatif::ProgressBar;
use quipu_format::{ByteOffset, Chain, LogId, Predecessor, SegmentHeader, SegmentSeq};

use super::directory::Directory;
use super::frames::{Frames, State, Taken, Totals};
use super::streams::Streams;

/// Threads that verify segments ahead of the walk. Dropped, it ends them.
#[derive(Debug)]
pub(super) struct Ahead<'a> {
    segments: &'a [SegmentSeq],
    next: usize,
    from: Vec<Receiver<Option<Stretch>>>,
    stopped: Arc<AtomicBool>,
}

/// The frames of a segment from its header on, as far as they verify by themselves.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) header: SegmentHeader,
    /// Of these frames alone.
    pub(super) state: State,
    /// Behind the last of them.
    pub(super) offset: ByteOffset,
    /// If the last of them is the segment's seal.
    pub(super) seal: Option<Predecessor>,
}

/// Segments that a thread may have finished before the walk has come to them.
const FINISHED_MAX: usize = 1;

impl<'a> Ahead<'a> {
    /// Begins with the first segment, in as many threads as there are processors.
    pub(super) fn start<'scope, 'env: 'scope + 'a>(
        scope: &'scope Scope<'scope, 'env>,
        directory: &'env Directory,
        segments: &'env [SegmentSeq],
        log_id: Option<LogId>,
        bar: &'env ProgressBar,
    ) -> Self {
        let threads = available_parallelism().map_or(1, usize::from).min(segments.len());
        let stopped = Arc::new(AtomicBool::new(false));
        let mut from = Vec::with_capacity(threads);
        for first in 0..threads {
            let (to, receiver) = sync_channel(FINISHED_MAX);
            let own = segments.iter().skip(first).step_by(threads);
            let stop = Arc::clone(&stopped);
            scope.spawn(move || run(directory, own, log_id, bar, &to, &stop));
            from.push(receiver);
        }
        Self { segments, next: 0, from, stopped }
    }

    /// Waits for what has become of this segment, if it is the next one.
    pub(super) fn take(&mut self, sequence: SegmentSeq) -> Option<Stretch> {
        if self.segments.get(self.next) != Some(&sequence) {
            return None;
        }
        let receiver = self.from.get(self.next % self.from.len().max(1))?;
        self.next += 1;
        receiver.recv().ok().flatten()
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// One thread: its segments in order, until it is stopped.
fn run<'a>(
    directory: &Directory,
    segments: impl Iterator<Item = &'a SegmentSeq>,
    log_id: Option<LogId>,
    bar: &ProgressBar,
    to: &SyncSender<Option<Stretch>>,
    stopped: &AtomicBool,
) {
    for sequence in segments {
        let stretch = walk(directory, *sequence, log_id, bar, stopped);
        if to.send(stretch).is_err() || stopped.load(Ordering::Relaxed) {
            break;
        }
    }
}

fn walk(
    directory: &Directory,
    sequence: SegmentSeq,
    log_id: Option<LogId>,
    bar: &ProgressBar,
    stopped: &AtomicBool,
) -> Option<Stretch> {
    let mut frames = Frames::open(directory, sequence, log_id).ok()?.ok()?;
    let mut state = State {
        chain: Chain::at_start_of(&frames.header),
        streams: Streams::in_the_middle(),
        totals: Totals::default(),
    };
    let mut seal = None;
    while seal.is_none() && !stopped.load(Ordering::Relaxed) {
        match frames.take(&mut state, bar) {
            Ok(Taken::Frame) => {}
            Ok(Taken::Seal(found)) => seal = Some(found),
            // The walk comes here, and sees it for itself.
            Ok(Taken::Stopped(_)) | Err(_) => break,
        }
    }
    Some(Stretch { header: frames.header, state, offset: frames.offset, seal })
}
