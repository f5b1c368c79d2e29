//! `quipu man`: manual pages, one a command.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;

use crate::number::counted;
use crate::outcome::Outcome;

/// Where the pages go.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The directory for the pages; made, if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What was written as JSON.
    #[arg(long)]
    json: bool,
}

/// Writes a page for `command` and for each below it.
///
/// # Errors
/// Files that cannot be written.
pub fn run(request: &Request, mut command: clap::Command) -> anyhow::Result<Outcome> {
    let Request { out: directory, json } = request;
    let cannot = || format!("cannot write to {}", directory.display());
    fs::create_dir_all(directory).with_context(cannot)?;
    command.build();
    let mut written = Vec::new();
    write(&command, directory, &mut written).with_context(cannot)?;
    let mut out = io::stdout().lock();
    if *json {
        serde_json::to_writer(&mut out, &serde_json::json!({ "pages": written }))?;
        writeln!(out)?;
    } else {
        let pages = counted(written.len() as u64, "page", "pages");
        writeln!(out, "{pages} in {}", directory.display())?;
    }
    Ok(Outcome::Fine)
}

/// The page of a command that has been built, and those of the commands below it.
fn write(
    command: &clap::Command,
    directory: &PathBuf,
    written: &mut Vec<String>,
) -> io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let name = man.get_filename();
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(directory.join(&name), page)?;
    written.push(name);
    let shown = |below: &&clap::Command| !below.is_hide_set() && below.get_name() != "help";
    command.get_subcommands().filter(shown).try_for_each(|below| write(below, directory, written))
}
