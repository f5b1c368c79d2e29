//! The directory of a log, as an argument.
//!
//! Owns: [`LogDirectory`]. Calls nothing.

use std::path::{Path, PathBuf};

/// A log's directory, by its place among the arguments or by name.
#[derive(Debug, Clone, clap::Args)]
pub struct LogDirectory {
    /// The log's directory.
    #[arg(value_name = "DIR", required_unless_present = "dir", conflicts_with = "dir")]
    directory: Option<PathBuf>,
    /// The same, named.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl LogDirectory {
    /// The directory, in whichever way it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        // The parser has made sure that one of them is there.
        self.directory.as_deref().or(self.dir.as_deref()).unwrap_or(Path::new(""))
    }
}
