//! Rolling over to segments that are prepared in the background, with room and without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::world::{World, join, options};
use super::{draw, explore};
use crate::sim::{Errno, FaultPlan, Operation};
use crate::sync::time::Pace;
use crate::{AppendError, Durability};

#[test]
fn a_roll_over_takes_segments_as_they_get_ready_and_loses_nothing() {
    explore(Pace::Jumping, || {
        let world = World::open(options().segments_ahead(draw(1..3)));
        let callers = ["a", "b"].map(|name| {
            world.spawn_caller(name, |caller| {
                for _ in 0..3 {
                    caller.append_large().unwrap();
                }
            })
        });
        let reader = world.spawn_reader(2);
        join(callers);
        join([reader]);
        world.end();
    });
}

#[test]
fn no_file_is_forgotten_of_the_many_that_wait_for_a_sync() {
    const AHEAD: usize = 12;
    explore(Pace::Jumping, || {
        let world = World::open(options().segments_ahead(AHEAD));
        // Only with so many ready can the writer get so far ahead of the background.
        while world.disk.files().len() <= AHEAD {
            shuttle::thread::yield_now();
        }
        let caller = world.spawn_caller("a", |caller| {
            for _ in 0..2 * AHEAD {
                caller.append_filled(Durability::Buffered, &"x".repeat(1_700)).unwrap();
            }
        });
        join([caller]);
        world.sync().unwrap();
        world.end();
    });
}

#[test]
fn a_full_disk_is_told_and_the_same_handle_appends_again_once_there_is_room() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        world.disk.set_capacity(Some(world.disk.used()));
        let has_room = Arc::new(AtomicBool::new(false));
        let callers = ["a", "b"].map(|name| {
            let has_room = Arc::clone(&has_room);
            world.spawn_caller(name, move |caller| {
                let (mut left, mut late) = (3, 0);
                while left > 0 {
                    let had_room = has_room.load(Ordering::SeqCst);
                    match caller.append_large() {
                        Ok(_) => left -= 1,
                        Err(AppendError::Full(_)) => {
                            // An attempt that was under way may have failed before the room came.
                            late += usize::from(had_room);
                            assert!(late <= 1, "there was room for another segment");
                            shuttle::thread::yield_now();
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        let making_room = world.spawn("making room", move |world| {
            world.disk.set_capacity(None);
            has_room.store(true, Ordering::SeqCst);
        });
        join(callers);
        join([making_room]);
        world.end();
    });
}

#[test]
fn a_segment_that_cannot_be_prepared_latches_nothing() {
    const STEPS: [Operation; 5] = [
        Operation::Create,
        Operation::Prepare,
        Operation::Rename,
        Operation::SyncDirectory,
        Operation::Map,
    ];
    explore(Pace::Jumping, || {
        let world = World::open(options());
        world.disk.fail(FaultPlan::new(STEPS[draw(0..STEPS.len())], Errno::TooManyFiles));
        let callers = ["a", "b"].map(|name| {
            world.spawn_caller(name, |caller| {
                let mut left = 3;
                while left > 0 {
                    match caller.append_large() {
                        Ok(_) => left -= 1,
                        Err(AppendError::NoSegment(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        join(callers);
        world.end();
    });
}
