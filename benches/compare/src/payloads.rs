//! Payloads of one length that do not compress, and streams in an order that no cache foresees.
//!
//! Owns: [`Payloads`], [`Streams`], [`Supply`] (events until time is up). Calls nothing. They start from fixed seeds: each run of a
//! workload, on whatever engine, appends the same bytes to the same streams.

use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;

use crate::engine::Event;

/// A pool of random bytes; each payload is a part of it, and the part before comes again only after
/// the whole pool.
#[derive(Debug, Clone)]
pub struct Payloads {
    pool: Arc<[u8]>,
    bytes: usize,
    at: usize,
}

/// Longer than the window of the compressions that engines use, and than any batch.
const POOL_BYTES: usize = 8 << 20;

impl Payloads {
    /// Of this many bytes each.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let mut pool = vec![0; POOL_BYTES.max(bytes)];
        Rng::with_seed(0x7061_796c_6f61_6473).fill(&mut pool);
        Self { pool: pool.into(), bytes, at: 0 }
    }

    /// Another handle that starts elsewhere in the pool.
    #[must_use]
    pub fn of_thread(&self, thread: usize) -> Self {
        let mut payloads = self.clone();
        payloads.at = (thread * (POOL_BYTES / 8) / bytes_of(self.bytes)) * self.bytes;
        payloads
    }

    /// The next one.
    #[must_use]
    pub fn draw(&mut self) -> &[u8] {
        if self.at + self.bytes > self.pool.len() {
            self.at = 0;
        }
        let from = self.at;
        self.at += self.bytes;
        self.pool.get(from..from + self.bytes).unwrap_or_default()
    }

    /// A run of payloads, one behind the other.
    #[must_use]
    pub fn run(&mut self, count: usize) -> Vec<&[u8]> {
        if self.at + count * self.bytes > self.pool.len() {
            self.at = 0;
        }
        let from = self.at;
        let length = (count * self.bytes).min(self.pool.len() - from);
        self.at += length;
        let run = self.pool.get(from..from + length).unwrap_or_default();
        run.chunks_exact(bytes_of(self.bytes)).collect()
    }
}

/// Never zero, so that it can be divided by.
fn bytes_of(bytes: usize) -> usize {
    bytes.max(1)
}

/// Numbers of streams at random, those of one thread apart from those of every other.
#[derive(Debug, Clone)]
pub struct Streams {
    random: Rng,
    thread: u32,
    threads: u32,
    count: u32,
}

impl Streams {
    /// For one of several threads, out of `count` streams in all.
    #[must_use]
    pub fn new(thread: usize, threads: usize, count: u32) -> Self {
        let random = Rng::with_seed(0x7374_7265_616d_7300 + thread as u64);
        let (thread, threads) = (thread as u32, (threads as u32).max(1));
        Self { random, thread, threads, count: (count / threads).max(1) }
    }

    /// The next one.
    #[must_use]
    pub fn draw(&mut self) -> u32 {
        self.random.u32(..self.count) * self.threads + self.thread
    }
}

/// Events on streams at random, until a moment.
#[derive(Debug)]
pub struct Supply {
    payloads: Payloads,
    streams: Streams,
    until: Instant,
    taken: u64,
}

/// Events between two looks at the clock.
const LOOK_EVERY: u64 = 64;

impl Supply {
    /// Until this moment.
    #[must_use]
    pub fn new(payloads: Payloads, streams: Streams, until: Instant) -> Self {
        Self { payloads, streams, until, taken: 0 }
    }

    /// The next event, unless time is up.
    #[must_use]
    pub fn draw(&mut self) -> Option<Event<'_>> {
        if self.taken.is_multiple_of(LOOK_EVERY) && self.is_over() {
            return None;
        }
        self.taken += 1;
        Some(Event { stream: self.streams.draw(), payload: self.payloads.draw() })
    }

    /// Whether time is up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Counts events that were appended without being taken from here.
    pub fn count(&mut self, events: u64) {
        self.taken += events;
    }

    /// How many were taken and counted.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::{Payloads, Streams};

    #[test]
    fn payloads_have_their_length_and_differ_from_one_to_the_next() {
        let mut payloads = Payloads::new(256);
        let first = payloads.draw().to_vec();
        assert_eq!(first.len(), 256);
        assert_ne!(first, payloads.draw());
        assert_eq!(payloads.run(1_000).len(), 1_000);
        assert_eq!(Payloads::new(64 << 10).run(64).len(), 64);
    }

    #[test]
    fn streams_of_two_threads_are_never_the_same() {
        let (mut left, mut right) = (Streams::new(0, 2, 10), Streams::new(1, 2, 10));
        for _ in 0..100 {
            assert_eq!(left.draw() % 2, 0);
            assert_eq!(right.draw() % 2, 1);
        }
    }
}
