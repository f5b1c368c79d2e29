//! The data path of appends, and who may be where in it.
//!
//! Owns: [`Pipeline`]: the queue, the committer, the publisher, and the locks around them. May
//! call: committer, publisher, ticket. The threads that run it are in [`super::writer`].
//!
//! ```text
//!  callers --> queue --> [intake] --> [committer] --> [publisher] --> tickets
//!                          who takes    decides,        syncs,
//!                          the next     stores          makes visible
//! ```
//!
//! Three locks, always taken in this order. Two threads take turns as the writer: one holds intake
//! and committer and stores its group while the other holds the publisher and waits for the disk.
//! The first then waits for the publisher, takes in what has come meanwhile, lets go of intake and
//! committer, and syncs. So copying and syncing overlap, a group is as large as the disk is slow,
//! and whoever wakes callers does so while the next group is under way.
//!
//! A caller may take a turn itself, "in place", when nobody is in the way: it needs no hand-over.
//! That is for buffered appends, for durable ones while callers come one by one, and for logs
//! without threads.
//!
//! Invariants:
//! - One caller's batches are committed in its order: in place only if nothing of the queue is
//!   still to be stored (`pending` is raised before a batch is sent, and lowered, for a whole group
//!   at a time, under the committer's lock).
//! - Groups are published in the order in which they were stored: the publisher's lock is taken
//!   before the committer's is let go.

use std::sync::Arc;
use std::time::Duration;

use quipu_format::CommitTime;

use super::batch::PreparedBatch;
use super::committer::Committer;
use super::group::{Group, Staged};
use super::publisher::Publisher;
use super::receipt::Committed;
use super::ticket::{Answer, Responder, Ticket};
use crate::environment::Environment;
use crate::error::AppendError;
use crate::options::Durability;
use crate::storage::IoError;
use crate::storage::latch::Latch;
use crate::subscribe::notifier::Notifier;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender};
use crate::sync::{Instant, Mutex, MutexGuard};
use crate::watermark::Watermarks;

/// What callers put into the queue.
#[derive(Debug)]
pub(crate) enum Message {
    /// The responder's batch is to be committed.
    Append(Responder),
    /// All that was committed before is to be durable.
    Sync(Responder),
    /// Something was committed in place: look at what is due.
    Nudge,
    /// Nothing comes after this.
    Close(Responder),
}

/// Bounds and delays, from the options.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) group_batches_max: usize,
    pub(crate) group_bytes_max: u64,
    pub(crate) sync_interval: Option<Duration>,
    pub(crate) idle_mark_after: Duration,
}

/// The data path of appends.
pub(crate) struct Pipeline {
    intake: Mutex<Intake>,
    committer: Mutex<Committer>,
    publisher: Mutex<Publisher>,
    sender: Sender<Message>,
    /// Batches submitted and not yet stored or refused.
    pending: AtomicUsize,
    /// Set under the committer's lock.
    closed: AtomicBool,
    /// What the writer looks at without being told: one of [`watch`].
    watching: AtomicU8,
    /// Whether the last group was answered to several callers.
    crowded: AtomicBool,
    watermarks: Arc<Watermarks>,
    notifier: Arc<Notifier>,
    latch: Arc<Latch>,
    environment: Environment,
    limits: Limits,
}

/// The receiving end of the queue.
struct Intake {
    receiver: Receiver<Message>,
    /// When buffered batches are to be synced.
    sync_due: Option<Instant>,
}

/// What the writer looks at without being told, from less to more.
mod watch {
    /// Nothing: it waits for a message.
    pub(super) const NOTHING: u8 = 0;
    /// How far the log is durable, to be noted when it is quiet.
    pub(super) const MARK: u8 = 1;
    /// That, and what the interval makes due.
    pub(super) const INTERVAL: u8 = 2;
}

/// What the writer does next.
enum Due {
    Message(Message),
    /// Buffered batches have waited for the interval.
    Sync,
    /// It has been quiet: note how far the log is durable.
    Mark,
}

