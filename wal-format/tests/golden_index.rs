//! Goal: derived files of format version 1, good and damaged, are written and judged for ever as
//! they were when the version was fixed.
//!
//! `golden/index-v1/expected.txt` says what each file reads as. `QUIPU_WRITE_GOLDEN=1` writes the
//! files again, never that list.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::{golden, index};
use quipu_format::sidecar::{LogBase, SetCheckpoint, Sidecar, SidecarError, StreamCheckpoint};

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/index-v1"))
}

/// What a reader of one file finds, as `expected.txt` says it.
fn judge(name: &str, file: &[u8]) -> String {
    let outcome = match name.rsplit('.').next() {
        Some("ckpt") => judge_checkpoint(file),
        Some("base") => judge_base(file),
        _ => judge_index(name, file),
    };
    outcome.unwrap_or_else(|error| error.to_string())
}

fn judge_index(name: &str, file: &[u8]) -> Result<String, SidecarError> {
    let expected = match name {
        "long-lists.idx" => index::long_sidecar().0,
        "checkpoints.idx" => index::sidecar_of(&index::with_checkpoints().bytes).0,
        "empty.idx" => {
            let mut empty = common::TestSegment::first();
            empty.seal();
            index::sidecar_of(&empty.bytes).0
        }
        _ => index::sidecar_of(&golden::sealed().0.bytes).0,
    };
    let sidecar = Sidecar::decode(file, &expected)?;
    sidecar.check()?;
    let mut said = Vec::new();
    for stream in sidecar.streams() {
        let stream = stream?;
        let (first, last) = (stream.positions.first(), stream.positions.last());
        let (versions, back) = (stream.first_version, stream.previous);
        let back = back.map_or(String::new(), |at| format!(" after {at}"));
        said.push(format!(
            "{} {versions}+{} at {first}-{last}{back}",
            stream.name,
            stream.positions.len()
        ));
    }
    let list = |named: quipu_format::sidecar::NamedPositions<'_>| {
        format!("{} x{}", named.name, named.positions.len())
    };
    for named in sidecar.tags().chain(sidecar.event_types()) {
        said.push(list(named?));
    }
    for set in sidecar.checkpoints() {
        let SetCheckpoint { name, position, set_by } = set?;
        let by = set_by.map_or(String::new(), |at| format!(" by {at}"));
        said.push(format!("{name} to {position}{by}"));
    }
    Ok(format!("{} batches; {}", sidecar.header().batch_count, said.join(", ")))
}

fn judge_checkpoint(file: &[u8]) -> Result<String, SidecarError> {
    let checkpoint = StreamCheckpoint::decode(file)?;
    checkpoint.header().check_segment(&index::checkpoint_of_sealed().0)?;
    let mut said = Vec::new();
    for stream in checkpoint.streams() {
        let stream = stream?;
        said.push(format!("{} {} at {}", stream.name, stream.version, stream.position));
    }
    for set in checkpoint.checkpoints() {
        let SetCheckpoint { name, position, set_by } = set?;
        let by = set_by.map_or(String::new(), |at| format!(" by {at}"));
        said.push(format!("{name} to {position}{by}"));
    }
    Ok(said.join(", "))
}

fn judge_base(file: &[u8]) -> Result<String, SidecarError> {
    let base = LogBase::decode(file)?;
    let next = golden::sealed().1.header;
    assert!(base.chain().leads_to(&next, base.seal_end()), "the second segment follows");
    assert_eq!((base.first_segment(), base.log_id()), (next.sequence, next.log_id));
    let mut said =
        vec![format!("from segment {}, {}", base.first_segment(), base.chain().position)];
    for stream in base.streams() {
        let stream = stream?;
        said.push(format!("{} {} at {}", stream.name, stream.version, stream.position));
    }
    for set in base.checkpoints() {
        let SetCheckpoint { name, position, .. } = set?;
        said.push(format!("{name} to {position}"));
    }
    Ok(said.join(", "))
}

#[test]
fn the_files_are_written_byte_by_byte_as_they_were() {
    let write = std::env::var_os("QUIPU_WRITE_GOLDEN").is_some();
    for (name, expected) in index::files() {
        let path = directory().join(name);
        if write {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read(&path).unwrap();
        let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}: offset of the first byte that differs");
        assert_eq!(found.len(), expected.len(), "{name}: length");
    }
}

#[test]
fn the_files_read_as_they_did() {
    let list = std::fs::read_to_string(directory().join("expected.txt")).unwrap();
    let expected: BTreeMap<&str, &str> = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let files = index::files();
    let wrong: Vec<String> = files
        .iter()
        .map(|(name, _)| (*name, judge(name, &std::fs::read(directory().join(name)).unwrap())))
        .filter(|(name, found)| expected.get(name) != Some(&found.as_str()))
        .map(|(name, found)| format!("{name}: {found}"))
        .collect();
    assert!(wrong.is_empty(), "these read differently now:\n{}", wrong.join("\n"));
    let listed: BTreeSet<String> = expected.keys().map(|name| (*name).into()).collect();
    let written = files.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(listed, written, "every file is listed, and written by code");
    let present = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "expected.txt")
        .collect();
    assert_eq!(listed, present, "there are no other files");
}
