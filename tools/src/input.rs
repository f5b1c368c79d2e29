//! The lines that a command is given.
//!
//! Owns: [`Input`]. Calls nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Context;

/// Read at once.
const INPUT_BYTES: usize = 256 << 10;

/// A file, or stdin.
pub(crate) struct Input {
    /// What it is called in messages.
    pub(crate) name: String,
    pub(crate) reader: Box<dyn BufRead>,
    /// How many bytes there are, where that is known.
    pub(crate) length: Option<u64>,
}

impl Input {
    /// Opens it; `-` is stdin.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let reader = Box::new(io::stdin().lock());
            return Ok(Self { name: "stdin".to_owned(), reader, length: None });
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let metadata = file.metadata().with_context(|| format!("cannot look at {name}"))?;
        let length = metadata.is_file().then_some(metadata.len());
        let reader = Box::new(BufReader::with_capacity(INPUT_BYTES, file));
        Ok(Self { name, reader, length })
    }
}
