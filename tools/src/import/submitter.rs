//! Many batches under way at once, in order and without a hole.
//!
//! Owns: [`Submitter`]. Calls the engine.
//!
//! A batch that is refused must not be followed by the ones that were submitted behind it: the next
//! run would take it for the first line that is missing, and append those again. So every batch
//! expects that the one before it has been committed: that a stream of that batch has its last event
//! where that batch, if committed, has put it. The import is the log's one writer and knows all
//! positions in advance. Where a batch has an expectation of its own on each of those streams, it is
//! submitted once nothing is under way.

use std::collections::{HashMap, HashSet, VecDeque};

use quipu::{AppendError, Batch, ExpectedVersion, Log, Position, Ticket};

use crate::line::Line;

/// Batches under way at the most: enough for one sync to make many of them durable.
const UNDER_WAY_BATCHES_MAX: usize = 2048;
/// Bytes under way at the most.
const UNDER_WAY_BYTES_MAX: usize = 64 << 20;

/// Submits lines; knows which have been acknowledged.
pub(super) struct Submitter<'a> {
    log: &'a Log,
    under_way: VecDeque<UnderWay>,
    under_way_bytes: usize,
    /// The streams of the batch submitted last, and where its last event on each will be.
    last: HashMap<String, Position>,
    next: Position,
    pub(super) done: Done,
}

/// What has been acknowledged.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) batches: u64,
    pub(super) events: u64,
    pub(super) streams: HashSet<String>,
    pub(super) first: Option<Position>,
    pub(super) last: Option<Position>,
}

/// A line that the log has refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) line: u64,
    pub(super) reason: AppendError,
}

struct UnderWay {
    line: u64,
    bytes: usize,
    ticket: Ticket,
}

impl<'a> Submitter<'a> {
    pub(super) fn new(log: &'a Log) -> Self {
        Self {
            log,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            last: HashMap::new(),
            next: log.end(),
            done: Done::default(),
        }
    }

    /// Submits a line. An error is that of the first line that was refused: this one or one before.
    pub(super) fn submit(&mut self, number: u64, line: &Line<'_>) -> Result<(), Refused> {
        let mut batch = line.add_to(Batch::new());
        let chain = self.last.iter().find(|(stream, _)| !line.is_expected(stream));
        match chain {
            Some((stream, position)) if !self.under_way.is_empty() => {
                batch = batch.expect(stream, ExpectedVersion::LastPosition(*position));
            }
            _ => self.finish()?,
        }
        let bytes = batch.frame_bytes();
        let ticket = match self.log.submit(batch) {
            Ok(ticket) => ticket,
            Err(reason) => {
                self.finish()?;
                return Err(Refused { line: number, reason });
            }
        };
        self.under_way.push_back(UnderWay { line: number, bytes, ticket });
        self.under_way_bytes += bytes;
        self.last.clear();
        for event in &line.events {
            self.last.insert(event.stream.clone().into_owned(), self.next);
            self.next = self.next.plus(1);
        }
        while self.under_way.len() > UNDER_WAY_BATCHES_MAX
            || (self.under_way.len() > 1 && self.under_way_bytes > UNDER_WAY_BYTES_MAX)
        {
            self.wait_for_first()?;
        }
        Ok(())
    }

    /// Waits for all that is under way.
    pub(super) fn finish(&mut self) -> Result<(), Refused> {
        while !self.under_way.is_empty() {
            self.wait_for_first()?;
        }
        Ok(())
    }

    fn wait_for_first(&mut self) -> Result<(), Refused> {
        let Some(UnderWay { line, bytes, ticket }) = self.under_way.pop_front() else {
            return Ok(());
        };
        self.under_way_bytes -= bytes;
        match ticket.wait() {
            Ok(receipt) => {
                self.done.batches += 1;
                self.done.events += u64::from(receipt.event_count());
                self.done.first.get_or_insert(receipt.first_position());
                self.done.last = Some(receipt.last_position());
                for (stream, _) in receipt.versions() {
                    if !self.done.streams.contains(stream) {
                        self.done.streams.insert(stream.to_owned());
                    }
                }
                Ok(())
            }
            Err(reason) => {
                // All behind it expect it to be there, and are refused in turn.
                for behind in self.under_way.drain(..) {
                    let _ = behind.ticket.wait();
                }
                Err(Refused { line, reason })
            }
        }
    }
}
