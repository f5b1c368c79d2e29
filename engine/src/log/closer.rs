//! The end of a log.
//!
//! Owns: [`Closer`], which the handles share and the writer's threads do not. May call: append,
//! subscribe, storage.
//!
//! Invariant: the directory's lock is held until the writer has ended, in whatever way.

use std::sync::Arc;

use crate::append::pipeline::Pipeline;
use crate::append::writer::WriterThreads;
use crate::error::AppendError;
use crate::follow::poller::Poller;
use crate::retention::Retention;
use crate::storage::DirectoryLock;
use crate::subscribe::notifier::Notifier;
use crate::sync::Mutex;

/// Ends the writer.
pub(super) struct Closer {
    pub(super) pipeline: Option<Arc<Pipeline>>,
    pub(super) retention: Option<Arc<Retention>>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) threadless: bool,
    pub(super) running: Mutex<Option<Running>>,
    /// Follows another process's writer.
    pub(super) poller: Mutex<Option<Poller>>,
}

/// What has to be ended, in the order of the fields.
pub(super) struct Running {
    pub(super) threads: Option<WriterThreads>,
    pub(super) lock: Box<dyn DirectoryLock>,
}

impl Closer {
    pub(super) fn close(&self) -> Result<(), AppendError> {
        let answer = self.end();
        // Subscriptions give what was committed, and end.
        self.notifier.close();
        let poller = self.poller.lock().take();
        drop(poller);
        answer
    }

    fn end(&self) -> Result<(), AppendError> {
        let mut running = self.running.lock();
        let (Some(pipeline), Some(Running { threads, lock })) = (&self.pipeline, running.take())
        else {
            // Closed by another handle, or open for reading only: nothing to end.
            return self.pipeline.as_ref().map_or(Ok(()), |pipeline| pipeline.check());
        };
        let answer = match self.threadless {
            true => pipeline.close_in_place(),
            false => pipeline.submit_close().wait_for_answer(),
        };
        if let Some(threads) = threads {
            threads.join();
        }
        // Segments are prepared in the background until here.
        pipeline.release();
        // Whoever opens the log next is not to meet one who drops segments.
        if let Some(retention) = &self.retention {
            retention.close();
        }
        drop(lock);
        answer.map(drop)
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        // Whoever wants to know how it went calls `Log::close`.
        let _ = self.close();
    }
}
