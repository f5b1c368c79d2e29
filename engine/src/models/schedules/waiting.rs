//! What the writer does without being asked, by its timeouts.

use std::time::Duration;

use shuttle::thread;

use super::world::{World, join, options};
use super::{coin, draw, explore};
use crate::sim::Survivors;
use crate::sync::Instant;
use crate::sync::time::Pace;
use crate::{Durability, Log};

const INTERVAL: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(3_600);

/// The clock shows what timeouts have waited for: were the writer not told of the batch, it would
/// be the hour before the mark.
#[test]
fn a_buffered_batch_is_durable_within_the_interval_however_far_the_next_mark_is() {
    explore(Pace::Still, || {
        let world = World::open(options().sync_interval(INTERVAL).idle_mark_after(LONG));
        let mut caller = world.caller("a");
        for _ in 0..draw(1..4) {
            if coin() {
                caller.append(Durability::Sync).unwrap();
            }
            caller.append(Durability::Buffered).unwrap();
            let told = Instant::now();
            let end = world.log.end();
            loop {
                let waited = Instant::now().saturating_duration_since(told);
                if world.log.synced_end() >= end {
                    break;
                }
                assert!(waited <= 2 * INTERVAL, "it is not durable after {waited:?}");
                thread::yield_now();
            }
            world.witness.durable_below(end);
        }
        caller.wait();
        world.end();
    });
}

#[test]
fn a_log_that_is_left_alone_notes_how_far_it_is_durable() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        let callers = ["a", "b"].map(|name| {
            world.spawn_caller(name, |caller| caller.append(Durability::Sync).map(drop))
        });
        join(callers).into_iter().for_each(Result::unwrap);
        // Nobody asks for anything any more.
        loop {
            let left = world.disk.if_rebooted(&Survivors::None);
            let left = Log::open_simulated_read_only(&left, options()).unwrap();
            if left.synced_end() == world.log.end() {
                break;
            }
            thread::yield_now();
        }
        world.end();
    });
}
