//! How many calls that bring data to the device an engine makes for a durable append.
//!
//! Owns: [`count`], which runs an engine under strace, and the reading of its trace. May call: child.
//!
//! Counted are the calls between two marks: fsync, fdatasync, msync with MS_SYNC, sync_file_range,
//! and writes to descriptors that were opened with O_SYNC or O_DSYNC. A sync that goes through
//! io_uring is not seen by strace; those are counted as `ring`, whatever they do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::child::Child;
use crate::engine::{Adapter, Failure};
use crate::measure::append::{MARK_END, MARK_START};
use crate::measure::{Order, Task};

/// Calls by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Syncs {
    /// Durable appends between the marks.
    pub appends: u64,
    /// Calls between the marks.
    pub calls: BTreeMap<String, u64>,
}

impl Syncs {
    /// Calls of all kinds for each append.
    #[must_use]
    pub fn per_append(&self) -> f64 {
        self.calls.values().sum::<u64>() as f64 / self.appends.max(1) as f64
    }

    /// For the table: `1.00 fdatasync`.
    #[must_use]
    pub fn describe(&self) -> String {
        let each = |(name, calls): (&String, &u64)| {
            format!("{:.2} {name}", *calls as f64 / self.appends.max(1) as f64)
        };
        match self.calls.is_empty() {
            true => "none".to_owned(),
            false => self.calls.iter().map(each).collect::<Vec<_>>().join(", "),
        }
    }
}

const CALLS: &str = "trace=fsync,fdatasync,msync,sync_file_range,open,openat,write,pwrite64,writev,\
                     pwritev,pwritev2,io_uring_enter,stat,lstat,statx,newfstatat";

/// Whether there is an strace that may trace.
#[must_use]
pub fn has_strace() -> bool {
    let probe = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    probe.is_ok_and(|output| output.status.success())
}

/// Appends `appends` events, one by one, under strace; all of them with an expectation that is not
/// met if they are to be `refused`.
///
/// # Errors
/// What the engine says; that the marks are not in the trace.
pub fn count(
    program: &Path,
    adapter: &Adapter,
    directory: &Path,
    (appends, refused): (u64, bool),
    limit: Duration,
) -> Result<Syncs, Failure> {
    let trace = tempfile::NamedTempFile::new()?;
    let path = trace.path().to_string_lossy().into_owned();
    let strace = ["-f", "-y", "-s", "64", "-e", "signal=none", "-e", CALLS, "-o", &path];
    let order = Order { directory: directory.to_owned(), task: Task::Syncs { appends, refused } };
    Child::under(("strace", &strace), program, adapter, &order, limit).run()?;
    let text = String::from_utf8_lossy(&std::fs::read(trace.path())?).into_owned();
    let calls = read_trace(&text).ok_or("the marks are not in the trace")?;
    Ok(Syncs { appends, calls })
}

/// Counts the calls between the marks; `None` if one of them is missing.
fn read_trace(trace: &str) -> Option<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    let mut synced_descriptors = BTreeSet::new();
    let (mut started, mut ended) = (false, false);
    for line in trace.lines() {
        // `1234 fdatasync(5</a/file>) = 0`; of a call in two parts only the first names it.
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if arguments.contains(MARK_START) {
            started = true;
        } else if arguments.contains(MARK_END) {
            ended = true;
        }
        if name.starts_with("open")
            && let Some((_, opened)) = arguments.rsplit_once("= ")
        {
            // `= 5</a/file>`: a number may have been another file's before.
            let descriptor = number_of(opened);
            match arguments.contains("SYNC") {
                true => synced_descriptors.insert(descriptor),
                false => synced_descriptors.remove(descriptor),
            };
        }
        let kind = match name {
            "fsync" | "fdatasync" | "sync_file_range" => name,
            "msync" if arguments.contains("MS_SYNC") => name,
            "io_uring_enter" => "ring",
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => {
                match synced_descriptors.contains(number_of(arguments)) {
                    true => "O_SYNC write",
                    false => continue,
                }
            }
            _ => continue,
        };
        if started && !ended {
            *calls.entry(kind.to_owned()).or_insert(0) += 1;
        }
    }
    (started && ended).then_some(calls)
}

/// `5` of `5</a/file>, ...`.
fn number_of(descriptor: &str) -> &str {
    descriptor.split_once('<').map_or(descriptor, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::{MARK_END, MARK_START, read_trace};

    #[test]
    fn only_calls_between_the_marks_count_and_writes_only_where_they_sync() {
        let trace = format!(
            "10 openat(AT_FDCWD, \"/d/meta\", O_WRONLY|O_DSYNC) = 4</d/meta>\n\
             10 openat(AT_FDCWD, \"/d/meta\", O_RDWR) = 5</d/meta>\n\
             10 fsync(5</d/meta>) = 0\n\
             10 statx(AT_FDCWD</d>, \"{MARK_START}\", 0, STATX_ALL, 0x1) = -1 ENOENT\n\
             10 pwrite64(5</d/meta>, \"x\", 1, 0) = 1\n\
             11 fdatasync(5</d/meta> <unfinished ...>\n\
             10 msync(0x1, 4096, MS_ASYNC) = 0\n\
             10 msync(0x1, 4096, MS_SYNC) = 0\n\
             11 <... fdatasync resumed>) = 0\n\
             10 pwrite64(4</d/meta>, \"x\", 1, 0) = 1\n\
             10 statx(AT_FDCWD</d>, \"{MARK_END}\", 0, STATX_ALL, 0x1) = -1 ENOENT\n\
             10 fsync(5</d/meta>) = 0\n"
        );
        let calls: Vec<_> = read_trace(&trace).unwrap().into_iter().collect();
        let expected = [("O_SYNC write", 1), ("fdatasync", 1), ("msync", 1)];
        assert_eq!(calls, expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn a_trace_without_marks_says_nothing() {
        assert_eq!(read_trace("10 fsync(5</d/meta>) = 0\n"), None);
    }
}
