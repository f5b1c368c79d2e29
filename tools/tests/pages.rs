//! Goal: what the pages show is what one gets: each command of COMMANDS.md and of the README's
//! first steps is run, and its output compared.
//!
//! A block marked `console` has commands (`$ `, with `> ` where they go on) and what they print.
//! All commands of a page run one after the other in one temporary directory, each in a shell of
//! its own. What differs each time is masked on both sides. With `QUIPU_PAGES=write` the page is
//! written anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{fine, json_lines, text};
use regex::Regex;

/// A part of a page.
#[derive(Debug)]
enum Part {
    /// Text, with the marks of blocks.
    Text(String),
    /// What stands behind the prompts, and what is printed.
    Command { lines: Vec<String>, printed: String },
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut is_block = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_block = line == "```console";
            parts.push(Part::Text(line.to_owned()));
        } else if !is_block {
            parts.push(Part::Text(line.to_owned()));
        } else if let Some(first) = line.strip_prefix("$ ") {
            let lines = vec![first.to_owned()];
            parts.push(Part::Command { lines, printed: String::new() });
        } else if let Some(Part::Command { lines, printed }) = parts.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) if printed.is_empty() => lines.push(more.to_owned()),
                _ => *printed += &format!("{line}\n"),
            }
        }
    }
    parts
}

/// Runs a command in a shell; what it prints, on stdout and stderr as they come.
fn run(script: &str, directory: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_quipu")).parent().unwrap();
    let path = format!("{}:{}", text(program), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(directory)
        .env("PATH", path)
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    // Some commands print whole paths, and the directory has another name each time.
    let there = fs::canonicalize(directory).unwrap();
    let printed = printed.replace(text(&there), HOME).replace(text(directory), HOME);
    printed.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Where the reader of a page is.
const HOME: &str = "/home/me";

/// The text without what differs each time.
fn masked(text: &str) -> String {
    let mut text = text.to_owned();
    for (what, with) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"\b\d{8}T\d{6}Z\b", "<time>"),
        (r"\b\d{19}\b", "<nanos>"),
        (r"\b\d{10}\.\d+\b", "<seconds>"),
        // Whether one more segment was prepared before the log was closed is a matter of luck.
        (r"(?m)^\S+ +[\d,]+ bytes, prepared and unused\n", ""),
        (r", \d+ prepared and unused", ""),
        (r#",\s+\{\s+"sequence": \d+,\s+"state": "prepared"[^}]*\}"#, ""),
        (r#"(bytes on disk +|"bytes_on_disk": )[\d,]+"#, "$1<bytes>"),
        // How far a batch says that the log was durable hangs on which sync it shared.
        (r"\bsynced( position)? \d+( and all in front synced)?", "synced <position>"),
        (r"\boffset \d+ that all below position \d+", "<place>"),
        (r"\b[0-9a-f]{32}\b", "<id>"),
        (r"\b(0x)?[0-9a-f]{8}\b", "<checksum>"),
        (r"\b\d+(\.\d+)? (ns|us|ms|s)\b", "<duration>"),
    ] {
        text = Regex::new(what).unwrap().replace_all(&text, with).into_owned();
    }
    text
}

/// Runs the commands of a page and compares, or writes it anew.
fn check(page: &Path, directory: &Path, from: &str, to: &str, mask: impl Fn(&str) -> String) {
    let before = fs::read_to_string(page).unwrap();
    let start = before.find(from).unwrap() + from.len();
    let end = before[start..].find(to).map_or(before.len(), |length| start + length);
    let mut after = before[..start].to_owned();
    let mut commands = 0;
    for part in parts(&before[start..end]) {
        match part {
            Part::Text(line) => after += &format!("{line}\n"),
            Part::Command { lines, printed } => {
                let found = run(&lines.join("\n"), directory);
                commands += 1;
                let shown = lines.join("\n> ");
                let same = mask(&found) == mask(&printed);
                if std::env::var_os("QUIPU_PAGES").is_none() {
                    assert_eq!(mask(&found), mask(&printed), "$ {shown}");
                }
                after += &format!("$ {shown}\n{}", if same { &printed } else { &found });
            }
        }
    }
    assert!(commands > 0, "{} has commands", page.display());
    if std::env::var_os("QUIPU_PAGES").is_some() {
        fs::write(page, after + &before[end..]).unwrap();
    }
}

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn each_command_of_the_page_prints_what_the_page_says() {
    let directory = tempfile::tempdir().unwrap();
    check(&page("COMMANDS.md"), directory.path(), "## A log of one's own\n", "\u{0}", masked);
}

#[test]
fn the_first_steps_of_the_readme_bring_the_events_of_a_killed_process_back() {
    let workspace = page("..");
    let readme = fs::read_to_string(workspace.join("README.md")).unwrap();
    // The one line that is not run: tests are built by what it asks for already.
    let build = "cargo build --release --bin quipu";
    assert!(readme.contains(&format!("\n{build}\n")), "the first step builds the command");
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(&workspace)
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let mut targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    assert!(
        targets.any(|target| target["name"] == "quipu" && target["kind"][0] == "bin"),
        "there is such a program to be built"
    );

    let directory = tempfile::tempdir().unwrap();
    let digits = Regex::new(r" *\d[\d,]*").unwrap();
    let without_numbers = |text: &str| digits.replace_all(&masked(text), "N").into_owned();
    let end = "\n## ";
    check(&workspace.join("README.md"), directory.path(), "## First steps\n", end, without_numbers);

    // And what the page only shows: nothing that was acknowledged is missing.
    let acknowledged = fs::read_to_string(directory.path().join("acknowledged")).unwrap();
    let whole = acknowledged.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let there = json_lines(&fine(&["read", "--json", text(&directory.path().join("visits"))]));
    assert!(there.len() >= whole.lines().count(), "{} of them", there.len());
    for (position, line) in whole.lines().enumerate() {
        assert_eq!(line, format!("position {position}  page-1@{position}"));
    }
}