impl Pipeline {
    pub(crate) fn new(
        committer: Committer,
        publisher: Publisher,
        queue: (Sender<Message>, Receiver<Message>),
        notifier: Arc<Notifier>,
        environment: Environment,
        limits: Limits,
    ) -> Self {
        let (sender, receiver) = queue;
        Self {
            intake: Mutex::new(Intake { receiver, sync_due: None }),
            watermarks: Arc::clone(&committer.watermarks),
            latch: Arc::clone(&committer.latch),
            committer: Mutex::new(committer),
            publisher: Mutex::new(publisher),
            sender,
            pending: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            watching: AtomicU8::new(watch::NOTHING),
            crowded: AtomicBool::new(false),
            notifier,
            environment,
            limits,
        }
    }

    /// Hands a batch over. Waits for a place in the queue.
    pub(crate) fn submit(&self, batch: PreparedBatch) -> Ticket {
        let (ticket, responder) = Ticket::for_batch(batch);
        // Before it is sent, so that nothing of this caller's can overtake it in place.
        self.pending.fetch_add(1, Ordering::SeqCst);
        self.send(Message::Append(responder));
        ticket
    }

    /// Asks for everything committed so far to be made durable.
    pub(crate) fn submit_sync(&self) -> Ticket {
        let (ticket, responder) = Ticket::new();
        self.send(Message::Sync(responder));
        ticket
    }

    /// Asks for the end: all before is committed and durable, nothing comes after.
    pub(crate) fn submit_close(&self) -> Ticket {
        let (ticket, responder) = Ticket::new();
        self.send(Message::Close(responder));
        ticket
    }

    /// Commits a batch on the caller's thread if nobody is in the way; else gives it back.
    ///
    /// A buffered batch needs no sync, and so no other thread. A durable one saves two hand-overs,
    /// but keeps to itself a sync that it might have shared: only where callers come one by one.
    #[allow(clippy::result_large_err)] // the batch goes back to the one who gave it, on its stack
    pub(crate) fn try_in_place(&self, batch: PreparedBatch) -> Result<Answer, PreparedBatch> {
        let shares = batch.durability == Durability::Sync && self.crowded.load(Ordering::Relaxed);
        if shares || self.pending.load(Ordering::SeqCst) != 0 {
            return Err(batch);
        }
        let Some(committer) = self.committer.try_lock() else { return Err(batch) };
        let Some(publisher) = self.publisher.try_lock() else { return Err(batch) };
        // Again under the lock: a batch of this caller's cannot have come, but one that another
        // thread has handed over on its behalf may have.
        if self.pending.load(Ordering::SeqCst) != 0 {
            return Err(batch);
        }
        let due = match batch.durability {
            Durability::Sync => watch::MARK,
            Durability::Buffered if self.limits.sync_interval.is_some() => watch::INTERVAL,
            Durability::Buffered => watch::NOTHING,
        };
        let answer = self.commit_alone(batch, committer, publisher);
        if self.watching.fetch_max(due, Ordering::SeqCst) < due {
            // If the queue is full the writer is awake anyway.
            let _ = self.sender.try_send(Message::Nudge);
            self.empty_if_closed();
        }
        Ok(answer)
    }

    /// Commits a batch on the caller's thread, waiting for whoever is in the way. For logs without
    /// threads.
    pub(crate) fn in_place(&self, batch: PreparedBatch) -> Answer {
        let committer = self.committer.lock();
        let publisher = self.publisher.lock();
        self.commit_alone(batch, committer, publisher)
    }

