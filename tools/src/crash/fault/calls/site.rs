//! Which calls there are, and what can be done to them.
//!
//! Owns: [`Site`], the calls of one name on one file of a log, and [`Fault`]. Calls nothing.

use std::fmt;
use std::path::Path;

/// The calls of one name on one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Site {
    /// The call's name.
    pub(super) call: &'static str,
    /// What it is about.
    pub(super) target: Target,
}

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Target {
    /// The directory that the log's directory is in.
    Parent,
    /// The log's directory.
    Directory,
    /// A file in it.
    File(String),
}

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It is not carried out and answers EIO.
    Eio,
    /// It is not carried out and answers ENOSPC.
    Enospc,
    /// It is not carried out and answers EINTR.
    Eintr,
    /// It is carried out for about half of the bytes, and says so.
    Short,
    /// The process is killed before it is carried out.
    Kill,
}

impl Fault {
    pub(super) const ALL: [Self; 5] =
        [Self::Eio, Self::Enospc, Self::Eintr, Self::Short, Self::Kill];

    /// Whether it can happen to these calls.
    pub(super) fn befalls(self, site: &Site) -> bool {
        match self {
            Self::Kill => true,
            Self::Short => TRANSFERS.contains(&site.call) || VECTORED.contains(&site.call),
            // A file may have something left to tell when it is closed; a directory never has.
            _ => site.call != "close" || matches!(site.target, Target::File(_)),
        }
    }

    /// Whether a caller must hear of it: stores into a segment that is in use, and syncs of it, are
    /// what acknowledgements rest on.
    pub(super) fn must_be_told(self, site: &Site) -> bool {
        let in_use = matches!(&site.target, Target::File(name) if name.ends_with(".seg"));
        let counts = match self {
            Self::Eio | Self::Enospc => SYNCS.contains(&site.call) || STORES.contains(&site.call),
            // What was interrupted while it stored is stored again; a sync is never tried again.
            Self::Eintr => SYNCS.contains(&site.call),
            Self::Short | Self::Kill => false,
        };
        in_use && counts
    }
}

/// Calls that make stores durable.
const SYNCS: [&str; 4] = ["fdatasync", "fsync", "msync", "sync_file_range"];
/// Calls that store.
const STORES: [&str; 5] = ["write", "pwrite64", "writev", "pwritev", "pwritev2"];

/// Calls whose third argument is how many bytes they are to transfer.
pub(super) const TRANSFERS: [&str; 4] = ["read", "pread64", "write", "pwrite64"];
/// Calls whose second and third argument are buffers, and how many.
pub(super) const VECTORED: [&str; 6] =
    ["readv", "preadv", "preadv2", "writev", "pwritev", "pwritev2"];

impl Target {
    /// What an absolute path is about, if it is one of the log in `log`.
    pub(super) fn of(path: &Path, log: &Path) -> Option<Self> {
        if Some(path) == log.parent() {
            return Some(Self::Parent);
        }
        let name = path.strip_prefix(log).ok()?.to_str()?;
        Some(match name {
            "" => Self::Directory,
            name => Self::File(name.trim_end_matches(DELETED).to_owned()),
        })
    }
}

/// What the kernel puts behind the path of a file that was removed while it is open.
const DELETED: &str = " (deleted)";

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent => f.write_str("the directory above"),
            Self::Directory => f.write_str("the log's directory"),
            Self::File(name) => {
                let (stem, suffix) = name.split_once('.').unwrap_or((name, ""));
                match (stem.parse::<u64>(), suffix) {
                    (Ok(number), "seg") => write!(f, "segment {number}"),
                    (Ok(number), "seg.tmp") => write!(f, "segment {number}, in preparation"),
                    _ => f.write_str(name),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_logs_or_nothing() {
        let log = Path::new("/t/run/log");
        for (path, target) in [
            ("/t/run", "the directory above"),
            ("/t/run/log", "the log's directory"),
            ("/t/run/log/LOCK", "LOCK"),
            ("/t/run/log/00000000000000000012.seg", "segment 12"),
            ("/t/run/log/00000000000000000001.seg.tmp", "segment 1, in preparation"),
            ("/t/run/log/00000000000000000001.seg.tmp (deleted)", "segment 1, in preparation"),
        ] {
            let found = Target::of(Path::new(path), log).map(|target| target.to_string());
            assert_eq!(found.as_deref(), Some(target), "{path}");
        }
        for path in ["/t", "/t/run/log.stderr", "/t/running", "log", "pipe:[12]"] {
            assert_eq!(Target::of(Path::new(path), log), None, "{path}");
        }
    }
}
