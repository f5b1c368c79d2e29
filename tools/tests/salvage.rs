//! Goal: a salvage takes over exactly the batches that are still whole, names exactly what is missing,
//! and leaves the old log as it was: for every damage to one file or two, and for what devices do.
//!
//! What a batch is and where it stood is decoded from the undamaged log by the format alone; it must be
//! there again if and only if none of its bytes, nor its file's name, has changed. `QUIPU_SEED` repeats
//! a run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

#[path = "common/original.rs"]
mod original;
#[path = "common/variants.rs"]
mod variants;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use original::{Contents, Original, OriginalBatch};
use quipu::{Batch, Durability, Event, Log, Position};
use quipu_format::SegmentHeader;
use quipu_tools::salvage::{Report, Request, SalvageError, salvage};
use quipu_tools::verify::{Tail, VerifyError, verify};
use variants::{Files, Variant, options};

/// What became of the variants.
#[derive(Debug, Default)]
struct Counts {
    ok: usize,
    lost: usize,
    damaged: usize,
    refused: usize,
    /// With batches of a tail that was cut off, which fit into the hole that they have made.
    brought_back: usize,
}

/// A log as it was, and the one that a cut has made of it since.
struct History {
    original: Original,
    past: Option<Original>,
}

impl History {
    fn of(log: &Variant) -> Self {
        Self { original: Original::of(&log.files), past: None }
    }
}

/// Salvages one variant and compares; what differs, if anything does.
fn compare(
    History { original, past }: &History,
    Variant { what, files }: &Variant,
    write: bool,
    counts: &Mutex<Counts>,
) -> Result<Option<Report>, String> {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    std::fs::create_dir(&old).unwrap();
    files.write_to(&old);
    let request = Request {
        directory: old.clone(),
        to: Some(new.clone()),
        dry_run: !write,
        log_id: log_id_to_give(original, files),
        segment_bytes: None,
    };
    let salvaged = salvage(&request);
    if Files::of(&old) != *files {
        return Err("the old log has changed".to_owned());
    }
    let report = match salvaged {
        Ok(report) => report,
        Err(error) => {
            if new.exists() || directory.path().join("new.unfinished").exists() {
                return Err(format!("something was left by {error}"));
            }
            let (no_log, unsupported) = (files.segments().is_empty(), is_unsupported(files));
            return match error {
                SalvageError::Read(VerifyError::NoLog(_)) if no_log => Ok(None),
                SalvageError::Unsupported { .. } if unsupported => {
                    counts.lock().unwrap().refused += 1;
                    Ok(None)
                }
                error => Err(error.to_string()),
            };
        }
    };
    let mut whole = original.whole(files);
    let back = past.as_ref().map(|past| brought_back(past, files, &whole, &report));
    let brought_back = back.as_ref().map_or(0, Vec::len);
    whole.extend(back.into_iter().flatten());
    whole.sort_by_key(|batch| batch.positions.start);
    match write {
        true => same_contents(&whole, start(original, files), &new)?,
        false if new.exists() => return Err("a dry run has written".to_owned()),
        false => {}
    }
    // A header with right checksums may claim any positions.
    right_positions(original, files, &whole, &report, what.contains("with another byte"))?;
    if !what.contains("with another byte") {
        agrees_with_verifier(&old, &report)?;
    }
    let mut counts = counts.lock().unwrap();
    counts.brought_back += usize::from(brought_back > 0);
    match (report.ok, report.lost.is_empty()) {
        (true, _) => counts.ok += 1,
        (false, false) => counts.lost += 1,
        (false, true) => counts.damaged += 1,
    }
    Ok(Some(report))
}

/// Batches that were cut off, are there again, and have been taken over: they take no other's place.
fn brought_back<'p>(
    past: &'p Original,
    files: &Files,
    whole: &[&OriginalBatch],
    report: &Report,
) -> Vec<&'p OriginalBatch> {
    let taken = |position| report.moved.iter().any(|it| (it.first..=it.last).contains(&position));
    let live = |position| whole.iter().any(|batch| batch.positions.contains(&position));
    let mut found = past.whole(files);
    found
        .retain(|batch| batch.positions.clone().all(|position| taken(position) && !live(position)));
    found
}

/// The log's id, where no header tells it, or only those that tell another one.
fn log_id_to_give(original: &Original, files: &Files) -> Option<quipu::LogId> {
    let segments = files.segments();
    let mut headers = segments.iter().filter_map(|name| {
        let block = files.get(name).unwrap().get(..4096)?;
        SegmentHeader::decode(block).ok()?
    });
    let told = headers.all(|header| header.log_id == original.log_id);
    let any = segments.iter().any(|name| {
        let block = files.get(name).unwrap().get(..4096);
        block.is_some_and(|block| matches!(SegmentHeader::decode(block), Ok(Some(_))))
    });
    (!told || !any).then_some(original.log_id)
}

