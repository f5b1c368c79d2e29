//! A reader in another process believes no mixture of two claims, and finds what a claim speaks of;
//! whoever waits for one is looked for.

use std::io;
use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use quipu_format::{LogId, Position};

use super::{Cells, check};
use crate::follow::poller::Bell;
use crate::storage::beacon::{self, BeaconPage, Claim, Words};
use crate::subscribe::notifier::Notifier;
use crate::watermark::{Reach, Watermarks};

/// The words of a page that change: the others are always the same.
#[derive(Debug)]
struct Page {
    position: AtomicU64,
    check: AtomicU64,
}

fn claim(position: u64) -> Claim {
    let log_id = LogId::from_bytes([1; 16]);
    Claim { boot: 2, log_id, session: 3, position: Position::new(position) }
}

impl Page {
    fn new() -> Self {
        let [.., position, check] = claim(0).encode();
        Self { position: AtomicU64::new(position), check: AtomicU64::new(check) }
    }

    /// Word by word, as another process sees them: it has nothing to do with the writer but these.
    fn read(&self) -> Words {
        let mut words = claim(0).encode();
        words[7] = self.check.load(Ordering::Relaxed);
        words[6] = self.position.load(Ordering::Relaxed);
        words
    }
}

impl BeaconPage for Page {
    fn store(&self, at: usize, words: &[u64]) -> io::Result<()> {
        assert_eq!((at, words.len()), (6, 2));
        self.position.store(words[0], Ordering::Release);
        self.check.store(words[1], Ordering::Release);
        Ok(())
    }
}

#[test]
fn a_claim_is_whole_and_all_below_it_is_seen_stored() {
    check(|| {
        let (page, stored) = (Arc::new(Page::new()), Cells::new(2));
        let reading = thread::spawn({
            let (page, stored) = (Arc::clone(&page), Arc::clone(&stored));
            move || {
                let Some(seen) = beacon::look(|| Ok(Some(page.read()))).unwrap() else { return };
                let end = seen.position.as_u64();
                assert!(end <= 2, "nobody has claimed {end}");
                stored.assert_filled_below(end, "claimed");
            }
        });
        for end in 1..=2 {
            stored.fill(end - 1, end);
            claim(end).announce(&*page).unwrap();
        }
        reading.join().unwrap();
    });
}

#[test]
fn whoever_waits_for_another_process_is_looked_for() {
    check(|| {
        let marks = Arc::new(Watermarks::new(Position::ZERO, Position::ZERO));
        let (notifier, bell) = (Arc::new(Notifier::default()), Arc::new(Bell::default()));
        let waiting = thread::spawn({
            let (marks, notifier, bell) =
                (Arc::clone(&marks), Arc::clone(&notifier), Arc::clone(&bell));
            move || {
                let is_over = notifier.wait(None, || {
                    let is_over = marks.published() > Position::ZERO;
                    if !is_over {
                        bell.ring();
                    }
                    is_over
                });
                assert!(is_over);
            }
        });
        // The thread that looks: it sleeps until somebody waits, and then finds something.
        assert!(bell.sleep(&notifier, None));
        marks.write(Reach { position: Position::new(1), frames: 1 });
        marks.publish(Position::new(1));
        notifier.notify();
        waiting.join().unwrap();
    });
}
