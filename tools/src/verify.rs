//! `quipu verify`: checks a log by the format alone.
//!
//! Shares no code with the engine, so that it checks the engine and does not repeat its mistakes. Reads
//! with positioned reads, one piece at a time, and never changes anything. It may run beside a live
//! writer.
//!
//! The walk goes from segment 0, or where the front of the log was dropped, from the first segment that
//! its base names and with the streams and checkpoints that are there, frame by frame: every header, every checksum, every link from frame
//! to frame and from seal to segment header, every rule of a body, positions without a gap, commit
//! times and synced positions that do not run backwards, every stream's versions dense from 0, named
//! checkpoints that rise. A seal
//! that is missing, but named by the next header, counts as written. X is the first place where no
//! frame stands that follows, and P the position there.
//!
//! | at X | at or behind X | verdict |
//! |---|---|---|
//! | anything | a frame header or segment header that verifies, with a synced position above P | damage |
//! | anything | behind X, a frame header that verifies and is settled | damage |
//! | a frame or header whose checksums are right and that breaks a rule, of its own or of its streams' versions or checkpoints | anything | damage |
//! | a file of another length than its header says, or of none that a segment has | anything | damage |
//! | no file | an activated segment; for segment 0, any other | damage |
//! | no file, and a seal in front | anything | damage |
//! | the start of the segment that the base names | anything | damage |
//! | no copy of the newest base is right | anything | damage, in that file |
//! | anything | a magic that is neither right nor half written, at X too | damage, in that file |
//! | no header that tells the log's id, anywhere | frames | damage |
//! | nothing written | nothing written | clean end |
//! | anything else | anything else | torn tail: legal |
//!
//! What had been synced alone tells damage from a torn tail, unless a crash cannot have done it at all:
//! all below it was durable when it was written. That a segment is sealed or followed by an activated
//! one proves nothing of the contents in front, nor does a whole frame at X that does not follow: it may
//! be stale. The mark that a recovery stores where it zeroes a tail is a torn tail like any other.
//!
//! Beside a live writer, X may be written after it was read and before what is behind it was. So
//! whatever is found behind X, X is read once more before it is judged: had it been durable when its
//! witness was written, it verifies now.
//!
//! An index of a segment, and the table of the streams, are looked at too: every byte, and whether they are
//! of that segment as it is sealed. Nothing in the log hangs on them: what is wrong there is no damage.
//!
//! What stands behind a seal is no part of the log and is not looked at.
//!
//! Segments are verified several at once, each by itself, and joined in order; what does not join is
//! walked again from frame to frame, so that the verdict is always that of the walk.

mod ahead;
mod behind;
pub(crate) mod decide;
mod derived;
pub(crate) mod directory;
mod frames;
mod report;
mod streams;
#[cfg(test)]
pub(crate) mod testlog;
#[cfg(test)]
mod tests;
mod walk;
pub(crate) mod window;

use std::io::{self, Write};
use std::path::Path;

use indicatif::ProgressBar;

pub use derived::WrongFile;
pub use directory::VerifyError;
pub use report::{Report, Tail};

use crate::directory::LogDirectory;
use crate::outcome::Outcome;
use crate::progress;
use ahead::Ahead;
use behind::look_behind;
use decide::{Behind, Decision, Fault, Proof, decide};
use directory::{Directory, Front, HeaderState, wrong_magic};
use quipu_format::layout;
use quipu_format::sidecar::{LogBase, SidecarError};
use walk::Walk;

/// How often the end of a log is looked at again because a writer has moved it meanwhile.
const GROWING_LOOKS_MAX: u32 = 4;

/// Which log is verified, and how that is shown.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    #[command(flatten)]
    log: LogDirectory,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
}

/// Verifies a log and prints what was found.
///
/// # Errors
/// What keeps the log from being judged.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let report = watched(request.log.path())?;
    let mut out = io::stdout().lock();
    if request.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.ok { Outcome::Fine } else { Outcome::Wrong })
}