    /// Commits batches on the caller's thread as one group. For logs without threads.
    #[cfg(feature = "sim")]
    pub(crate) fn together_in_place(&self, batches: Vec<PreparedBatch>) -> Vec<Answer> {
        let mut committer = self.committer.lock();
        let mut publisher = self.publisher.lock();
        if self.closed.load(Ordering::SeqCst) {
            return batches.iter().map(|_| Err(AppendError::Closed)).collect();
        }
        let committing = ShutUnlessDone::new(&self.latch);
        let mut group = Group { gathers: true, ..Group::default() };
        let now = self.environment.now();
        let append = |batch| committer.append(batch, now, &mut group);
        let staged: Vec<Staged> = batches.into_iter().map(append).collect();
        // A failure is noted in the group.
        let _ = committer.flush(&mut group);
        group.end = committer.reach();
        drop(committer);
        let (nobody, durable) = publisher.publish(group);
        debug_assert!(nobody.is_empty(), "those who wait are told here");
        committing.done();
        drop(publisher);
        self.notifier.notify();
        staged.into_iter().map(|staged| staged.told(&durable)).collect()
    }

    /// Syncs on the caller's thread. For logs without threads.
    pub(crate) fn sync_in_place(&self) -> Answer {
        let committer = self.committer.lock();
        let mut publisher = self.publisher.lock();
        let end = committer.reach();
        let group = Group { end, needs_sync: true, ..Group::default() };
        let answer = Committed::nothing(end.position, self.environment.now());
        self.run_alone(group, answer, &mut publisher)
    }

    /// Does on the caller's thread what is due once it has been quiet. For logs without threads.
    #[cfg(feature = "sim")]
    pub(crate) fn quiet_in_place(&self) {
        let mut committer = self.committer.lock();
        let mut publisher = self.publisher.lock();
        let mut group = Group::default();
        committer.mark(&mut group);
        group.end = committer.reach();
        drop(committer);
        let (nobody, _) = publisher.publish(group);
        debug_assert!(nobody.is_empty(), "a mark answers nobody");
    }

    /// Closes on the caller's thread, which is the last that does anything.
    pub(crate) fn close_in_place(&self) -> Answer {
        let answer = self.sync_in_place();
        self.shut();
        // The close frame may have failed too.
        answer.and_then(|answer| self.latch.check().map(|()| answer).map_err(AppendError::Poisoned))
    }

    /// Lets go of the files and ends the preparation of segments; after the log has been closed.
    pub(crate) fn release(&self) {
        let mut committer = self.committer.lock();
        committer.active.release();
        let source = committer.source.take();
        drop(committer);
        drop(source);
    }

    /// Batches submitted and not yet looked at.
    pub(crate) fn queue_depth(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Whether batches are taken: nothing has failed, and the log is not closed.
    pub(crate) fn takes_batches(&self) -> bool {
        !self.closed.load(Ordering::SeqCst) && self.latch.check().is_ok()
    }

    /// Whether a write or sync has failed.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        self.latch.check().map_err(AppendError::Poisoned)
    }

