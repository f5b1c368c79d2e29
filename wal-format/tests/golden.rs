//! Goal: files of format version 1, good and damaged, are written and judged for ever as they were
//! when the version was fixed.
//!
//! `golden/v1/expected.txt` says what each file reads as. `QUIPU_WRITE_GOLDEN=1` writes the files
//! again, never that list.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::{LOG_ID, events_of, golden, rich_batch};
use quipu_format::layout::segment;
use quipu_format::{
    Body, ByteOffset, Chain, ControlKind, FrameKind, Salt, SegmentHeader, Step, find_evidence,
};

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/v1"))
}

/// What a reader of one segment file finds, as `expected.txt` says it.
fn judge(file: &[u8]) -> String {
    let header = match SegmentHeader::decode(file) {
        Ok(None) => return "prepared".into(),
        Ok(Some(header)) if header.log_id != LOG_ID => return "refused: another log".into(),
        Ok(Some(header)) => header,
        Err(error) => return format!("refused: {error}"),
    };
    let salt = Salt::new(header.log_id, header.sequence);
    let mut chain = Chain::at_start_of(&header);
    let mut at = segment::BYTES;
    let (mut batches, mut events) = (0, 0);
    let end = loop {
        let offset = ByteOffset::new(at as u64);
        let evidence = || {
            let found = find_evidence(&file[at..], salt, offset)?;
            let settled = found.settled_at.filter(|settled| *settled > offset);
            match found.synced_position > chain.position {
                true => Some(format!("damage, {} was synced", found.synced_position)),
                false => settled.map(|at| format!("damage, all in front of {at} was synced")),
            }
        };
        match chain.step(&file[at..], salt, offset) {
            Step::Frame { frame, chain: behind } => {
                chain = behind;
                at += frame.header.frame_bytes as usize;
                match frame.header.kind {
                    FrameKind::Batch | FrameKind::Checkpoints => batches += 1,
                    FrameKind::Control(ControlKind::Seal) => break "sealed".into(),
                    FrameKind::Control(_) => {}
                }
                events += frame.header.event_count;
            }
            Step::NeverWritten => {
                let all_zero = file[at..].iter().all(|byte| *byte == 0);
                let clean = if all_zero { "end" } else { "never written: torn" };
                break evidence().map_or(clean.into(), |damage| format!("never written: {damage}"));
            }
            Step::Bad(error) if error.is_contradiction() => break format!("{error}: damage"),
            Step::Bad(error) => {
                break format!("{error}: {}", evidence().unwrap_or_else(|| "torn".into()));
            }
        }
    };
    format!("{batches} batches, {events} events, position {}, at {at} {end}", chain.position)
}

#[test]
fn the_files_are_written_byte_by_byte_as_they_were() {
    let write = std::env::var_os("QUIPU_WRITE_GOLDEN").is_some();
    for (name, expected) in golden::files() {
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
    let mut wrong = Vec::new();
    for (name, outcome) in &expected {
        let found = judge(&std::fs::read(directory().join(name)).unwrap());
        if found != *outcome {
            wrong.push(format!("{name}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "these read differently now:\n{}", wrong.join("\n"));
    let listed: BTreeSet<String> = expected.keys().map(|name| (*name).into()).collect();
    let written = golden::files().into_iter().map(|(name, _)| name.into()).collect();
    assert_eq!(listed, written, "every file is listed, and written by code");
    let present = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "expected.txt")
        .collect();
    assert_eq!(listed, present, "there are no other files");
}

#[test]
fn a_good_file_gives_back_its_events() {
    let file = std::fs::read(directory().join("many-batches.seg")).unwrap();
    let header = SegmentHeader::decode(&file).unwrap().unwrap();
    let salt = Salt::new(header.log_id, header.sequence);
    let offset = ByteOffset::new(segment::BYTES as u64);
    let step = Chain::at_start_of(&header).step(&file[segment::BYTES..], salt, offset);
    let Step::Frame { frame, .. } = step else { panic!("{step:?}") };
    assert_eq!(events_of(&Body::decode(&frame).unwrap()), rich_batch());
}

#[test]
fn the_successor_names_the_seal_of_the_sealed_file() {
    let sealed = std::fs::read(directory().join("sealed.seg")).unwrap();
    let successor = std::fs::read(directory().join("successor.seg")).unwrap();
    let header = SegmentHeader::decode(&sealed).unwrap().unwrap();
    let next = SegmentHeader::decode(&successor).unwrap().unwrap();
    let salt = Salt::new(header.log_id, header.sequence);
    let mut chain = Chain::at_start_of(&header);
    let mut at = segment::BYTES;
    loop {
        let offset = ByteOffset::new(at as u64);
        let Step::Frame { frame, chain: behind } = chain.step(&sealed[at..], salt, offset) else {
            panic!("the sealed file is whole")
        };
        if frame.header.kind == FrameKind::Control(ControlKind::Seal) {
            let again = chain.seal_named_by(&next, salt, offset).unwrap();
            assert_eq!(again[..], sealed[at..at + again.len()]);
            assert!(behind.leads_to(&next, offset.plus(again.len() as u64)));
            return;
        }
        assert_eq!(chain.seal_named_by(&next, salt, offset), None);
        (chain, at) = (behind, at + frame.header.frame_bytes as usize);
    }
}
