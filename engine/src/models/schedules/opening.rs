//! A log that is opened for reading beside its live writer.

use super::explore;
use super::witness::history;
use super::world::{World, join, options};
use crate::Log;
use crate::sync::time::Pace;

/// What a reader of another process sees is a prefix, all of it durable.
#[test]
fn a_reader_that_opens_the_log_beside_its_writer_finds_no_damage_and_only_what_is_durable() {
    explore(Pace::Jumping, || {
        let world = World::open(options());
        let callers = ["a", "b"].map(|name| {
            world.spawn_caller(name, |caller| {
                for _ in 0..2 {
                    caller.append_somehow();
                }
                caller.wait();
            })
        });
        let opening = world.spawn("opening", |world| {
            let log = Log::open_simulated_read_only(&world.disk, options()).unwrap();
            assert_eq!(log.recovery_report().damage, None);
            world.witness.durable_below(log.end());
            history(&log)
        });
        join(callers);
        let seen = join([opening]).remove(0);
        let last = history(&world.log);
        assert!(last.starts_with(&seen), "{seen:?} was seen, {last:?} is there");
        world.end();
    });
}
