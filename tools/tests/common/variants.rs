//! Small logs as plain bytes, and what may become of them: made by the engine in real directories,
//! copied when closed or while open, then changed by hand.
#![allow(dead_code)] // each test uses a part of it
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use quipu::{Batch, Durability, Event, Log, Options, Position};
use quipu_format::checksum::crc32c_append;
use quipu_format::{ByteOffset, Salt, SegmentHeader};

const CAPACITY: usize = 8 << 10;
const HEADER_BYTES: usize = 4096;

/// What recovery stores where it is about to zero.
const REPAIR_MARK: &[u8] = b"Q\0\0\0\0\0\0\0";

/// How every log is opened: with a look at everything. No idle mark comes in between.
pub(crate) fn options() -> Options {
    let options = Log::options().segment_bytes(CAPACITY as u64).verify_on_open(true);
    options.idle_mark_after(Duration::from_secs(3600))
}

/// The segments of a directory, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

/// A log, and what was done to it.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) what: String,
    pub(crate) files: Files,
}

impl Files {
    /// Those of a directory, beside a writer that does no more than prepare a segment.
    pub(crate) fn of(directory: &Path) -> Self {
        loop {
            let mut files = Self::default();
            let mut names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
            let whole = names.all(|entry| {
                let name = entry.file_name().into_string().unwrap();
                // What is derived from segments proves nothing to the verifier.
                if name == "LOCK" || name.contains(".idx") {
                    return true;
                }
                let bytes = match fs::read(entry.path()) {
                    Ok(bytes) => bytes,
                    // Prepared, and renamed meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotFound => return false,
                    Err(error) => panic!("{error}"),
                };
                files.0.insert(name, bytes);
                true
            });
            if whole {
                return files;
            }
        }
    }

    pub(crate) fn write_to(&self, directory: &Path) {
        for (name, bytes) in &self.0 {
            fs::write(directory.join(name), bytes).unwrap();
        }
    }

    #[allow(dead_code)] // not every test asks
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn segment(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.get_mut(name).unwrap()
    }

    /// The copies of the base.
    pub(crate) fn bases(&self) -> Vec<String> {
        self.0.keys().filter(|name| name.contains(".base")).cloned().collect()
    }

    pub(crate) fn segments(&self) -> Vec<String> {
        self.0.keys().filter(|name| name.ends_with(".seg")).cloned().collect()
    }
}

pub(crate) fn segment_name(sequence: usize) -> String {
    format!("{sequence:020}.seg")
}

/// Batches of about 900 bytes, three to a segment; every `synced_every`th is durable, if any is.
fn appended(batches: usize, synced_every: Option<usize>, closed: bool) -> Variant {
    appended_with(batches, synced_every, closed, false)
}

/// As [`appended`], with named checkpoints alone behind each batch.
pub(crate) fn with_checkpoints() -> Variant {
    appended_with(6, Some(2), true, true)
}

fn appended_with(
    batches: usize,
    synced_every: Option<usize>,
    closed: bool,
    checkpoints: bool,
) -> Variant {
    let directory = tempfile::tempdir().unwrap();
    let log = options().open(directory.path()).unwrap();
    for number in 0..batches {
        let synced = synced_every.is_some_and(|every| number % every == every - 1);
        let durability = if synced { Durability::Sync } else { Durability::Buffered };
        let payload = vec![number as u8 + 1; 850];
        let batch = Batch::new()
            .durability(durability)
            .event(format!("s-{}", number % 3), Event::new("T", payload))
            .event("all", Event::new("T", "y"));
        log.append(batch).unwrap();
        if checkpoints {
            let set = Batch::new().checkpoint("p", Position::new(number as u64));
            let set = set.checkpoint(format!("q-{number}"), Position::new(7));
            log.append(set.durability(durability)).unwrap();
        }
    }
    let files = match closed {
        true => {
            log.close().unwrap();
            Files::of(directory.path())
        }
        false => Files::of(directory.path()),
    };
    let what = format!("{batches} batches, synced every {synced_every:?}, closed {closed}");
    Variant { what, files }
}

/// The logs to begin with.
pub(crate) fn logs() -> Vec<Variant> {
    vec![
        appended(8, Some(1), true),
        appended(8, Some(1), false),
        appended(8, None, false),
        appended(9, Some(4), false),
        appended(2, Some(1), true),
        appended(2, None, false),
        appended(0, None, true),
        truncated(true),
        truncated(false),
    ]
}

