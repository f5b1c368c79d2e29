//! Goal: every input of the corpora passes its target on stable, too, and the corpora reach what
//! lies behind the checksums. `QUIPU_WRITE_CORPUS=1` makes the seeds again, those of the format from
//! the golden files.
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
        let chosen = ["many", "one", "sealed", "succ", "torn", "forbidden", "checkpoints"];
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

/// Every log that inputs begin with, each operation on one of many segments, and raw files.
fn directory_seeds() -> Seeds {
    let mut seeds: Seeds = (0..8).map(|log| (format!("log-{log}"), vec![log << 3])).collect();
    const CLOSED: u8 = 3 << 3;
    const KILLED: u8 = 4 << 3;
    const BUFFERED: u8 = 5 << 3;
    let at = |place: u16| place.to_le_bytes();
    let [first, frames, page] = [at(0), at(4096), at(4096)];
    let operations: [(&str, u8, Vec<u8>); 44] = [
        ("bytes-put", CLOSED, [&[0, 1], &frames[..], &[2, 7, 7]].concat()),
        ("magic-of-another-kind", CLOSED, [&[0, 1], &first[..], &[2, 7, 7]].concat()),
        ("bit-flipped", CLOSED, [&[1, 2], &frames[..], &[0]].concat()),
        ("last-bit-flipped", KILLED, [&[1, 0], &at(4096 + 1500)[..], &[0]].concat()),
        ("page-zeroed", CLOSED, [&[2, 0], &frames[..], &page].concat()),
        ("header-zeroed", CLOSED, [&[2, 1], &first[..], &page].concat()),
        ("page-copied", CLOSED, [&[3, 0, 1], &frames[..], &frames, &page].concat()),
        ("cut-short", CLOSED, [&[4, 1], &at(5000)[..]].concat()),
        ("grown", CLOSED, [&[4, 2], &at(12_288)[..]].concat()),
        ("deleted", CLOSED, vec![5, 1]),
        ("renamed", CLOSED, vec![6, 2, 5]),
        ("copied", CLOSED, vec![7, 0, 7]),
        ("prepared-and-unfinished", CLOSED, vec![8, 5, 2, 8, 230, 1, 8, 255, 0]),
        ("frame-with-flags", CLOSED, vec![10, 1, 2, 2, 1, 1]),
        ("frame-synced-to-the-end", KILLED, vec![10, 0, 2, 8, 0, 2]),
        ("frame-with-another-body", CLOSED, vec![11, 1, 2, 100, 0, 200]),
        ("header-of-a-newer-format", CLOSED, vec![12, 1, 1, 1, 2]),
        ("header-of-another-capacity", CLOSED, vec![12, 1, 6, 3, 14]),
        ("close-that-runs-back-behind", KILLED, vec![13, 0, 2, 0, 0, 0, 13, 0, 1, 1, 0, 0]),
        ("batch-of-a-new-stream-behind", KILLED, vec![13, 0, 3, 1, 3, 0]),
        (
            "sealed-and-linked",
            KILLED,
            vec![13, 0, 0, 0, 0, 0, 8, 1, 3, 14, 1, 0, 13, 1, 3, 0, 3, 0],
        ),
        ("linked-and-the-seal-missing", KILLED, vec![8, 1, 2, 14, 1, 1, 13, 1, 3, 0, 3, 0]),
        (
            "missing-seal-without-room",
            KILLED,
            [&[13, 0, 2, 0, 0, 0].repeat(36)[..], &[8, 1, 2, 14, 1, 1]].concat(),
        ),
        ("batch-behind-the-last-position", CLOSED, vec![12, 1, 7, 2, 0, 13, 1, 3, 0, 3, 0]),
        ("sealed-and-nothing-behind", KILLED, vec![13, 0, 0, 0, 0, 0]),
        ("only-batch-of-a-closed-log", 1 << 3, [&[1, 0], &at(4200)[..], &[0]].concat()),
        ("checkpoints-behind", KILLED, vec![13, 0, 0x83, 0, 1, 5]),
        ("checkpoints-that-do-not-rise", KILLED, vec![13, 0, 0x83, 0, 1, 5, 13, 0, 0x83, 0, 1, 5]),
        (
            "checkpoints-and-a-settled-close-in-a-new-log",
            1 << 3,
            vec![13, 0, 0x83, 0, 0x12, 5, 13, 0, 0x41, 0, 0, 0],
        ),
        (
            "checkpoints-lost-in-front-of-a-settled-close",
            1 << 3,
            [&[13, 0, 0x83, 0, 0x12, 5, 13, 0, 0x41, 0, 0, 0, 1, 0], &at(4400)[..], &[0]].concat(),
        ),
        ("stream-named-twice", KILLED, vec![13, 0, 3, 0, 0x33, 0]),
        ("stream-with-a-version-left-out", KILLED, vec![13, 0, 3, 0, 3, 1]),
        ("last-frame-with-flags", KILLED, vec![10, 0, 4, 2, 1, 1]),
        ("first-segment-gone-and-one-prepared", 0, vec![8, 1, 2, 5, 0]),
        ("only-header-zeroed", KILLED, [&[2, 0], &first[..], &page].concat()),
        (
            "torn-with-a-frame-behind",
            BUFFERED,
            [&[11, 4, 1], &at(30)[..], &[9, 1, 4], &at(4600), &[1]].concat(),
        ),
        ("magic-half-written", CLOSED, [&[0, 4], &first[..], &[3, 0, 0, 0]].concat()),
        ("magic-of-the-last-with-a-bit-flipped", CLOSED, [&[1, 4], &first[..], &[3]].concat()),
        ("magic-of-a-prepared-one-wrong", KILLED, [&[8, 7, 2, 1, 3], &first[..], &[0]].concat()),
        (
            "magic-wrong-behind-a-torn-tail",
            BUFFERED,
            [&[11, 4, 0], &at(30)[..], &[9, 8, 7, 2, 1, 5], &first, &[0]].concat(),
        ),
        (
            "magic-wrong-behind-a-missing-file",
            CLOSED,
            [&[5, 2, 8, 7, 2, 1, 4], &first[..], &[0]].concat(),
        ),
        ("magic-of-the-only-one-wrong", 1 << 3, [&[0, 0], &first[..], &[2, 7, 7]].concat()),
        ("later-segments-left", 6 << 3, [&[8, 5, 2, 1, 2], &at(4700)[..], &[1]].concat()),
        ("repair-cut-off", KILLED, [&[2, 0], &at(5000)[..], &page, &[15, 0, 3]].concat()),
    ];
    for (name, log, operation) in operations {
        seeds.insert(name.into(), [&[log], &operation[..]].concat());
    }
    for (name, file) in golden() {
        if ["many-batches", "torn-body", "header-cut-short"].contains(&&*name) {
            let bytes = without_zeros(&file);
            let length = (bytes.len() as u16).to_le_bytes();
            let pages = if bytes.len() < 4096 { 0 } else { 2 };
            seeds.insert(
                format!("raw-{name}"),
                [&[FLAG_RAW, 0, pages], &length[..], bytes].concat(),
            );
        }
    }
    seeds
}

