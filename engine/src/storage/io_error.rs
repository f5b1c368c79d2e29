//! An I/O failure with its place.
//!
//! Owns: [`IoError`], which every failure of the system is wrapped in on its way up.

use std::fmt;
use std::io;
use std::sync::Arc;

/// An I/O failure: what was done, to which file, where, and what the system said.
#[derive(Debug, Clone)]
pub struct IoError {
    operation: &'static str,
    file: String,
    offset: Option<u64>,
    cause: Arc<io::Error>,
}

impl IoError {
    pub(crate) fn new(operation: &'static str, file: impl Into<String>, cause: io::Error) -> Self {
        Self { operation, file: file.into(), offset: None, cause: Arc::new(cause) }
    }

    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// What was done: `"open"`, `"sync"`, and so on.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The file or directory.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The offset in the file, where there is one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// What the system said.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.cause
    }

    /// Whether there was no room: a full disk or an exhausted quota.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.cause)
    }
}

// What the system said is in the message, and so it is not the source besides.
impl std::error::Error for IoError {}
