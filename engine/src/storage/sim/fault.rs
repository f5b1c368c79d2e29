//! Calls that fail: which, when, and with what.

use std::error::Error;
use std::fmt;
use std::io;

use super::Survivors;

/// The kinds of call that a [`FaultPlan`] can make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Listing the directory.
    List,
    /// Taking the lock.
    Lock,
    /// Creating a file. An effect.
    Create,
    /// Opening a file.
    Open,
    /// Giving a file one more name. An effect.
    Link,
    /// Renaming a file. An effect.
    Rename,
    /// Removing a file. An effect.
    Remove,
    /// Making the names durable. An effect.
    SyncDirectory,
    /// Asking for a file's length, or how many names it has.
    Length,
    /// Giving a new file its blocks. An effect.
    Prepare,
    /// A positioned read.
    Read,
    /// A positioned write by recovery. An effect.
    Write,
    /// Making a file durable. An effect.
    Sync,
    /// Mapping a file.
    Map,
    /// Appending to a mapped file. An effect; only a positioned store can be made to fail.
    Append,
}

impl Operation {
    pub(super) fn is_effect(self) -> bool {
        match self {
            Self::List | Self::Lock | Self::Open | Self::Length | Self::Read | Self::Map => false,
            Self::Create
            | Self::Link
            | Self::Rename
            | Self::Remove
            | Self::SyncDirectory
            | Self::Prepare
            | Self::Write
            | Self::Sync
            | Self::Append => true,
        }
    }
}

/// The errors that calls can be made to fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Errno {
    /// `EIO`: the device failed.
    Io,
    /// `ENOSPC`: the disk is full.
    NoSpace,
    /// `EMFILE`: too many open files.
    TooManyFiles,
    /// `EINTR`: interrupted. The real files repeat such calls, all but syncs.
    Interrupted,
}

impl Errno {
    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Io => libc::EIO,
            Self::NoSpace => libc::ENOSPC,
            Self::TooManyFiles => libc::EMFILE,
            Self::Interrupted => libc::EINTR,
        })
    }
}

/// When a kind of call fails, and how: `FaultPlan::new(Operation::Sync, Errno::Io).nth(3)`.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    operation: Operation,
    error: Errno,
    file: Option<String>,
    /// Calls that still succeed.
    before: u64,
    goes_on: bool,
    stored_bytes: Option<u64>,
    survivors: Survivors,
}

impl FaultPlan {
    /// The next call of this kind fails, once.
    pub fn new(operation: Operation, error: Errno) -> Self {
        Self {
            operation,
            error,
            file: None,
            before: 0,
            goes_on: false,
            stored_bytes: None,
            survivors: Survivors::Random,
        }
    }

    /// It is the n-th call from now that fails, the next being the first.
    pub fn nth(mut self, call: u64) -> Self {
        self.before = call.saturating_sub(1);
        self
    }

    /// All calls behind that one fail too, until [`super::SimDisk::heal`].
    pub fn from_then_on(mut self) -> Self {
        self.goes_on = true;
        self
    }

    /// Only calls on files whose name contains `part` count and fail. A file has the name under
    /// which it was created, or to which it was last renamed.
    pub fn on_files_with(mut self, part: impl Into<String>) -> Self {
        self.file = Some(part.into());
        self
    }

    /// How many bytes a failing write or positioned append stores before it fails; without this
    /// the seed draws.
    pub fn storing(mut self, bytes: u64) -> Self {
        self.stored_bytes = Some(bytes);
        self
    }

    /// What of the unsynced a failing sync leaves on disk; without this the seed draws.
    pub fn leaving(mut self, survivors: Survivors) -> Self {
        self.survivors = survivors;
        self
    }

    /// The failure of a call, where the first of the plans that fits it says so.
    pub(super) fn strike(
        plans: &mut Vec<FaultPlan>,
        operation: Operation,
        file: &str,
    ) -> Option<Fault> {
        let fits = |plan: &FaultPlan| {
            plan.operation == operation
                && plan.file.as_ref().is_none_or(|part| file.contains(part.as_str()))
        };
        let mut struck = None;
        for (index, plan) in plans.iter_mut().enumerate().filter(|(_, plan)| fits(plan)) {
            if plan.before > 0 {
                plan.before -= 1;
            } else if struck.is_none() {
                struck = Some((index, plan.goes_on));
            }
        }
        let (index, goes_on) = struck?;
        let plan = if goes_on { plans.get(index)?.clone() } else { plans.remove(index) };
        Some(Fault {
            error: plan.error.error(),
            stored_bytes: plan.stored_bytes,
            survivors: plan.survivors,
        })
    }
}

/// One call's failure.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: io::Error,
    pub(super) stored_bytes: Option<u64>,
    pub(super) survivors: Survivors,
}

/// Whether a call failed because the simulated machine is down, and not by a fault of its own.
pub fn is_machine_down(error: &io::Error) -> bool {
    matches!(gone(error), Some(Gone::MachineDown))
}

fn gone(error: &io::Error) -> Option<&Gone> {
    error.get_ref()?.downcast_ref()
}

/// Why no call can succeed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    MachineDown,
    ProcessKilled,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MachineDown => "the simulated machine is down",
            Self::ProcessKilled => "the simulated process was killed",
        })
    }
}

impl Error for Gone {}

impl From<Gone> for io::Error {
    fn from(gone: Gone) -> Self {
        io::Error::other(gone)
    }
}