fn is_unsupported(files: &Files) -> bool {
    use quipu_format::SegmentHeaderError::{FormatVersion, RequiredFeatures};
    files.segments().iter().any(|name| {
        let bytes = files.get(name).unwrap();
        let block = bytes.get(..4096).unwrap_or(bytes);
        matches!(SegmentHeader::decode(block), Err(FormatVersion { .. } | RequiredFeatures { .. }))
    })
}

/// The position at which the new log begins: where the old one does, while that is known.
fn start(original: &Original, files: &Files) -> u64 {
    if original.has_base(files) { original.first.as_u64() } else { 0 }
}

/// The new log opens, is whole, and holds these batches from `start` on, and no others.
fn same_contents(whole: &[&OriginalBatch], start: u64, new: &Path) -> Result<(), String> {
    let log = Log::open_read_only(new).map_err(|error| error.to_string())?;
    let first = log.first_available();
    if first.as_u64() != start {
        return Err(format!("it begins at position {first}"));
    }
    let found: Vec<Contents> =
        log.batches(first..).map(|batch| Contents::of_recorded(&batch.unwrap())).collect();
    let wanted: Vec<&Contents> = whole.iter().map(|batch| &batch.contents).collect();
    if found.iter().collect::<Vec<_>>() != wanted {
        return Err(format!("{} batches instead of {}", found.len(), wanted.len()));
    }
    let report = verify(new).map_err(|error| error.to_string())?;
    if report.ok && report.closed { Ok(()) } else { Err(report.verdict()) }
}

/// What the report says of positions.
fn right_positions(
    original: &Original,
    files: &Files,
    whole: &[&OriginalBatch],
    report: &Report,
    may_lie: bool,
) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {report:?}"));
    let (end, start) = (original.end().as_u64(), start(original, files));
    // If nothing tells where the log began, all in front may have been lost.
    let begin = report.first_available;
    let may_be_unknown = start < original.first.as_u64();
    if report.begins_at != start || begin != original.first.as_u64() && !may_be_unknown {
        return wrong("another beginning");
    }
    let kept: Vec<u64> = whole.iter().flat_map(|batch| batch.positions.clone()).collect();
    let moved: Vec<(u64, u64)> =
        report.moved.iter().flat_map(|it| (it.first..=it.last).zip(it.first_is_now..)).collect();
    if moved != kept.iter().copied().zip(start..).collect::<Vec<_>>() {
        return wrong("positions moved otherwise");
    }
    let reached = kept.last().map_or(begin, |last| last + 1);
    if may_lie && report.events_lost > end {
        // A header with right checksums says that so many have been there: they cannot be listed here.
        return Ok(());
    }
    let told: Vec<u64> = report.lost.iter().flat_map(|lost| lost.first..=lost.last).collect();
    let lost: Vec<u64> = (begin..end).filter(|position| !kept.contains(position)).collect();
    // Behind the last whole batch, only what still has a witness can be told.
    if !lost.starts_with(&told) && !may_lie {
        return wrong("positions told that are not lost");
    }
    if told.len() < lost.iter().filter(|position| **position < reached).count() {
        return wrong("positions lost that are not told");
    }
    let end = report.end.position();
    if end < reached || (reached..end).any(|position| !told.contains(&position)) {
        return wrong("another end");
    }
    if report.end_known && told != lost {
        return wrong("a known end, and more is lost");
    }
    if report.events_lost != told.len() as u64 {
        return wrong("another count");
    }
    let between = told.iter().any(|position| *position < reached);
    if report.ok && (between || report.lost.iter().any(|lost| lost.durable)) {
        return wrong("ok, and events are lost");
    }
    Ok(())
}

