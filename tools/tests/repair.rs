//! Goal: repair keeps every batch that verifies, invents none, keeps the originals, and touches nothing
//! of a damaged log; on a torn tail by hand, and on 1,000 logs that were damaged at random.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{fine, import, line, quipu, text};
use fastrand::Rng;
use quipu::{Batch, Durability, Event, Log, Position};
use quipu_tools::repair::repair;
use quipu_tools::verify::{Tail, verify};

const COPIES: usize = 1_000;

type Files = BTreeMap<String, Vec<u8>>;

fn files(directory: &Path) -> Files {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    named.collect()
}

fn put(directory: &Path, files: &Files) {
    fs::create_dir(directory).unwrap();
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).unwrap();
    }
}

fn payloads(directory: &Path) -> Vec<Vec<u8>> {
    let log = Log::open_read_only(directory).unwrap();
    let kept = log.read(log.first_available()..).into_iter();
    kept.map(|event| event.unwrap().payload().to_vec()).collect()
}

/// A small log of several segments whose writer was killed: some of it is proved durable, some not. The
/// front may have been dropped.
fn killed(truncated: bool) -> Files {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("log");
    let open = || Log::options().segment_bytes(8 << 10).open(&directory).unwrap();
    let mut log = open();
    for number in 0..24_u8 {
        if truncated && number == 20 {
            // An opening makes every index that dropping needs.
            log.close().unwrap();
            log = open();
            let dropped = log.truncate_before(Position::new(19)).unwrap();
            assert!(dropped.segments > 0 && dropped.files_left == 0, "{dropped:?}");
        }
        let payload = vec![number; 100 + 20 * usize::from(number)];
        let durability = if number % 5 == 0 { Durability::Sync } else { Durability::Buffered };
        let batch = Batch::new().durability(durability);
        log.append(batch.event(format!("s-{}", number % 3), Event::new("T", payload))).unwrap();
    }
    let files = files(&directory);
    log.close().unwrap();
    files
}

/// Does to some file what disks, cables and people do.
fn damage(files: &mut Files, rng: &mut Rng) -> String {
    let counts = |name: &&String| name.ends_with(".seg") || name.contains(".base");
    let names: Vec<String> = files.keys().filter(counts).cloned().collect();
    let name = names[rng.usize(..names.len())].clone();
    let bytes = files.get_mut(&name).unwrap();
    // Mostly where something stands.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    let at = if rng.u8(..) < 220 { rng.usize(..used) } else { rng.usize(..bytes.len()) };
    match rng.u8(0..6) {
        0 | 1 => {
            bytes[at] ^= 1 << rng.u8(..8);
            format!("{name}: a bit at {at}")
        }
        2 => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
            format!("{name}: zeros at {at}")
        }
        3 => {
            bytes[at..].fill(0);
            format!("{name}: nothing from {at} on")
        }
        4 => {
            let end = (used + 100).min(bytes.len());
            bytes[used.min(end)..end].fill_with(|| rng.u8(..));
            format!("{name}: noise behind {used}")
        }
        _ => {
            files.remove(&name);
            format!("{name}: removed")
        }
    }
}

#[test]
fn a_torn_tail_is_said_then_cut_off_and_kept() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("log");
    let lines: String = (0..3).map(|data| line("s", data)).collect();
    assert_eq!(import(&directory, &lines).code, 0);
    let whole = payloads(&directory);
    let segment = directory.join("00000000000000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[used + 8..used + 108].fill(7);
    fs::write(&segment, bytes).unwrap();
    let before = files(&directory);

    let said = fine(&["repair", text(&directory)]);
    assert!(said.contains("kept: 3 events") && said.contains("to do: cut"), "{said}");
    assert_eq!(files(&directory), before, "a dry run changes nothing");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);

    let done = fine(&["repair", "--apply", text(&directory)]);
    assert!(done.contains("done: cut"), "{done}");
    assert_eq!(verify(&directory).unwrap().tail, Tail::Clean);
    assert_eq!(payloads(&directory), whole);
    let originals = done.lines().last().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(
        files(Path::new(originals))["00000000000000000000.seg"],
        before["00000000000000000000.seg"]
    );
    assert!(fine(&["repair", "--apply", text(&directory)]).contains("nothing to repair"));
}

