//! What earlier runs have found out, so that a long run can be done in parts.
//!
//! Owns: [`Kept`]: a file beside the copies of the sources, one line of JSON for each bug and each
//! hunter. What is kept of a bug is forgotten when its entry in the list is another.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::hunter::{Hunter, Outcome};
use crate::report::Row;
use crate::table::Mutation;

/// What is known.
#[derive(Debug)]
pub struct Kept {
    lines: Vec<Line>,
    file: File,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Line {
    /// What a hunter has tried on the sources as they are.
    Clean(Hunter, Outcome),
    /// What became of a bug.
    Bug(Row),
}

impl Kept {
    /// Reads what is kept, or begins anew.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn read(path: &Path, resume: bool) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) if resume => text,
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("reading what was found out before");
            }
            _ => String::new(),
        };
        // A line that was cut off is for a bug that is tried again.
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        path.parent().map_or(Ok(()), fs::create_dir_all).context("making a directory")?;
        let mut options = OpenOptions::new();
        options.create(true).write(true);
        let options = if resume { options.append(true) } else { options.truncate(true) };
        let file = options.open(path).context("writing what is found out")?;
        Ok(Self { lines, file })
    }

    /// What a hunter has tried without any bug.
    #[must_use]
    pub fn clean(&self, hunter: &Hunter) -> Option<Outcome> {
        self.lines.iter().find_map(|line| match line {
            Line::Clean(known, outcome) if known == hunter => Some(outcome.clone()),
            Line::Clean(..) | Line::Bug(_) => None,
        })
    }

    /// What became of a bug. One that is not as it should be is tried again.
    #[must_use]
    pub fn row(&self, mutation: &Mutation) -> Option<Row> {
        self.lines.iter().find_map(|line| match line {
            Line::Bug(row) if row.mutation == *mutation && row.is_right() => Some(row.clone()),
            Line::Clean(..) | Line::Bug(_) => None,
        })
    }

    /// Keeps what a hunter has tried without any bug.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_clean(&mut self, hunter: &Hunter, outcome: &Outcome) -> Result<()> {
        self.write(&Line::Clean(hunter.clone(), outcome.clone()))
    }

    /// Keeps what became of a bug.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, row: &Row) -> Result<()> {
        self.write(&Line::Bug(row.clone()))
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let line = serde_json::to_string(line)? + "\n";
        self.file.write_all(line.as_bytes()).context("writing what is found out")
    }
}
