//! Callers side by side: each is answered once and truly, in its own order.

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{RandomScheduler, UncontrolledNondeterminismCheckScheduler};

use super::world::{World, join, options};
use super::{explore, run};
use crate::sim::Survivors;
use crate::sync::time::{self, Pace};
use crate::{Batch, Durability, Event, EventId, ExpectedVersion, Log, Options, Position, Query};

/// Two callers append in ways that are drawn, another thread reads.
fn callers_and_a_reader(options: Options) {
    let world = World::open(options);
    let callers = ["a", "b"].map(|name| {
        world.spawn_caller(name, |caller| {
            for _ in 0..3 {
                caller.append_somehow();
            }
            caller.wait();
        })
    });
    let reader = world.spawn_reader(2);
    join(callers);
    join([reader]);
    world.end();
}

#[test]
fn callers_of_every_kind_are_answered_truly_and_each_ones_order_is_kept() {
    explore(Pace::Jumping, || callers_and_a_reader(options()));
}

/// Without it no failure could be looked at again.
#[test]
fn the_same_schedule_gives_the_same_run() {
    let drawn = RandomScheduler::new_from_seed(1, 20);
    let twice = UncontrolledNondeterminismCheckScheduler::new(drawn);
    run(
        twice,
        &Arc::new(|| {
            time::restart(Pace::Jumping);
            callers_and_a_reader(options());
        }),
    );
}

#[test]
fn a_queue_and_a_group_of_one_stand_still_for_nobody() {
    explore(Pace::Jumping, || {
        callers_and_a_reader(options().queue_batches_max(1).group_batches_max(1));
    });
}

#[test]
fn a_log_that_syncs_by_itself_is_as_truthful() {
    explore(Pace::Jumping, || {
        callers_and_a_reader(options().sync_interval(Duration::from_millis(5)));
    });
}

#[test]
fn of_callers_with_the_same_expectation_one_wins() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        let callers =
            [Durability::Sync, Durability::Buffered, Durability::Sync].map(|durability| {
                world.spawn("caller", move |world| {
                    let event = Event::new("T", "");
                    let batch =
                        Batch::new().expect("s", ExpectedVersion::NoStream).event("s", event);
                    world.log.append(batch.durability(durability)).is_ok()
                })
            });
        let wins = join(callers);
        assert_eq!(wins.iter().filter(|won| **won).count(), 1, "{wins:?}");
        assert_eq!(world.log.end(), Position::new(1));
        world.log.close().unwrap();
    });
}

#[test]
fn of_callers_with_the_same_query_one_wins() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        let callers =
            [Durability::Sync, Durability::Buffered, Durability::Sync].map(|durability| {
                world.spawn("caller", move |world| {
                    let query = Query::new().tag("one").event_type("T");
                    let batch = Batch::new().expect_none(query, Position::ZERO);
                    let batch = batch.event("s", Event::new("T", "").tag("one"));
                    let answer = world.log.append(batch.durability(durability));
                    let left = world.disk.if_rebooted(&Survivors::None);
                    let is_durable = durability == Durability::Sync;
                    (answer.is_ok(), is_durable.then_some(left))
                })
            });
        let answers = join(callers);
        assert_eq!(answers.iter().filter(|(won, _)| *won).count(), 1);
        for left in answers.iter().filter_map(|(_, left)| left.as_ref()) {
            let log = Log::open_simulated_read_only(left, options()).unwrap();
            assert_eq!(log.end(), Position::new(1), "what won, or was lost to, is durable");
        }
        assert_eq!(world.log.end(), Position::new(1));
        world.log.close().unwrap();
    });
}

#[test]
fn of_callers_that_repeat_one_batch_all_are_told_of_the_one_that_is_there() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        let callers =
            [Durability::Sync, Durability::Buffered, Durability::Sync].map(|durability| {
                world.spawn("caller", move |world| {
                    let event = Event::new("T", "").id(EventId::from_bytes([1; 16]));
                    let batch = Batch::new().idempotent().expect("s", ExpectedVersion::NoStream);
                    let receipt = world.log.append(batch.event("s", event).durability(durability));
                    let left = world.disk.if_rebooted(&Survivors::None);
                    let receipt = receipt.unwrap();
                    assert_eq!(receipt.first_position(), Position::ZERO);
                    (receipt.replayed(), (durability == Durability::Sync).then_some(left))
                })
            });
        let answers = join(callers);
        assert_eq!(answers.iter().filter(|(replayed, _)| !replayed).count(), 1, "one was stored");
        for left in answers.iter().filter_map(|(_, left)| left.as_ref()) {
            let log = Log::open_simulated_read_only(left, options()).unwrap();
            assert_eq!(log.end(), Position::new(1), "what was recognised is durable");
        }
        world.log.close().unwrap();
    });
}

#[test]
fn a_sync_covers_all_that_was_committed_before_it() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        let buffering = world.spawn_caller("a", |caller| {
            for _ in 0..3 {
                let receipt = caller.append(Durability::Buffered).unwrap();
                let end = caller.world.log.end();
                assert!(end > receipt.last_position(), "what is told can be read");
            }
        });
        let syncing = world.spawn("syncing", |world| {
            for _ in 0..2 {
                world.sync().unwrap();
            }
        });
        let mut caller = world.caller("b");
        caller.submit(Durability::Buffered);
        let last = caller.append(Durability::Buffered).unwrap().last_position();
        world.sync().unwrap();
        assert!(world.log.synced_end() > last, "it was committed before the sync");
        caller.wait();
        join([buffering, syncing]);
        world.end();
    });
}

#[test]
fn checks_that_are_answered_together_all_speak_of_what_is_durable() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        world.caller("early").append(Durability::Sync).unwrap();
        world.caller("late").append(Durability::Buffered).unwrap();
        let check = |stream| {
            world.log.submit(Batch::new().expect(stream, ExpectedVersion::StreamExists)).unwrap()
        };
        let (late, early) = (check("late"), check("early"));
        late.wait().unwrap();
        world.witness.durable_below(world.log.end());
        early.wait().unwrap();
        world.end();
    });
}