/// A log of which the first two segments have been dropped; closed, or copied while it is open.
fn truncated(closed: bool) -> Variant {
    let directory = tempfile::tempdir().unwrap();
    let log = options().open(directory.path()).unwrap();
    for number in 0..14_u64 {
        let batch = Batch::new()
            .event(format!("s-{}", number % 5), Event::new("T", vec![number as u8 + 1; 850]))
            .event("all", Event::new("T", "y"))
            .checkpoint(format!("p-{}", number % 7), Position::new(number));
        log.append(batch).unwrap();
    }
    // The index of what is dropped is made beside all this. A close frame in the middle would bear false
    // witness of where the log ends.
    while log.would_truncate_before(Position::new(16)).unwrap().segments < 2 {
        std::thread::yield_now();
    }
    let dropped = log.truncate_before(Position::new(16)).unwrap();
    assert_eq!((dropped.segments, dropped.files_left), (2, 0));
    let files = match closed {
        true => {
            log.close().unwrap();
            Files::of(directory.path())
        }
        false => Files::of(directory.path()),
    };
    assert_eq!(files.bases().len(), 2);
    Variant { what: format!("a truncated log, closed {closed}"), files }
}

/// Where each frame of a segment begins, as far as lengths lead.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if !(64..=CAPACITY).contains(&length) {
            break;
        }
        frames.push(at);
        at += length;
    }
    frames
}

/// All that is done to one file of a log, one thing at a time.
pub(crate) fn single(log: &Variant, rng: &mut Rng) -> Vec<Variant> {
    let mut all = vec![log.clone()];
    for name in log.files.segments() {
        let mut with = |what: String, change: &dyn Fn(&mut Files)| {
            let mut files = log.files.clone();
            change(&mut files);
            all.push(Variant { what: format!("{}; {name}: {what}", log.what), files });
        };
        whole_file(&name, log, &mut with);
        contents(&name, log, rng, &mut with);
        checksums_right(&name, log, &mut with);
    }
    bases(log, rng, &mut all);
    all
}

/// One copy of the base or both are gone, cut short, or have another byte.
fn bases(log: &Variant, rng: &mut Rng, all: &mut Vec<Variant>) {
    let names = log.files.bases();
    let mut with = |which: &[String], what: &str, change: &mut dyn FnMut(&mut Files, &str)| {
        let mut files = log.files.clone();
        which.iter().for_each(|name| change(&mut files, name));
        let what = format!("{}; {}: {what}", log.what, which.join(" and "));
        all.push(Variant { what, files });
    };
    let both = std::iter::once(&names[..]).filter(|names| names.len() == 2);
    for which in names.chunks(1).chain(both) {
        with(which, "deleted", &mut |files, name| drop(files.0.remove(name)));
        with(which, "empty", &mut |files, name| files.segment(name).clear());
        with(which, "one byte short", &mut |files, name| {
            let bytes = files.segment(name);
            bytes.truncate(bytes.len().saturating_sub(1));
        });
        for _ in 0..12 {
            with(which, "a bit flipped", &mut |files, name| {
                let bytes = files.segment(name);
                if let Some(last) = bytes.len().checked_sub(1) {
                    bytes[rng.usize(..=last)] ^= 1 << rng.u8(..8);
                }
            });
        }
    }
}

type With<'a> = &'a mut dyn FnMut(String, &dyn Fn(&mut Files));

/// Deleted, renamed, copied, of another length, something else.
fn whole_file(name: &str, log: &Variant, with: With<'_>) {
    with("deleted".to_owned(), &|files| drop(files.0.remove(name)));
    with("deleted with all behind".to_owned(), &|files| files.0.retain(|it, _| &**it < name));
    with("deleted, and one prepared far behind".to_owned(), &|files| {
        files.0.remove(name);
        files.0.insert(segment_name(7), vec![0; CAPACITY]);
    });
    with("one unfinished beside it".to_owned(), &|files| {
        files.0.insert(format!("{name}.tmp"), vec![7; 100]);
    });
    let others = log.files.segments().into_iter().chain([segment_name(7)]);
    for other in others.filter(|other| other != name) {
        with(format!("renamed to {other}"), &|files| {
            let bytes = files.0.remove(name).unwrap();
            files.0.insert(other.clone(), bytes);
        });
        with(format!("copied to {other}"), &|files| {
            let bytes = files.0[name].clone();
            files.0.insert(other.clone(), bytes);
        });
    }
    for length in [0, 1, 7, 8, 100, 4095, 4096, 4104, 5000, 8184, 8191, 8200, 12288, 16384] {
        with(format!("{length} bytes long"), &|files| files.segment(name).resize(length, 0));
        with(format!("{length} zeros"), &|files| *files.segment(name) = vec![0; length]);
    }
}