#[test]
fn a_log_in_use_is_left_to_its_writer() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("log");
    put(&directory, &killed(false));
    let log = Log::open(&directory).unwrap();
    let mut bytes = fs::read(directory.join("00000000000000000000.seg")).unwrap();
    bytes.truncate(0);
    fs::write(directory.join("00000000000000000009.seg.tmp"), bytes).unwrap();
    let ran = quipu(&["repair", "--apply", text(&directory)]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("in use"), "{}", ran.err);
    log.close().unwrap();
}

#[test]
fn no_batch_that_verifies_is_lost_or_invented_in_a_thousand_damaged_logs() {
    let seed = std::env::var("QUIPU_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("QUIPU_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("log");
    let logs = [killed(false), killed(true)].map(|whole| {
        put(&directory, &whole);
        let (all, report) = (payloads(&directory), verify(&directory).unwrap());
        fs::remove_dir_all(&directory).unwrap();
        let (first, proved) = (report.first_available, report.synced_position);
        assert!(proved > first && proved < report.events, "{proved} of {}", report.events);
        (whole, first, all)
    });
    assert!(logs[0].1 == 0 && logs[1].1 > 0);
    let (mut repaired, mut damaged, mut refused) = (0, 0, 0);
    for (copy, (whole, first, all)) in (0..COPIES).zip(logs.iter().cycle()) {
        fs::remove_dir_all(place.path()).unwrap();
        fs::create_dir(place.path()).unwrap();
        let mut files_now = whole.clone();
        let what = damage(&mut files_now, &mut rng);
        put(&directory, &files_now);
        let outcome = repair(&directory, true);
        let Ok(outcome) = outcome else {
            // Not to be judged as a log at all: a file is none of it.
            assert_eq!(files(&directory), files_now, "{copy}: {what}");
            refused += 1;
            continue;
        };
        let kept = usize::try_from(outcome.found.events - first).unwrap();
        if outcome.is_damaged() {
            assert_eq!(files(&directory), files_now, "{copy}: {what}");
            assert!(outcome.originals.is_none());
            damaged += 1;
            continue;
        }
        assert_eq!(payloads(&directory), all[..kept], "{copy}: {what}");
        if let Some(originals) = &outcome.originals {
            repaired += 1;
            for (name, bytes) in files(originals) {
                assert_eq!(Some(&bytes), files_now.get(&name), "{copy}: {what}: {name}");
            }
            let again = verify(&directory).unwrap();
            assert_eq!(
                (again.events, again.tail),
                (outcome.found.events, Tail::Clean),
                "{copy}: {what}"
            );
            // A file that was not kept has only got frames where nothing stood.
            let unkept = |name: &String| name.ends_with(".seg") && !originals.join(name).is_file();
            for (name, bytes) in files(&directory).iter().filter(|(name, _)| unkept(name)) {
                let Some(before) = files_now.get(name) else { continue };
                let grown = before.iter().zip(bytes).all(|(old, new)| *old == 0 || old == new);
                assert!(grown, "{copy}: {what}: {name}");
            }
        }
        // It goes on from there.
        let log = Log::options().segment_bytes(8 << 10).open(&directory).unwrap();
        assert_eq!(log.end().as_u64(), outcome.found.events);
        log.append(Batch::new().event("s-0", Event::new("T", "more"))).unwrap();
        log.close().unwrap();
    }
    println!("{repaired} repaired, {damaged} damaged, {refused} refused");
    assert!(repaired > 20 && damaged > 20, "{repaired} repaired, {damaged} damaged");
}
