//! The errors of each family of operation, and what they say to do.
//!
//! A message is whole: what led to the error stands in it, and so is not its
//! [`source`](std::error::Error::source) besides, which whoever prints chains would say again.
//!
//! Owns: [`AppendError`] and its parts here, [`OpenError`], [`ReadError`], [`BackupError`] and
//! [`TruncateError`] in files of their
//! own, and [`IoError`], which every I/O failure is wrapped in and which storage owns.

mod append;
mod backup;
mod open;
mod read;
mod truncate;

pub use append::{AppendError, AppendErrorKind, InvalidBatch, Outcome};
pub use backup::{BackupError, BackupErrorKind};
pub use open::{Damage, Fault, OpenError, OpenErrorKind, Proof};
pub use read::{ReadError, ReadErrorKind};
pub use truncate::TruncateError;

pub use crate::storage::IoError;
