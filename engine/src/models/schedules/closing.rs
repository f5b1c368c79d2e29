//! Closing beside appends: everybody is answered, and what was acknowledged is there.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use super::world::{World, join, options};
use super::{draw, explore};
use crate::sync::time::Pace;
use crate::{AppendError, Batch, Durability, Event, Log, OpenError, Options};

/// Two callers append in ways that are drawn while one or two others close.
fn callers_and_closers(options: Options) {
    let world = World::open(options);
    let callers = ["a", "b"].map(|name| {
        world.spawn_caller(name, |caller| {
            for _ in 0..3 {
                caller.append_somehow();
            }
            caller.wait();
            let late = caller.append(Durability::Buffered);
            assert!(matches!(late, Ok(_) | Err(AppendError::Closed)), "{late:?}");
        })
    });
    let close = |world: &World| {
        let end = world.log.end();
        world.log.clone().close().unwrap();
        world.witness.durable_below(end);
        assert!(matches!(world.log.sync(), Err(AppendError::Closed)), "closed, it stays closed");
    };
    let closers: Vec<_> = (0..draw(1..3)).map(|_| world.spawn("closer", close)).collect();
    join(callers);
    join(closers);
    world.end();
}

#[test]
fn a_close_beside_appends_answers_everyone_and_keeps_what_was_acknowledged() {
    explore(Pace::Jumping, || callers_and_closers(options()));
}

#[test]
fn a_close_beside_callers_that_wait_for_a_place_in_the_queue_leaves_nobody_waiting() {
    explore(Pace::Jumping, || {
        callers_and_closers(options().queue_batches_max(1).group_batches_max(1));
    });
}

#[test]
fn a_waker_may_drop_the_last_handle_on_the_writers_own_thread() {
    /// Holds a handle until it is woken.
    struct Holder(Mutex<Option<Log>>);

    impl Wake for Holder {
        fn wake(self: Arc<Self>) {
            let log = self.0.lock().unwrap().take();
            drop(log);
        }
    }

    explore(Pace::Jumping, || {
        let World { disk, log, .. } = World::open(options());
        let holder = Arc::new(Holder(Mutex::new(Some(log.clone()))));
        let waker = Waker::from(Arc::clone(&holder));
        let mut ticket = pin!(log.submit(Batch::new().event("s", Event::new("T", ""))).unwrap());
        let waiting = ticket.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
        drop(log);
        if !waiting {
            holder.0.lock().unwrap().take();
        }
        // The directory's lock is free when the log has been closed, on whichever thread.
        let reopened = loop {
            match Log::open_simulated(&disk, options()) {
                Ok(log) => break log,
                Err(OpenError::InUse { .. }) => shuttle::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        assert!(reopened.recovery_report().clean_close);
        assert_eq!(reopened.end().as_u64(), 1);
    });
}
