//! Goal: verify looks at every byte of what is derived from segments, tells what is wrong there from damage,
//! and repair has it made again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fine, import, line, text};
use quipu_tools::verify::{Report, verify};

/// A closed log of several segments; its derived files.
fn log(directory: &Path) -> Vec<PathBuf> {
    let metadata = format!(r#","metadata":"{}"}}]}}"#, "x".repeat(2000));
    let lines = (0..90).map(|n| line(&format!("s-{}", n % 7), n).replace("}]}", &metadata));
    assert_eq!(import(directory, &lines.collect::<String>()).code, 0);
    let listed = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_derived = |path: &PathBuf| text(path).ends_with(".idx") || text(path).ends_with(".ckpt");
    let mut derived: Vec<PathBuf> = listed.filter(is_derived).collect();
    derived.sort();
    assert!(derived.len() > 3, "{derived:?}");
    derived
}

/// The derived files that are found wrong in a log that is whole.
fn wrong(directory: &Path) -> Vec<String> {
    let report: Report = verify(directory).unwrap();
    assert!(report.ok, "{report}");
    assert_eq!(report.verdict().contains("derived from them"), !report.derived_wrong.is_empty());
    report.derived_wrong.into_iter().map(|wrong| wrong.file).collect()
}

#[test]
fn every_byte_of_them_counts_and_none_of_it_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let derived = log(folder.path());
    assert_eq!(wrong(folder.path()), Vec::<String>::new());
    for path in [&derived[0], derived.last().unwrap()] {
        let whole = fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            fs::write(path, bytes).unwrap();
            assert_eq!(wrong(folder.path()), [name], "byte {at} of {}", whole.len());
        }
        for length in [0, 1, 100, whole.len() - 1, whole.len() + 1] {
            let mut bytes = whole.clone();
            bytes.resize(length, 0);
            fs::write(path, bytes).unwrap();
            assert_eq!(wrong(folder.path()), [name], "{length} bytes");
        }
        fs::write(path, whole).unwrap();
    }
    // The index of another segment is right by itself.
    fs::copy(&derived[0], &derived[1]).unwrap();
    assert_eq!(wrong(folder.path()), [derived[1].file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn repair_has_them_made_again_and_keeps_what_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("log");
    let derived = log(&directory);
    let index = &derived[0];
    let whole = fs::read(index).unwrap();
    let mut bytes = whole.clone();
    bytes[300] ^= 1;
    fs::write(index, &bytes).unwrap();
    let said = fine(&["repair", text(&directory)]);
    assert!(said.contains("to do: remove") && said.contains("is made again"), "{said}");
    assert_eq!(fs::read(index).unwrap(), bytes, "a dry run");
    let said = fine(&["repair", text(&directory), "--apply"]);
    let originals = said.lines().last().unwrap().rsplit(' ').next().unwrap();
    let kept = Path::new(originals).join(index.file_name().unwrap());
    assert_eq!(fs::read(kept).unwrap(), bytes);
    assert_eq!(fs::read(index).unwrap(), whole);
    assert_eq!(wrong(&directory), Vec::<String>::new());
}
