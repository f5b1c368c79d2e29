//! The writer's threads: a few lines around [`Pipeline::turn`].
//!
//! Owns: [`WriterThreads`]. Two of them take turns, so that one stores the next group while the
//! other waits for the disk.

use std::io;
use std::sync::Arc;

use super::pipeline::Pipeline;
use crate::sync::thread::{self, JoinHandle};

/// The running writer.
#[derive(Debug)]
pub(crate) struct WriterThreads {
    threads: Vec<JoinHandle<()>>,
}

/// One stores, one waits for the disk.
const THREADS: usize = 2;

impl WriterThreads {
    /// Starts the threads. If one does not start, those that did are ended again.
    pub(crate) fn start(pipeline: &Arc<Pipeline>) -> io::Result<Self> {
        let mut writer = Self { threads: Vec::with_capacity(THREADS) };
        for _ in 0..THREADS {
            let spawned = thread::Builder::new().name("quipu-writer".to_owned()).spawn({
                let pipeline = Arc::clone(pipeline);
                move || while pipeline.turn() {}
            });
            match spawned {
                Ok(thread) => writer.threads.push(thread),
                Err(error) => {
                    if !writer.threads.is_empty() {
                        // Its answer says nothing that the error does not.
                        let _ = pipeline.submit_close().wait();
                    }
                    writer.join();
                    return Err(error);
                }
            }
        }
        Ok(writer)
    }

    /// Waits for the threads, which end when the pipeline has been closed.
    pub(crate) fn join(self) {
        for thread in self.threads {
            // The last handle may be dropped by a waker, on a thread of the writer's own.
            if thread.thread().id() == thread::current().id() {
                continue;
            }
            // A writer that panicked has shut the latch, which every caller is told of.
            let _ = thread.join();
        }
    }
}
