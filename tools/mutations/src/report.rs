//! The table of what was found, as Markdown.
//!
//! Owns: [`Row`], [`table`]. Calls nothing.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::hunter::{Hunter, Outcome};
use crate::table::Mutation;

/// A planted bug, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The bug.
    pub mutation: Mutation,
    /// The hunter that came last, and what it found.
    pub last: (Hunter, Outcome),
}

impl Row {
    /// Whether it is as it should be: found, or harmless and not found.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.last.1.violation.is_some() != self.mutation.harmless.is_some()
    }

    /// One line about it.
    #[must_use]
    pub fn line(&self) -> String {
        let (hunter, outcome) = &self.last;
        let cases = outcome.cases.map_or(String::new(), |cases| format!(", {cases} cases"));
        let seconds = outcome.took.as_secs_f32();
        match (&outcome.violation, &self.mutation.harmless) {
            (Some(violation), None) => {
                format!("found by {hunter}{cases}, {seconds:.1} s: {violation}")
            }
            (Some(violation), Some(_)) => format!("NOT HARMLESS: {hunter}{cases}: {violation}"),
            (None, None) => format!("SURVIVED {hunter}{cases}, {seconds:.1} s"),
            (None, Some(_)) => format!("harmless{cases}, {seconds:.1} s"),
        }
    }
}

/// The whole table. `clean` is what each hunter has tried on the sources as they are.
#[must_use]
pub fn table(rows: &[Row], clean: &[(Hunter, Outcome)]) -> String {
    let mut text = String::from(HEAD);
    for (hunter, outcome) in clean {
        let cases = outcome.cases.map_or("all".to_owned(), |cases| cases.to_string());
        let _ = writeln!(text, "| {hunter} | {cases} | {:.0} |", outcome.took.as_secs_f32());
    }
    let (bugs, harmless): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.mutation.harmless.is_none());
    let found = bugs.iter().filter(|row| row.is_right()).count();
    let mut cases: Vec<u64> = bugs.iter().filter_map(|row| row.last.1.cases).collect();
    cases.sort_unstable();
    let (median, most) = (cases.get(cases.len() / 2), cases.last());
    let _ = write!(text, "\n## Bugs: {found} of {} found\n\n", bugs.len());
    if let (Some(median), Some(most)) = (median, most) {
        let count = cases.len();
        let _ = write!(text, "Where cases are counted, {count} times: {median} in the middle, ");
        let _ = write!(text, "{most} at most.\n\n");
    }
    text.push_str(BUGS_HEAD);
    for row in bugs {
        let Mutation { group, name, .. } = &row.mutation;
        let (hunter, outcome) = &row.last;
        let cases = outcome.cases.map_or(String::new(), |cases| cases.to_string());
        let violation = outcome.violation.as_deref().unwrap_or("**survived**");
        let violation = cell(violation);
        let _ = writeln!(text, "| {group} | {} | {hunter} | {cases} | {violation} |", cell(name));
    }
    let _ = write!(text, "\n## Changes that change nothing: {}\n\n{HARMLESS_HEAD}", harmless.len());
    for row in harmless {
        let Mutation { group, name, harmless, .. } = &row.mutation;
        let why = cell(harmless.as_deref().unwrap_or_default());
        let why = if row.is_right() { why } else { format!("**found, so not harmless**: {why}") };
        let cases = row.last.1.cases.map_or(String::new(), |cases| cases.to_string());
        let _ = writeln!(text, "| {group} | {} | {cases} | {why} |", cell(name));
    }
    text + "\n" + CARGO_MUTANTS
}

/// Text for a cell: on one line, not too long, without the names of temporary files.
fn cell(text: &str) -> String {
    let temporary = std::env::temp_dir().display().to_string();
    let word = |word| if str::contains(word, &temporary) { "(a temporary file)" } else { word };
    let text = text.split_whitespace().map(word).collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => format!("{} ...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

const CELL_CHARS_MAX: usize = 600;

/// What another tool has planted, and why some of it is not found: looked at by hand.
const CARGO_MUTANTS: &str = include_str!("../cargo-mutants.md");

const HEAD: &str = "# Planted bugs, and who finds them

Written by `cargo run --release -p quipu-mutations`; `mutations.toml` lists what is changed where.
Each bug is planted by itself in a copy of the sources. A case is one state: a crash, its recovery
and the check of it; of `loom` an order, of `shuttle` a schedule. Campaigns run on one thread from
seed 0, so that the same number of cases finds the same bug again.

Without any bug, nobody finds anything:

| hunter | cases | seconds |
|---|---|---|
";

const BUGS_HEAD: &str = "| part | bug | found by | cases | what is found |
|---|---|---|---|---|
";

const HARMLESS_HEAD: &str = "| part | change | cases without a find | why it changes nothing |
|---|---|---|---|
";