/// Bytes flipped, sectors lost, tails torn, headers half written, repairs cut off.
fn contents(name: &str, log: &Variant, rng: &mut Rng, with: With<'_>) {
    let bytes = log.files.0[name].clone();
    let length = bytes.len();
    if length < 8 {
        return;
    }
    let frames = frames(&bytes);
    let mut flipped: Vec<usize> = (0..12).map(|_| rng.usize(..length)).collect();
    flipped.extend((0..12).map(|_| rng.usize(..112)));
    for frame in &frames {
        flipped.extend((0..3).map(|_| frame + rng.usize(..64)));
    }
    for at in flipped.into_iter().filter(|at| *at < length) {
        let bit = rng.u8(..8);
        with(format!("bit {bit} of byte {at} flipped"), &|files| {
            files.segment(name)[at] ^= 1 << bit;
        });
    }
    for sector in (0..length).step_by(512) {
        let end = length.min(sector + 512);
        with(format!("sector at {sector} lost"), &|files| files.segment(name)[sector..end].fill(0));
    }
    let torn = [0, 1, 8, 100].into_iter().chain(frames.iter().flat_map(|at| [*at, at + 20]));
    for from in torn.chain([rng.usize(..length)]).filter(|from| *from < length) {
        with(format!("zeros from {from} on"), &|files| files.segment(name)[from..].fill(0));
        with(format!("the log ends at {from}"), &|files| {
            files.segment(name)[from..].fill(0);
            let later: Vec<String> =
                files.segments().into_iter().filter(|it| &**it > name).collect();
            later.iter().for_each(|later| files.segment(later).fill(0));
        });
        let noise: Vec<u8> = (0..rng.usize(1..100)).map(|_| rng.u8(..)).collect();
        with(format!("noise from {from} on"), &|files| {
            let place = &mut files.segment(name)[from..];
            let count = place.len().min(noise.len());
            place[..count].copy_from_slice(&noise[..count]);
        });
    }
    for from in frames.iter().copied().chain([0]).filter(|from| from + 8 <= length) {
        with(format!("a repair cut off at {from}"), &|files| {
            files.segment(name)[from..].fill(0);
            files.segment(name)[from..from + 8].copy_from_slice(REPAIR_MARK);
        });
        with(format!("the mark of a repair at {from}, nothing zeroed"), &|files| {
            files.segment(name)[from..from + 8].copy_from_slice(REPAIR_MARK);
        });
    }
    for magic in [*b"PK\x03\x04\0\0\0\0", *b"QUIPU\0\0\0", *b"\0\0IPUSEG", *b"QUIPUSEX"] {
        with(format!("magic {magic:?}"), &|files| files.segment(name)[..8].copy_from_slice(&magic));
    }
}

/// What a faulty or newer writer would leave: right checksums over something else.
fn checksums_right(name: &str, log: &Variant, with: With<'_>) {
    let bytes = log.files.0[name].clone();
    let Some(block) = bytes.get(..HEADER_BYTES) else { return };
    let Ok(Some(header)) = SegmentHeader::decode(block) else { return };
    for at in [8, 16, 24, 32, 48, 57, 64, 72, 80, 88, 96, 100, 4000] {
        with(format!("header with another byte {at}"), &|files| {
            let block = &mut files.segment(name)[..HEADER_BYTES];
            block[at] ^= 2;
            block[12..16].fill(0);
            let checksum = crc32c_append(0, block);
            block[12..16].copy_from_slice(&checksum.to_le_bytes());
        });
    }
    let salt = Salt::new(header.log_id, header.sequence);
    for frame in frames(&bytes) {
        for at in [0, 4, 5, 6, 8, 12, 16, 24, 32, 40] {
            with(format!("frame at {frame} with another byte {at}"), &|files| {
                let Some(head) = files.segment(name).get_mut(frame..frame + 48) else { return };
                head[at] ^= 8;
                let checksum = salt.header_checksum(ByteOffset::new(frame as u64), &head[..44]);
                head[44..].copy_from_slice(&checksum.to_le_bytes());
            });
        }
    }
}