    /// One turn of the writer. `false`: the log is closed.
    pub(crate) fn turn(&self) -> bool {
        let mut intake = self.intake.lock();
        if self.closed.load(Ordering::SeqCst) {
            return false;
        }
        let due = self.wait(&mut intake);
        let mut committer = self.committer.lock();
        let storing = ShutUnlessDone::new(&self.latch);
        let mut group = Group { gathers: true, ..Group::default() };
        let mut closing = None;
        match due {
            Due::Message(message) => {
                closing = take_in(message, self.environment.now(), &mut committer, &mut group);
            }
            Due::Sync => group.needs_sync = true,
            Due::Mark => committer.mark(&mut group),
        }
        if closing.is_none() {
            closing = self.drain(&intake, &mut committer, &mut group);
        }
        let mut publisher = self.publisher.lock();
        let publishing = ShutUnlessDone::new(&self.latch);
        if closing.is_none() {
            // What has come while the group in front was being synced.
            closing = self.drain(&intake, &mut committer, &mut group);
        }
        // A failure is noted in the group.
        let _ = committer.flush(&mut group);
        group.end = committer.reach();
        group.needs_sync |= closing.is_some();
        if self.sync_due(&mut intake).is_some_and(|due| due <= Instant::now()) {
            intake.sync_due = None;
            group.needs_sync = true;
        }
        storing.done();
        self.pending.fetch_sub(group.batches, Ordering::SeqCst);
        drop(committer);
        self.crowded.store(group.waiting.len() > 1, Ordering::Relaxed);
        let Some(closer) = closing else {
            drop(intake);
            let (waiting, durable) = publisher.publish(group);
            publishing.done();
            drop(publisher);
            self.notifier.notify();
            Responder::answer_all(waiting, &durable);
            return true;
        };
        let (waiting, durable) = publisher.publish(group);
        publishing.done();
        drop(publisher);
        self.notifier.notify();
        Responder::answer_all(waiting, &durable);
        self.shut();
        // What was sent behind the close is dropped, and its tickets say so.
        while intake.receiver.try_recv().is_ok() {}
        let end = self.watermarks.published();
        let closed = self.latch.check().map_err(AppendError::Poisoned);
        let answer = closed.map(|()| Committed::nothing(end, self.environment.now()));
        closer.answer(answer);
        false
    }