/// The golden derived files, and some of them with bytes changed and checksums made right.
fn index_seeds() -> Seeds {
    derived_seeds(|name| !name.ends_with("base"))
}

/// The golden bases, in the same way.
fn base_seeds() -> Seeds {
    derived_seeds(|name| name.ends_with("base"))
}

fn derived_seeds(is_wanted: impl Fn(&str) -> bool) -> Seeds {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wal-format/golden/index-v1");
    let mut seeds = Seeds::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().replace('.', "-");
        if path.extension().is_some_and(|extension| extension == "txt") || !is_wanted(&name) {
            continue;
        }
        let raw = if name.ends_with("ckpt") { FLAG_RAW } else { 0 };
        let file = std::fs::read(&path).unwrap();
        seeds.insert(name.clone(), [&[raw], &file[..]].concat());
        seeds.insert(format!("{name}-fixed"), [&[raw | FLAG_FIX], &file[..]].concat());
        if !name.starts_with("bad") {
            for step in [7, 61, 173] {
                let mut changed = [&[raw | FLAG_FIX], &file[..]].concat();
                let at = changed.len() * step / 256;
                changed[at] ^= 0x15;
                seeds.insert(format!("{name}-changed-{step}"), changed);
            }
        }
    }
    seeds
}

/// Scripts as they are drawn, without and with calls that fail.
fn operation_seeds() -> Seeds {
    let seed = |number: u8| {
        let mut rng = fastrand::Rng::with_seed(u64::from(number));
        let choices: Vec<u8> = (0..rng.usize(0..500)).map(|_| rng.u8(..)).collect();
        (format!("script-{number:02}"), [&[number], &choices[..]].concat())
    };
    (0..24).map(seed).collect()
}

/// Runs a target over its corpus; gives how many of the inputs decoded.
fn run(name: &str, target: impl Fn(&[u8]) -> bool, seeds: &Seeds) -> usize {
    let directory = corpus(name);
    for (seed, expected) in seeds {
        if std::env::var_os("QUIPU_WRITE_CORPUS").is_some() {
            std::fs::write(directory.join(seed), expected).unwrap();
        }
        let found = std::fs::read(directory.join(seed)).unwrap();
        assert_eq!(found, *expected, "{name}/{seed} is not what it is made of");
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
fn indexes_of_the_corpus_pass() {
    let decoded = run("read_index", quipu_fuzz::read_index, &index_seeds());
    assert!(decoded >= 8, "{decoded}");
}

#[test]
fn bases_of_the_corpus_pass() {
    let decoded = run("read_base", quipu_fuzz::read_base, &base_seeds());
    assert!(decoded >= 3, "{decoded}");
}

#[test]
fn directories_of_the_corpus_pass() {
    let decoded = run("recover_directory", quipu_fuzz::recover_directory, &directory_seeds());
    assert!(decoded >= 20, "{decoded}");
}

#[test]
fn operations_of_the_corpus_pass() {
    let tries_much = |data: &[u8]| quipu_fuzz::operations(data) > 100;
    let decoded = run("operations", tries_much, &operation_seeds());
    assert!(decoded >= 10, "{decoded}");
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
            quipu_fuzz::read_index(&data);
            quipu_fuzz::read_base(&data);
            quipu_fuzz::recover_directory(&data[..length.min(30)]);
            quipu_fuzz::operations(&data[..length.min(10)]);
        }
    }
}