/// Verifies the log in `directory`.
///
/// # Errors
/// What keeps it from being judged as a log: other files, a newer release, a device that does not
/// give the bytes back. Damage is no error, but part of the report.
pub fn verify(directory: &Path) -> Result<Report, VerifyError> {
    judge(directory, &ProgressBar::hidden(), is_worth_threads(directory))
}

/// As [`verify`], with a bar for those who watch.
pub(crate) fn watched(directory: &Path) -> Result<Report, VerifyError> {
    let bar = progress::bytes("verifying", Some(directory::bytes(directory)));
    let report = judge(directory, &bar, is_worth_threads(directory));
    bar.finish_and_clear();
    report
}

/// Whether there is more to read than it takes to start threads for it.
fn is_worth_threads(directory: &Path) -> bool {
    directory::bytes(directory) >= THREADS_FROM_BYTES
}

const THREADS_FROM_BYTES: u64 = 1 << 20;

/// Verifies, and tells the bar how far it is; `ahead` or from frame to frame alone.
fn judge(directory: &Path, bar: &ProgressBar, ahead: bool) -> Result<Report, VerifyError> {
    let directory = Directory::new(directory);
    let begins = || -> Result<_, VerifyError> {
        Ok(match directory.front()? {
            Front::Based(base) => Some(base.first),
            Front::Whole | Front::Lost { .. } => None,
        })
    };
    let mut looks = 0;
    loop {
        let before = begins()?;
        let report = look(&directory, bar, ahead)?;
        looks += 1;
        // A writer may have dropped what was to be read next.
        if report.ok || looks == GROWING_LOOKS_MAX || begins()? == before {
            return Ok(report);
        }
    }
}

fn look(directory: &Directory, bar: &ProgressBar, ahead: bool) -> Result<Report, VerifyError> {
    directory.check_finished()?;
    let (mut segments, unfinished) = directory.list()?;
    let base = match directory.front()? {
        Front::Whole if segments.is_empty() => return Err(VerifyError::NoLog(directory.display())),
        Front::Whole => None,
        Front::Based(base) => Some(base),
        Front::Lost { file, error, .. } => return Ok(without_base(directory, file, error)),
    };
    let leftovers = segments.len();
    segments.retain(|sequence| base.as_ref().is_none_or(|base| base.first <= *sequence));
    let leftovers = leftovers - segments.len();
    // Every file must belong here before anything is judged, and the first header that verifies
    // gives the log's id, even if segment 0 has lost its own.
    let view = base.as_ref().and_then(|base| LogBase::decode(&base.bytes).ok());
    let (mut log_id, mut wrong, mut others) = (view.map(|base| base.log_id()), None, 0);
    for sequence in &segments {
        let Some(found) = directory.open(*sequence, log_id)? else { continue };
        if let HeaderState::Activated(header) = found.header {
            log_id.get_or_insert(header.log_id);
        }
        match wrong_magic(&found.header) {
            Some(cause) => drop(wrong.get_or_insert((found.name, cause))),
            None => others += 1,
        }
    }
    if let Some((file, cause)) = wrong.filter(|_| others == 0) {
        return Err(VerifyError::NotASegment { file, cause });
    }
    std::thread::scope(|scope| {
        let ahead = ahead.then(|| Ahead::start(scope, directory, &segments, log_id, bar));
        let mut walk = Walk::new(directory, log_id, ahead, bar);
        if let (Some(base), Some(view)) = (&base, &view) {
            walk.begin(&base.name, view);
        }
        let (tail, unused) = find_tail(directory, &mut walk)?;
        let mut report = report(directory, &walk, tail, unused, unfinished);
        (report.indexes, report.derived_wrong) = walk.derived();
        report.first_available = view.map_or(0, |base| base.chain().position.as_u64());
        report.base_copies_wrong =
            base.as_ref().map(|base| base.unsound.clone()).unwrap_or_default();
        report.segments_dropped = leftovers;
        Ok(report)
    })
}