    /// Waits for the next thing to do.
    fn wait(&self, intake: &mut Intake) -> Due {
        loop {
            if let Ok(message) = intake.receiver.try_recv() {
                return Due::Message(message);
            }
            // First say that one wants to be told, then look: what comes in between is told.
            self.watching.store(watch::NOTHING, Ordering::SeqCst);
            let before = self.watermarks.written_frames();
            // The group in front may still be on its way to the disk, and leave something to mark
            // when it is there. Asked in this order: once it is let go, its sync has been noted.
            let publishing = self.publisher.is_locked();
            let to_be_marked = publishing || self.committer.lock().has_unmarked_sync();
            let until_sync =
                self.sync_due(intake).map(|due| due.saturating_duration_since(Instant::now()));
            let until_mark = to_be_marked.then_some(self.limits.idle_mark_after);
            let Some(timeout) = until_sync.into_iter().chain(until_mark).min() else {
                match intake.receiver.recv() {
                    Ok(message) => return Due::Message(message),
                    // The pipeline itself holds a sender.
                    Err(_) => unreachable!("the queue has a sender as long as it has a receiver"),
                }
            };
            // A wait for the mark may be far longer than the interval.
            let watched = if until_sync.is_some() { watch::INTERVAL } else { watch::MARK };
            self.watching.store(watched, Ordering::SeqCst);
            match intake.receiver.recv_timeout(timeout) {
                Ok(message) => return Due::Message(message),
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the queue has a sender as long as it has a receiver")
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if intake.sync_due.is_some_and(|due| due <= Instant::now()) {
                intake.sync_due = None;
                if self.watermarks.is_behind() {
                    return Due::Sync;
                }
            }
            let quiet = self.watermarks.written_frames() == before;
            let waited = timeout >= self.limits.idle_mark_after;
            if quiet && waited && self.committer.lock().has_unmarked_sync() {
                return Due::Mark;
            }
        }
    }

    /// When buffered batches are to be synced; `None`: none wait for the interval.
    fn sync_due(&self, intake: &mut Intake) -> Option<Instant> {
        let is_behind = self.watermarks.is_behind();
        let interval = self.limits.sync_interval.filter(|_| is_behind);
        intake.sync_due = match (interval, intake.sync_due) {
            (None, _) => None,
            (Some(_), Some(due)) => Some(due),
            (Some(interval), None) => Instant::now().checked_add(interval),
        };
        intake.sync_due
    }

    /// Stores what waits in the queue, as long as the group has room. Gives the closer, if met.
    fn drain(
        &self,
        intake: &Intake,
        committer: &mut Committer,
        group: &mut Group,
    ) -> Option<Responder> {
        let now = self.environment.now();
        while group.waiting.len() < self.limits.group_batches_max
            && group.stored_bytes < self.limits.group_bytes_max
        {
            let Ok(message) = intake.receiver.try_recv() else { return None };
            if let Some(closer) = take_in(message, now, committer, group) {
                return Some(closer);
            }
        }
        None
    }

    fn commit_alone(
        &self,
        batch: PreparedBatch,
        mut committer: MutexGuard<'_, Committer>,
        mut publisher: MutexGuard<'_, Publisher>,
    ) -> Answer {
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        let committing = ShutUnlessDone::new(&self.latch);
        let mut group = Group::default();
        let staged = committer.append(batch, self.environment.now(), &mut group);
        group.end = committer.reach();
        drop(committer);
        let answer = publisher.publish_one(group, staged);
        committing.done();
        drop(publisher);
        self.notifier.notify();
        answer
    }

    fn run_alone(&self, group: Group, committed: Committed, publisher: &mut Publisher) -> Answer {
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        publisher.publish_one(group, Staged { answer: Ok(committed), stored: false })
    }

    /// Lets nothing in any more and stores the close frame, which says that all is durable.
    fn shut(&self) {
        let mut committer = self.committer.lock();
        let mut publisher = self.publisher.lock();
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let end = committer.reach();
        if self.watermarks.is_behind() {
            // Something was committed in place behind the group that brought the close. A failure
            // shuts the latch, and then no close frame is stored.
            let late = Group { end, needs_sync: true, ..Group::default() };
            let (nobody, _) = publisher.publish(late);
            debug_assert!(nobody.is_empty(), "a sync for the close answers nobody");
        }
        let mut group = Group::default();
        committer.close(&mut group);
        group.end = committer.reach();
        let (nobody, _) = publisher.publish(group);
        debug_assert!(nobody.is_empty(), "a close frame answers nobody");
    }

    fn send(&self, message: Message) {
        // The receiver lives as long as the pipeline does; after the end messages are dropped with
        // it, or by whoever finds the log closed, and their responders say so.
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        let sent = self.sender.send(message);
        debug_assert!(sent.is_ok(), "the pipeline holds the receiver");
        self.empty_if_closed();
    }

    /// Closed meanwhile, nobody takes in what was sent: whoever sent it empties the queue, for itself
    /// and for those who wait for a place in it.
    fn empty_if_closed(&self) {
        if self.closed.load(Ordering::SeqCst) {
            while self.intake.lock().receiver.try_recv().is_ok() {}
        }
    }
}

/// Does what a message asks for. Gives the closer, if that is what it was.
fn take_in(
    message: Message,
    now: CommitTime,
    committer: &mut Committer,
    group: &mut Group,
) -> Option<Responder> {
    match message {
        Message::Append(mut responder) => {
            group.batches += 1;
            if let Some(batch) = responder.take_batch() {
                responder.stage(committer.append(batch, now, group));
            }
            group.waiting.push(responder);
        }
        Message::Sync(mut responder) => {
            group.needs_sync = true;
            let answer = Ok(Committed::nothing(committer.active.chain().position, now));
            responder.stage(Staged { answer, stored: false });
            group.waiting.push(responder);
        }
        Message::Nudge => {}
        Message::Close(responder) => return Some(responder),
    }
    None
}

/// Shuts the latch unless it is told that all went well: whoever panics while deciding or publishing
/// leaves a state that may be half changed. Made behind the lock of that state, so that on the way
/// out of a panic the latch is shut before the lock is free.
struct ShutUnlessDone<'a>(Option<&'a Latch>);

impl<'a> ShutUnlessDone<'a> {
    fn new(latch: &'a Latch) -> Self {
        Self(Some(latch))
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for ShutUnlessDone<'_> {
    fn drop(&mut self) {
        if let Some(latch) = self.0 {
            let error = std::io::Error::other("the writer panicked");
            latch.trip(IoError::new("append to", "the log", error));
        }
    }
}
