//! A write or sync that fails: every waiter is told, nobody hangs, and nothing comes after it.

use super::world::{Caller, World, join, options};
use super::{coin, draw, explore};
use crate::sim::{Errno, FaultPlan, Operation, Survivors};
use crate::sync::time::Pace;
use crate::{AppendError, Durability, Options, StoreMode};

/// Two callers append and a third syncs while a call fails.
fn callers_and_a_fault(options: Options, fault: FaultPlan, append: fn(&mut Caller<'_>)) {
    let world = World::open(options);
    world.disk.fail(fault);
    let callers = ["a", "b"].map(|name| {
        world.spawn_caller(name, move |caller| {
            for _ in 0..3 {
                append(caller);
            }
            caller.wait();
        })
    });
    let syncing = world.spawn("syncing", World::sync);
    let reader = world.spawn_reader(2);
    join(callers);
    for synced in join([syncing]) {
        let Err(error) = synced else { continue };
        assert!(matches!(error, AppendError::Poisoned(_)), "{error}");
        let late = world.caller("late").append(Durability::Buffered);
        assert!(matches!(late, Err(AppendError::Poisoned(_))), "after a failure: {late:?}");
    }
    join([reader]);
    world.end();
}

/// A drawn call of a kind fails, once or from then on.
fn draw_fault(operation: Operation, error: Errno) -> FaultPlan {
    let left = if coin() { Survivors::None } else { Survivors::Random };
    let fault = FaultPlan::new(operation, error).nth(draw(1..8) as u64).leaving(left);
    if coin() { fault.from_then_on() } else { fault }
}

#[test]
fn a_failing_sync_answers_every_waiter_and_lets_nothing_in_after_it() {
    explore(Pace::Jumping, || {
        let fault = draw_fault(Operation::Sync, Errno::Io);
        callers_and_a_fault(options(), fault, |caller| caller.append_somehow());
    });
}

#[test]
fn a_failing_store_answers_every_waiter_and_lets_nothing_in_after_it() {
    explore(Pace::Jumping, || {
        let options = options().store_mode(StoreMode::Positioned);
        let fault = draw_fault(Operation::Append, Errno::NoSpace);
        callers_and_a_fault(options, fault, |caller| caller.append_somehow());
    });
}

/// The first segment is soon full. The sync of it that fails is the writer's or the one in the
/// background; what it took for clean is not made durable by the other, which succeeds.
#[test]
fn a_sync_that_fails_in_the_background_makes_nobody_believe_that_a_later_one_helped() {
    explore(Pace::Jumping, || {
        let fault = FaultPlan::new(Operation::Sync, Errno::Io).nth(draw(1..5) as u64);
        let fault = fault.on_files_with("00000.seg").leaving(Survivors::None);
        callers_and_a_fault(options(), fault, |caller| {
            // What becomes of each is for the witness to judge.
            let _ = caller.append_large();
        });
    });
}
