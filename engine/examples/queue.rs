//! A queue of jobs that each is done once: `cargo run --example queue`.
//!
//! A job is a stream. Workers follow the log for new jobs, and claim one by appending to its stream
//! under the expectation that nobody has: of several that try, one is told yes. A claim and its result
//! are events like any other, so that a restarted program finds which jobs are still to be done.

use std::error::Error;
use std::thread;

use quipu::{AppendErrorKind, Batch, Event, ExpectedVersion, Log, Position, Query, Version};

type Failure = Box<dyn Error + Send + Sync>;

const JOBS: usize = 40;
const WORKERS: usize = 4;

/// Whether the job is this worker's now.
fn claim(log: &Log, job: &str, worker: &str) -> Result<bool, Failure> {
    let nobody_has = ExpectedVersion::Exact(Version::ZERO); // the job's first event, and nothing else
    let batch = Batch::new().expect(job, nobody_has).event(job, Event::new("Claimed", worker));
    match log.append(batch) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == AppendErrorKind::Precondition => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Works until there are no more jobs. Gives how many it has done.
fn work(log: &Log, worker: &str) -> Result<usize, Failure> {
    let mut done = 0;
    let jobs = Query::new().event_type("Enqueued").event_type("NoMoreJobs"); // either
    for delivery in log.subscribe(Position::ZERO).matching(jobs).start() {
        let Some(event) = delivery?.into_event() else { continue };
        if event.event_type() == "NoMoreJobs" {
            break;
        }
        if claim(log, event.stream(), worker)? {
            let number: u64 = String::from_utf8_lossy(event.payload()).parse()?;
            let result = (number * number).to_string();
            log.append(Batch::new().event(event.stream(), Event::new("Done", result.as_str())))?;
            done += 1;
        }
    }
    Ok(done)
}

fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let log = Log::open(directory.path())?;
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let log = &log;
                scope.spawn(move || work(log, &format!("worker-{number}")))
            })
            .collect();
        for number in 0..JOBS {
            let (job, payload) = (format!("job-{number}"), number.to_string());
            let batch = Batch::new()
                .expect(&job, ExpectedVersion::NoStream)
                .event(&job, Event::new("Enqueued", payload.as_str()));
            log.append(batch)?;
        }
        log.append(Batch::new().event("queue", Event::new("NoMoreJobs", "")))?;
        let ends = workers.into_iter().map(|worker| match worker.join() {
            Ok(done) => done,
            Err(_) => Err("a worker has panicked".into()),
        });
        ends.collect::<Result<Vec<_>, _>>()
    })?;
    println!("{JOBS} jobs, each done once: {done:?} by the workers");
    assert_eq!(done.iter().sum::<usize>(), JOBS);
    assert_eq!(log.read(..).event_type("Done").into_iter().count(), JOBS);
    log.close()?;
    Ok(())
}

#[test]
fn every_job_is_done_once() {
    main().expect("the example runs");
}
