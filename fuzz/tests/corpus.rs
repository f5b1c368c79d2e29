//! Goal: every input of the corpora passes its target on stable, too, and the corpora reach what
//! lies behind the checksums. `QUIPU_WRITE_CORPUS=1` makes the seeds again from the golden files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails the test

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quipu_format::layout::{header, segment};
use quipu_fuzz::{FLAG_CHAIN, FLAG_FIX, FLAG_RAW};

type Seeds = BTreeMap<String, Vec<u8>>;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The golden files, by name without extension; good ones first, as they give shared frames a name.
fn golden() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wal-format/golden/v1");
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    let bad = ["damaged", "forbidden", "header", "torn"];
    files.sort_by_key(|(name, _)| (bad.iter().any(|kind| name.starts_with(kind)), name.clone()));
    files
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..end.next_multiple_of(8).min(bytes.len())]
}

fn header_seeds() -> Seeds {
    let seed = |name: String, file: &[u8]| {
        let block = without_zeros(&file[..file.len().min(segment::BYTES)]);
        (name, [&[0], block].concat())
    };
    let mut seeds: Seeds = golden()
        .into_iter()
        .filter(|(name, _)| name.starts_with("header") || name.starts_with("succ"))
        .map(|(name, file)| seed(name, &file))
        .collect();
    let good = seeds["successor"].clone();
    let with = |flags: u8| [&[flags], &good[1..]].concat();
    seeds.insert("successor-fixed".into(), with(FLAG_FIX));
    seeds.insert("successor-raw".into(), with(FLAG_RAW));
    seeds.insert("empty".into(), vec![0]);
    seeds
}

fn frame_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, file) in golden().into_iter().filter(|(_, file)| file.len() > segment::BYTES) {
        let mut at = segment::BYTES;
        for index in 0.. {
            let length = u32::from_le_bytes(file[at + header::LENGTH..][..4].try_into().unwrap());
            let Some(frame) = file[at..].get(..length as usize).filter(|frame| frame.len() >= 64)
            else {
                break;
            };
            // Damaged files share their good frames with the good ones.
            let seed = |flags: u8| [&[flags], &((at / 8) as u16).to_le_bytes()[..], frame].concat();
            if frame.len() < 1024 && !seeds.values().any(|known| *known == seed(0)) {
                seeds.insert(format!("{name}-{index}"), seed(0));
                seeds.insert(format!("{name}-{index}-fixed"), seed(FLAG_FIX));
            }
            at += length as usize;
        }
    }
    seeds
}

fn segment_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, file) in golden() {
        let chosen = ["many", "one", "sealed", "succ", "torn", "forbidden"];
        if !chosen.iter().any(|start| name.starts_with(start)) || file.len() > 8192 {
            continue;
        }
        let frames = without_zeros(&file[segment::BYTES..]);
        for (suffix, flags) in [("", 0), ("-fixed", FLAG_FIX), ("-chained", FLAG_FIX | FLAG_CHAIN)]
        {
            let seed = [&[flags], &file[..segment::FIELDS_END], frames].concat();
            seeds.insert(format!("{name}{suffix}"), seed);
        }
    }
    seeds
}

/// Runs a target over its corpus; gives how many of the inputs decoded.
fn run(name: &str, target: impl Fn(&[u8]) -> bool, seeds: &Seeds) -> usize {
    let directory = corpus(name);
    for (seed, expected) in seeds {
        if std::env::var_os("QUIPU_WRITE_CORPUS").is_some() {
            std::fs::write(directory.join(seed), expected).unwrap();
        }
        let found = std::fs::read(directory.join(seed)).unwrap();
        assert_eq!(found, *expected, "{name}/{seed} is not what the golden files give");
    }
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let decoded = |path: &&PathBuf| {
        println!("{}", path.display()); // which one, if the target panics
        target(&std::fs::read(path).unwrap())
    };
    paths.iter().filter(decoded).count()
}

#[test]
fn segment_headers_of_the_corpus_pass() {
    let decoded = run("decode_segment_header", quipu_fuzz::decode_segment_header, &header_seeds());
    assert!(decoded >= 4, "{decoded}");
}

#[test]
fn frames_of_the_corpus_pass() {
    let decoded = run("decode_frame", quipu_fuzz::decode_frame, &frame_seeds());
    assert!(decoded >= 20, "{decoded}");
}

#[test]
fn segments_of_the_corpus_pass() {
    let decoded = run("scan_segment", quipu_fuzz::scan_segment, &segment_seeds());
    assert!(decoded >= 20, "{decoded}");
}

#[test]
fn short_inputs_pass_every_target() {
    for length in 0..300 {
        for flags in 0..8 {
            let mut data = vec![0; length];
            data.iter_mut().take(1).for_each(|byte| *byte = flags);
            quipu_fuzz::decode_segment_header(&data);
            quipu_fuzz::decode_frame(&data);
            quipu_fuzz::scan_segment(&data);
        }
    }
}
