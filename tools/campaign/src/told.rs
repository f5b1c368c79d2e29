//! What a log tells of itself: how far it is durable, whether it is shut, whether it was closed.
//!
//! Owns: [`Told`]. May call: the engine on the simulated disk. The model knows which batches must be
//! there; this knows what the log must say about them, over all the lives of a script.

use quipu::sim::{SimDisk, Survivors};
use quipu::{AppendError, Durability, Log, Options, Position, ReadError, Receipt, TruncateError};

use crate::model::Submission;
use crate::violation::Violation;

/// What has been told so far.
#[derive(Debug, Default)]
pub struct Told {
    /// Calls on the disk may fail in this life.
    may_fail: bool,
    /// They may have, in this life or one before.
    may_have_failed: bool,
    /// A write or sync has failed in this life: nothing is taken any more.
    is_shut: bool,
    /// A batch that is durable says that so much was, before it.
    proved: Position,
    /// The log was closed; whether a power cut leaves it so.
    closed: Option<bool>,
}

impl Told {
    /// A life begins.
    pub fn begin(&mut self, may_fail: bool) {
        (self.may_fail, self.is_shut) = (may_fail, false);
        self.may_have_failed |= may_fail;
    }

    /// The log was opened.
    ///
    /// # Errors
    /// What it does not say.
    pub fn opened(&mut self, log: &Log) -> Result<(), Violation> {
        let (report, end) = (log.recovery_report(), log.end());
        check(log.synced_end() == end, || {
            format!("opened, and durable up to {} of {end}", log.synced_end())
        })?;
        check(report.proved_durable >= self.proved, || {
            format!("a batch proves {} durable, {} was", report.proved_durable, self.proved)
        })?;
        let Some(closed) = self.closed.take() else { return Ok(()) };
        check(closed == report.clean_close, || {
            format!("closed: {}; after a power cut: {closed}", report.clean_close)
        })
    }

    /// A batch was answered; `before` it, so much was durable.
    ///
    /// # Errors
    /// What cannot be so.
    pub fn answered(
        &mut self,
        log: &Log,
        before: Position,
        submission: &Submission,
        answer: &Result<Receipt, AppendError>,
    ) -> Result<(), Violation> {
        self.judged(log, answer.as_ref().err())?;
        let Ok(receipt) = answer else { return Ok(()) };
        let stores = submission.is_stored() && !receipt.replayed();
        if stores && submission.durability == Durability::Sync {
            self.proved = self.proved.max(before);
            return all_durable(log);
        }
        Ok(())
    }

    /// A group was answered; `before` it, so much was durable.
    ///
    /// # Errors
    /// What cannot be so.
    pub fn answered_together<'a>(
        &mut self,
        log: &Log,
        before: Position,
        answers: impl Iterator<Item = (&'a Submission, &'a Result<Receipt, AppendError>)>,
    ) -> Result<(), Violation> {
        // A failure shuts the log for those in front too, of whom it is not known what came of them.
        let was_shut = self.is_shut;
        let mut is_shut = was_shut;
        for (submission, answer) in answers {
            self.is_shut = was_shut;
            self.answered(log, before, submission, answer)?;
            is_shut |= self.is_shut;
        }
        self.is_shut = is_shut;
        Ok(())
    }

    /// A sync was answered.
    ///
    /// # Errors
    /// What cannot be so.
    pub fn synced(&mut self, log: &Log, error: Option<&AppendError>) -> Result<(), Violation> {
        self.judged(log, error)?;
        error.map_or_else(|| all_durable(log), |_| Ok(()))
    }

    /// A truncation was answered: a failure leaves the log as it was.
    ///
    /// # Errors
    /// What cannot be so.
    pub fn truncated(&mut self, error: Option<&TruncateError>) -> Result<(), Violation> {
        let is_poisoned = matches!(error, Some(TruncateError::Poisoned(_)));
        check(is_poisoned || !self.is_shut, || {
            format!("a call has failed, and a truncation is told: {error:?}")
        })?;
        self.is_shut |= is_poisoned;
        // The disk may have run full by itself.
        let is_full = matches!(error, Some(TruncateError::Io(error)) if error.is_full());
        check(self.may_fail || is_full || error.is_none() || is_poisoned, || {
            format!("no call has failed, and a truncation is told {error:?}")
        })
    }

    /// The log was closed well, and the process ended: a power cut takes nothing from it.
    ///
    /// # Errors
    /// What it takes.
    pub fn closed(&mut self, disk: &SimDisk, options: &Options) -> Result<(), Violation> {
        let cut = disk.if_rebooted(&Survivors::None);
        cut.set_capacity(None);
        let opened = Log::open_simulated(&cut, options.clone());
        let log = opened.map_err(|error| Violation::Refused(error.to_string()))?;
        let report = log.recovery_report();
        let (bytes, seals) = (report.bytes_cut, report.seals_made_again);
        self.closed = Some(report.clean_close);
        let files = cut.files().len() as u64;
        cut.crash();
        // The last seal is synced when all is answered. If that fails, the system shows it until the
        // power goes, in later lives too; then it is made again. So it is with the clearing of a mark
        // that a recovery has left at the start of a file: one byte of it is not zero.
        check((bytes, seals) == (0, 0) || (self.may_have_failed && bytes <= files), || {
            format!("closed, and a power cut leaves {bytes} bytes to cut, {seals} seals to make")
        })
    }

    fn judged(&mut self, log: &Log, error: Option<&AppendError>) -> Result<(), Violation> {
        let is_poisoned = matches!(error, Some(AppendError::Poisoned(_)));
        // What could never be stored is told so without a look at the log.
        let is_misuse =
            matches!(error, Some(AppendError::TooLarge { .. } | AppendError::InvalidBatch(_)));
        // Nor is what is gone asked about.
        let is_gone = matches!(error, Some(AppendError::NotJudged(ReadError::Truncated { .. })));
        check(is_poisoned || is_misuse || is_gone || !self.is_shut, || {
            format!("a call has failed, and the next one is told: {error:?}")
        })?;
        self.is_shut |= is_poisoned || matches!(error, Some(AppendError::OutcomeUnknown(_)));
        check(self.may_fail || !self.is_shut, || {
            format!("no call has failed, and one is told: {error:?}")
        })?;
        let is_not_judged = !is_gone && matches!(error, Some(AppendError::NotJudged(_)));
        check(self.may_fail || !is_not_judged, || {
            format!("nothing keeps a query from being judged, and one is told: {error:?}")
        })?;
        let (synced, end) = (log.synced_end(), log.end());
        check(synced <= end, || format!("durable up to {synced}, and readers see {end}"))
    }
}

fn all_durable(log: &Log) -> Result<(), Violation> {
    let (synced, end) = (log.synced_end(), log.end());
    check(synced == end, || format!("synced, and durable up to {synced} of {end}"))
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::Answer(what())) }
}