/// A salvage that finds nothing wrong means a log that is not damaged, and damage is never passed over.
fn agrees_with_verifier(old: &Path, report: &Report) -> Result<(), String> {
    match verify(old) {
        Ok(verified) if verified.ok && !report.ok => {
            // Something whole stands behind the tear, or a frame behind a header that is not its own.
            let first = report.damage.iter().find(|damage| !damage.fault.contains("no seal"));
            let fine = match (&verified.tail, first) {
                (Tail::Torn { file, offset, .. }, Some(first)) => {
                    (&first.file, first.offset) <= (file, *offset)
                }
                // What was brought back stands where a seal had been, which the verifier does without.
                _ => !report.left.is_empty() && !verified.seals_missing.is_empty(),
            };
            match fine {
                true => Ok(()),
                false => Err(format!("{}\n  {report:?}", verified.verdict())),
            }
        }
        Ok(verified) if !verified.ok && report.ok => {
            Err(format!("{}\n  {report:?}", verified.verdict()))
        }
        Err(_) if report.ok => Err(format!("the verifier refuses: {report:?}")),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// One in so many variants is written to a new log; of the others it is asked what would be.
const WRITTEN_ONE_IN: usize = 12;

/// Compares all variants, on several threads: most of the time goes into syncs.
fn judge(variants: &[(&History, Variant)]) -> Counts {
    let (next, counts) = (AtomicUsize::new(0), Mutex::new(Counts::default()));
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((history, variant)) = variants.get(at) else { break };
                    let write = at.is_multiple_of(WRITTEN_ONE_IN);
                    if let Err(difference) = compare(history, variant, write, &counts) {
                        let text = format!("{}: {difference}", variant.what);
                        differences.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    let shown = differences.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
    counts.into_inner().unwrap()
}

fn rng() -> Rng {
    let seed = std::env::var("QUIPU_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("QUIPU_SEED={seed}");
    Rng::with_seed(seed)
}

#[test]
fn after_every_damage_to_one_file_what_is_whole_is_salvaged() {
    let mut rng = rng();
    let logs = variants::logs();
    let histories: Vec<History> = logs.iter().map(History::of).collect();
    let all: Vec<(&History, Variant)> = histories
        .iter()
        .zip(&logs)
        .flat_map(|(history, log)| {
            variants::single(log, &mut rng).into_iter().map(move |variant| (history, variant))
        })
        .collect();
    let counts = judge(&all);
    println!("{} variants: {counts:?}", all.len());
    let Counts { ok, lost, damaged, refused, .. } = counts;
    assert!([ok, lost, damaged, refused].into_iter().all(|count| count > 10), "{counts:?}");
}

#[test]
fn after_two_damages_at_once_what_is_whole_is_salvaged() {
    let mut rng = rng();
    let logs = variants::logs();
    let histories: Vec<History> = logs.iter().map(History::of).collect();
    let all: Vec<(&History, Variant)> = (0..500)
        .map(|_| {
            let at = rng.usize(..logs.len());
            let mut log = logs[at].clone();
            for _ in 0..2 {
                let variants = variants::single(&log, &mut rng);
                log = variants[rng.usize(..variants.len())].clone();
            }
            (&histories[at], log)
        })
        .collect();
    println!("{} variants: {:?}", all.len(), judge(&all));
}

/// Where devices put what: pages changed places, sectors in the wrong one, old versions of a page.
fn misplaced(log: &Variant, before: &Files) -> Vec<Variant> {
    const PAGE: usize = 4096;
    const SECTOR: usize = 512;
    let mut all = Vec::new();
    let names = log.files.segments();
    let pages: Vec<(&String, usize)> = names
        .iter()
        .flat_map(|name| {
            (0..log.files.get(name).unwrap().len()).step_by(PAGE).map(move |at| (name, at))
        })
        .collect();
    for (number, (name, at)) in pages.iter().copied().enumerate() {
        let page = |files: &Files, name: &str, at: usize, bytes: usize| {
            files.get(name).and_then(|all| all.get(at..at + bytes)).map(<[u8]>::to_vec)
        };
        let mut with = |what: String, change: &dyn Fn(&mut Files)| {
            let mut files = log.files.clone();
            change(&mut files);
            if files != log.files {
                all.push(Variant { what: format!("{}; {name}: {what}", log.what), files });
            }
        };
        for (other, there) in pages.iter().copied().skip(number + 1) {
            with(format!("page at {at} swapped with {there} of {other}"), &|files| {
                let (one, two) = (page(files, name, at, PAGE), page(files, other, there, PAGE));
                files.segment(name)[at..at + PAGE].copy_from_slice(&two.unwrap());
                files.segment(other)[there..there + PAGE].copy_from_slice(&one.unwrap());
            });
        }
        for sector in (at..at + PAGE).step_by(SECTOR) {
            let (other, there) = pages[(number * 7 + sector) % pages.len()];
            let there = there + sector % PAGE;
            with(format!("sector at {sector} written to {there} of {other}, too"), &|files| {
                let bytes = page(files, name, sector, SECTOR).unwrap();
                files.segment(other)[there..there + SECTOR].copy_from_slice(&bytes);
            });
            with(format!("sector at {sector} written to {there} of {other} instead"), &|files| {
                let bytes = page(files, name, sector, SECTOR).unwrap();
                let old = page(before, name, sector, SECTOR).unwrap_or(vec![0; SECTOR]);
                files.segment(name)[sector..sector + SECTOR].copy_from_slice(&old);
                files.segment(other)[there..there + SECTOR].copy_from_slice(&bytes);
            });
            if let Some(old) = page(before, name, sector, SECTOR) {
                with(format!("an old version of the sector at {sector}"), &|files| {
                    files.segment(name)[sector..sector + SECTOR].copy_from_slice(&old);
                });
            }
        }
        if let Some(old) = page(before, name, at, PAGE) {
            with(format!("an old version of the page at {at}"), &|files| {
                files.segment(name)[at..at + PAGE].copy_from_slice(&old);
            });
        }
    }
    if !before.segments().is_empty() {
        for name in before.segments().iter().filter(|name| log.files.get(name).is_some()) {
            let mut files = log.files.clone();
            files.segment(name).copy_from_slice(before.get(name).unwrap());
            all.push(Variant { what: format!("{}; {name}: all of it old", log.what), files });
        }
    }
    all
}

/// A log, and an earlier version of its files: of the same life, or of one whose tail was cut off.
fn with_a_past(cut: bool, rng: &mut Rng) -> (Files, Variant) {
    let options = || options().segment_bytes(16 << 10);
    let append = |log: &Log, life: &str, batches: usize, durability, rng: &mut Rng| {
        for number in 0..batches {
            let payload = vec![rng.u8(..); rng.usize(..900)];
            let batch = Batch::new()
                .durability(durability)
                .event(format!("s-{}", number % 3), Event::new(life, payload).tag("x").id(7_u128))
                .event("all", Event::new(life, "y").metadata("m"));
            log.append(batch).unwrap();
        }
    };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = options().open(first.path()).unwrap();
    append(&log, "first", 12, Durability::Sync, rng);
    let tail = Files::of(first.path());
    append(&log, "first", 24, Durability::Buffered, rng);
    let before = Files::of(first.path());
    let end = log.end();
    let mut after = before.clone();
    if cut {
        // The first batch of the tail has not reached the disk, and all behind it is cut off.
        let (name, at) = first_difference(&tail, &before);
        after.segment(&name)[at..at + 8].fill(0);
    }
    drop(log);
    after.write_to(second.path());
    let log = options().open(second.path()).unwrap();
    assert_eq!(log.end() < end, cut);
    append(&log, "second", 30, Durability::Sync, rng);
    log.close().unwrap();
    let what = format!("a past, cut off: {cut}");
    (before, Variant { what, files: Files::of(second.path()) })
}

fn first_difference(one: &Files, two: &Files) -> (String, usize) {
    let differs = one.segments().into_iter().find_map(|name| {
        let (one, two) = (one.get(&name).unwrap(), two.get(&name).unwrap());
        let at = one.iter().zip(two).position(|(one, two)| one != two)?;
        Some((name, at / 8 * 8))
    });
    differs.unwrap()
}

#[test]
fn what_a_device_has_put_in_the_wrong_place_or_brought_back_is_left_out() {
    let mut rng = rng();
    for cut in [false, true] {
        let (before, log) = with_a_past(cut, &mut rng);
        let past = cut.then(|| Original::of(&before));
        let history = History { past, ..History::of(&log) };
        let all: Vec<(&History, Variant)> =
            misplaced(&log, &before).into_iter().map(|variant| (&history, variant)).collect();
        let counts = judge(&all);
        println!("{} variants: {counts:?}", all.len());
        assert!(counts.brought_back <= all.len() / 20, "{counts:?}");
    }
}

#[test]
fn named_checkpoints_go_over_to_the_new_log() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let log = options().segment_bytes(16 << 10).open(&old).unwrap();
    for number in 1..=40 {
        let event = Event::new("T", vec![number as u8; 600]);
        let batch = Batch::new().checkpoint("often", Position::new(number));
        let batch = if number == 7 { batch.checkpoint("once", Position::new(70)) } else { batch };
        log.append(if number % 3 == 0 { batch } else { batch.event("s", event) }).unwrap();
    }
    log.close().unwrap();
    // The frame of a batch in the middle is lost.
    let mut files = Files::of(&old);
    let name = files.segments()[0].clone();
    files.segment(&name)[4096 + 1000] ^= 1;
    std::fs::remove_dir_all(&old).unwrap();
    std::fs::create_dir(&old).unwrap();
    files.write_to(&old);
    let request = Request {
        directory: old,
        to: Some(new.clone()),
        dry_run: false,
        log_id: None,
        segment_bytes: None,
    };
    let report = salvage(&request).unwrap();
    assert!(!report.ok && report.written, "{report}");
    let told = |(name, at): (&str, u64)| (name.to_owned(), at);
    assert!(report.checkpoints.into_iter().eq([("often", 40), ("once", 70)].map(told)));
    let log = Log::open(&new).unwrap();
    assert_eq!(log.checkpoint("often"), Some(Position::new(40)));
    assert_eq!(log.checkpoint("once"), Some(Position::new(70)));
    assert_eq!(log.end().as_u64(), report.events);
}