/// What is said of a log of which nobody knows what its streams had come to.
fn without_base(directory: &Directory, file: String, error: SidecarError) -> Report {
    let (fault, proof) =
        (error.to_string(), "it was whole when it got its name, and so was its copy");
    // What is wrong with the header is so from its start on; all else stands behind it.
    let offset = match error {
        SidecarError::Truncated(_)
        | SidecarError::Magic { .. }
        | SidecarError::FormatVersion { .. }
        | SidecarError::Checksum { section: "header", .. } => 0,
        _ => layout::base::BYTES as u64,
    };
    let tail = Tail::Damaged { file, offset, position: 0, fault, proof: proof.to_owned() };
    let bar = ProgressBar::hidden();
    report(directory, &Walk::new(directory, None, None, &bar), tail, 0, 0)
}

/// Follows the log to its end; how it ends, and how many prepared segments are behind.
fn find_tail(directory: &Directory, walk: &mut Walk<'_>) -> Result<(Tail, u64), VerifyError> {
    let mut fault = walk.run()?;
    let mut unused = 0;
    for _ in 0..GROWING_LOOKS_MAX {
        let place = walk.place();
        let behind: Behind = look_behind(directory, walk)?;
        unused = behind.unused;
        let decision = decide(&fault, walk.position(), &behind);
        if decision == Decision::Clean {
            return Ok((Tail::Clean, unused));
        }
        fault = walk.run()?;
        let decision = decide(&fault, walk.position(), &behind);
        // What no writer leaves is there wherever the log has got to.
        let is_wrong = matches!(decision, Decision::Damage(Proof::WrongMagic { .. }));
        if walk.place() != place && !is_wrong {
            continue;
        }
        let (file, offset) = (walk.file(), place.1.as_u64());
        let position = walk.position().as_u64();
        let tail = match decision {
            Decision::Clean => Tail::Clean,
            Decision::Torn => {
                Tail::Torn { file, offset, bytes: behind.bytes, fault: fault.to_string() }
            }
            Decision::Damage(Proof::WrongMagic { file, error }) => Tail::Damaged {
                fault: Fault::Header(error).to_string(),
                proof: Proof::WrongMagic { file: file.clone(), error }.to_string(),
                file,
                offset: 0,
                position,
            },
            Decision::Damage(proof) => Tail::Damaged {
                file,
                offset,
                position,
                fault: fault.to_string(),
                proof: proof.to_string(),
            },
        };
        return Ok((tail, unused));
    }
    Ok((Tail::Growing, unused))
}

fn report(
    directory: &Directory,
    walk: &Walk<'_>,
    tail: Tail,
    unused: u64,
    unfinished: usize,
) -> Report {
    let totals = walk.totals();
    Report {
        directory: directory.display(),
        ok: !matches!(tail, Tail::Damaged { .. }),
        tail,
        log_id: walk.log_id().map(|log_id| log_id.to_string()),
        segments: totals.segments,
        segments_unused: unused,
        segments_unfinished: unfinished,
        seals_missing: totals.seals_missing.clone(),
        segments_dropped: 0,
        base_copies_wrong: Vec::new(),
        indexes: 0,
        derived_wrong: Vec::new(),
        first_available: 0,
        batches: totals.batches,
        events: walk.position().as_u64(),
        checkpoints: walk.checkpoints(),
        streams: walk.stream_count(),
        bytes: totals.bytes,
        first_commit_nanos: totals.first_commit.map(u64::from),
        last_commit_nanos: totals.last_commit.map(u64::from),
        synced_position: walk.synced_position().as_u64(),
        last_close_position: totals.last_close.map(|(position, _)| position.as_u64()),
        closed: totals.last_close.is_some_and(|(_, is_last)| is_last),
    }
}
