//! Appends and subscriptions from tokio, without blocking it: `cargo run --example async_tokio`.
//!
//! A ticket is a future, and a subscription a stream: neither needs a runtime of its own or a thread
//! of tokio's. `submit` returns at once unless the queue is full, so the tasks share as many permits
//! as the queue has places. What does block, opening and closing, is done on a thread for that.

use std::error::Error;
use std::sync::Arc;

use futures_util::TryStreamExt;
use quipu::{Batch, Event, Log, Position};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

type Failure = Box<dyn Error + Send + Sync>;

const TASKS: usize = 50;
const EVENTS_EACH: usize = 20;
/// So many batches may wait for the writer.
const QUEUE: usize = 64;

/// Appends and waits until the batch is durable, without blocking a thread.
async fn append(log: &Log, permits: &Semaphore, batch: Batch) -> Result<Position, Failure> {
    let _permit = permits.acquire().await?; // there is a place in the queue then
    Ok(log.submit(batch)?.await?.first_position())
}

async fn run() -> Result<usize, Failure> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().to_owned();
    let options = Log::options().queue_batches_max(QUEUE);
    let log = spawn_blocking(move || options.open(path)).await??;

    let mut subscription = log.subscribe(Position::ZERO).start();
    let listener = tokio::spawn(async move {
        let mut seen = 0;
        while let Some(delivery) = subscription.try_next().await? {
            seen += usize::from(delivery.event().is_some());
            if seen == TASKS * EVENTS_EACH {
                break;
            }
        }
        Ok::<_, Failure>(seen)
    });

    let permits = Arc::new(Semaphore::new(QUEUE));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (log, permits) = (log.clone(), Arc::clone(&permits));
        tasks.spawn(async move {
            for _ in 0..EVENTS_EACH {
                let batch = Batch::new().event(format!("task-{task}"), Event::new("Worked", ""));
                append(&log, &permits, batch).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let seen = listener.await??;
    spawn_blocking(move || log.close()).await??;
    Ok(seen)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let seen = run().await?;
    println!("{TASKS} tasks have appended, and the listener has seen {seen} events");
    Ok(())
}

#[tokio::test]
async fn what_all_tasks_append_is_heard_of() {
    assert_eq!(run().await.expect("the example runs"), TASKS * EVENTS_EACH);
}
