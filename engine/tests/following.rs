//! Goal: a log that is open for reading only shows what its writer has made durable, at once and nothing
//! else, over roll-overs, ends and returns of the writer, whether the writer says so or only its frames.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::future::poll_fn;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use quipu::Durability::Buffered;
use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{Batch, Delivery, Event, Log, NothingYet, Options, Position, StoreMode};

#[path = "common/support.rs"]
mod support;
use support::{
    LONG, block_on, child, child_value, dense, one, payloads, plain, poll_until, program,
    without_hanging,
};

/// Rolls over often, and marks nothing by itself.
fn options() -> Options {
    Log::options().segment_bytes(16 << 10).idle_mark_after(Duration::from_secs(3_600))
}

fn numbered(number: u64) -> Batch {
    let payload = format!("{number} {}", "x".repeat((number % 7 * 100) as usize));
    let event = Event::new("T", payload).tag(format!("mod:{}", number % 3));
    Batch::new().event(format!("s-{}", number % 5), event)
}

#[test]
fn what_is_durable_is_seen_at_once_in_every_way_of_reading() {
    for mode in [StoreMode::Mapped, StoreMode::Positioned] {
        let dir = tempfile::tempdir().unwrap();
        let writer = options().store_mode(mode).open(dir.path()).unwrap();
        writer.append(numbered(0)).unwrap();
        let reader = Log::open_read_only(dir.path()).unwrap();
        assert_eq!(reader.end(), Position::new(1), "before any later frame says so");
        for number in 1..200 {
            writer.append(numbered(number)).unwrap();
            assert_eq!(reader.end(), Position::new(number + 1), "{mode:?}");
            assert_eq!(reader.synced_end(), reader.end());
            let stream = format!("s-{}", number % 5);
            assert_eq!(reader.stream_version(&stream), Some((number / 5).into()));
        }
        assert!(reader.recovery_report().segments < 3 && dir.path().join(name(3)).exists());
        assert_eq!(dense(&reader), dense(&writer));
        let all = plain(writer.read(..).backward());
        assert_eq!(plain(reader.read(..).backward()), all);
        assert_eq!(reader.batches(..).count(), 200);
        assert_eq!(reader.batches(..).backward().count(), 200);
        for stream in ["s-0", "s-4", "missing"] {
            let expected = plain(writer.read_stream(stream, ..));
            assert_eq!(plain(reader.read_stream(stream, ..)), expected);
        }
        let tagged = plain(writer.read(..).tag("mod:1"));
        assert_eq!((plain(reader.read(..).tag("mod:1")), tagged.len()), (tagged, 67));
    }
}

#[test]
fn what_is_not_durable_is_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    // One segment: a full one is synced in the background.
    let writer = options().segment_bytes(1 << 20).open(dir.path()).unwrap();
    let reader = Log::open_read_only(dir.path()).unwrap();
    for round in 1..=5 {
        for number in 0..20 {
            writer.append(numbered(number).durability(Buffered)).unwrap();
            assert_eq!(reader.end(), Position::new(20 * (round - 1)));
            assert_eq!(reader.end(), Log::open_read_only(dir.path()).unwrap().end());
        }
        writer.sync().unwrap();
        assert_eq!(reader.end(), Position::new(20 * round));
    }
    assert_eq!(dense(&reader), dense(&writer));
}

#[test]
fn a_subscription_follows_the_writer_from_one_life_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let open = || options().open(dir.path()).unwrap();
    let writer = open();
    for number in 0..10 {
        writer.append(numbered(number)).unwrap();
    }
    let reader = Log::open_read_only(dir.path()).unwrap();
    let mut all = reader.subscribe(Position::new(3)).start();
    let mut stream = reader.subscribe_stream("s-1", 0.into());
    let positions = |count: usize, from: &mut quipu::Subscription| {
        let next =
            |_| from.next_timeout(LONG).expect("in time").expect("goes on").unwrap().resume_from();
        (0..count).map(next).map(Position::as_u64).collect::<Vec<_>>()
    };
    assert_eq!(positions(8, &mut all), [4, 5, 6, 7, 8, 9, 10, 10], "and caught up");
    assert_eq!(positions(3, &mut stream), [2, 7, 10]);
    for subscription in [&mut all, &mut stream] {
        assert_eq!(subscription.next_timeout(Duration::from_millis(3)).unwrap_err(), NothingYet);
    }
    writer.append(numbered(10)).unwrap();
    assert_eq!(positions(1, &mut all), [11]);
    writer.close().unwrap();
    assert_eq!(all.next_timeout(Duration::from_millis(3)).unwrap_err(), NothingYet);
    let writer = open();
    let appending = thread::spawn(move || {
        for number in 11..100 {
            writer.append(numbered(number)).unwrap();
        }
    });
    assert_eq!(positions(89, &mut all), (12..=100).collect::<Vec<_>>());
    assert_eq!(positions(18, &mut stream), (2..20).map(|at| at * 5 + 2).collect::<Vec<_>>());
    appending.join().unwrap();
    let canceller = all.canceller();
    let waiting = thread::spawn(move || all.next());
    canceller.cancel();
    assert!(waiting.join().unwrap().is_none());
    reader.close().unwrap();
    assert!(stream.next().is_none(), "closed");
}

#[test]
fn a_stream_of_futures_is_woken_by_another_process_s_writer() {
    let dir = tempfile::tempdir().unwrap();
    let writer = options().open(dir.path()).unwrap();
    let reader = Log::open_read_only(dir.path()).unwrap();
    let mut subscription = reader.subscribe(Position::ZERO).start();
    let appending = thread::spawn(move || {
        for number in 0..100 {
            writer.append(numbered(number)).unwrap();
            if number % 10 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let seen = without_hanging(move || {
        block_on(async {
            let mut seen = Vec::new();
            while seen.len() < 100 {
                let next = poll_fn(|context| Pin::new(&mut subscription).poll_next(context)).await;
                seen.extend(next.unwrap().unwrap().into_event());
            }
            seen
        })
    });
    assert!(seen.iter().map(|event| event.position().as_u64()).eq(0..100));
    appending.join().unwrap();
}

#[test]
fn where_the_writer_says_nothing_its_frames_do() {
    let dir = tempfile::tempdir().unwrap();
    let writer = options().idle_mark_after(Duration::from_millis(1)).open(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("SYNCED")).unwrap();
    let reader = Log::open_read_only(dir.path()).unwrap();
    let mut subscription = reader.subscribe(Position::ZERO).start();
    for number in 0..60 {
        writer.append(numbered(number)).unwrap();
        let seen = reader.end().as_u64();
        assert!(seen <= number + 1);
        if number % 10 == 9 {
            // The mark of an idle log is the last to say so.
            poll_until("the mark", || (reader.end().as_u64() == number + 1).then_some(()));
        }
    }
    let events = subscription.by_ref().filter_map(|next| next.unwrap().into_event()).take(60);
    assert_eq!(plain(events.map(Ok)), dense(&writer));
    // A page that is made anew is found.
    writer.close().unwrap();
    let writer = options().open(dir.path()).unwrap();
    writer.append(numbered(60)).unwrap();
    poll_until("the new page", || (reader.end() == Position::new(61)).then_some(()));
    writer.append(numbered(61)).unwrap();
    assert_eq!(reader.end(), Position::new(62));
}

#[test]
fn where_the_writer_says_nothing_what_is_stored_and_not_synced_is_not_seen() {
    let disk = SimDisk::new(3);
    disk.fail(FaultPlan::new(Operation::Open, Errno::Io).on_files_with("SYNCED"));
    let writer = Log::open_simulated(&disk, Log::options()).unwrap();
    disk.heal();
    writer.append(numbered(0)).unwrap();
    let reader = Log::open_simulated_read_only(&disk.beside(), Log::options()).unwrap();
    assert_eq!(reader.end(), Position::ZERO);
    for number in 1..20 {
        writer.append(numbered(number).durability(Buffered)).unwrap();
        assert_eq!(reader.end(), Position::new(1), "the frames behind it say so");
    }
    writer.sync().unwrap();
    writer.append(numbered(20).durability(Buffered)).unwrap();
    assert_eq!(reader.end(), Position::new(20));
}

/// What a subscription gives next, in time.
fn next(subscription: &mut quipu::Subscription) -> Result<Delivery, quipu::ReadError> {
    let in_time = subscription.next_timeout(LONG / 6);
    in_time.expect("something comes, or is told").expect("it does not end")
}

/// Word `at` of the page.
fn word(directory: &Path, at: u64) -> u64 {
    let mut bytes = [0; 8];
    let page = std::fs::File::open(directory.join("SYNCED")).unwrap();
    page.read_exact_at(&mut bytes, at * 8).unwrap();
    u64::from_le_bytes(bytes)
}

/// Puts a whole claim into the page: of `boot`, the log's own id and session, with `position`.
fn forge(directory: &Path, changed: &[(u64, u64)]) {
    let mut words: Vec<u64> = (0..8).map(|at| word(directory, at)).collect();
    for (at, value) in changed {
        words[*at as usize] = *value;
    }
    let covered = words[..7].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    words[7] = u64::from(crc32c(&covered));
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let page = std::fs::File::options().write(true).open(directory.join("SYNCED")).unwrap();
    page.write_all_at(&bytes, 0).unwrap();
}

/// Bit by bit, as the polynomial says.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 }
        })
    })
}

/// Places of words in the page.
const BOOT: u64 = 1;
const LOG_ID: u64 = 3;
const SESSION: u64 = 5;
const POSITION: u64 = 6;

#[test]
fn a_claim_of_another_boot_or_log_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let writer = options().open(dir.path()).unwrap();
    writer.append(numbered(0)).unwrap();
    let before = Log::open_read_only(dir.path()).unwrap();
    assert_eq!(before.end(), Position::new(1));
    // Stored and not synced: whoever is shown it has believed too much.
    for number in 1..9 {
        writer.append(numbered(number).durability(Buffered)).unwrap();
    }
    let own: Vec<u64> = (0..8).map(|at| word(dir.path(), at)).collect();
    for wrong in [BOOT, LOG_ID] {
        let word = |at: u64| (at, own[at as usize] ^ u64::from(at == wrong));
        forge(dir.path(), &[word(BOOT), word(LOG_ID), (POSITION, 9)]);
        for reader in [&before, &Log::open_read_only(dir.path()).unwrap()] {
            thread::sleep(Duration::from_millis(60)); // longer than between two thorough looks
            assert_eq!(reader.end(), Position::new(1), "{wrong:?}");
        }
    }
    // The test can tell: the same claim of this boot, log and session is taken.
    forge(dir.path(), &[(BOOT, own[1]), (LOG_ID, own[3]), (POSITION, 9)]);
    assert_eq!(before.end(), Position::new(9));
}

/// Not a test by itself: a writer that dies with a tail that no sync has covered.
#[test]
fn child_that_leaves_a_tail() {
    let Some(directory) = child_value() else { return };
    let log = options().open(&directory).unwrap();
    log.append(numbered(0)).unwrap();
    for number in 1..9 {
        log.append(numbered(number).durability(Buffered)).unwrap();
    }
    std::fs::write(Path::new(&directory).join("ready"), "").unwrap();
    thread::sleep(LONG);
}

#[test]
fn a_claim_that_no_live_writer_vouches_for_is_not_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = child(&program(), "child_that_leaves_a_tail", dir.path());
    let mut writer = writer.stdout(std::process::Stdio::null()).spawn().unwrap();
    poll_until("the tail", || dir.path().join("ready").exists().then_some(()));
    let reader = Log::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.end(), Position::new(1));
    writer.kill().unwrap();
    writer.wait().unwrap();
    forge(dir.path(), &[(SESSION, word(dir.path(), SESSION) ^ 1), (POSITION, 9)]);
    thread::sleep(Duration::from_millis(60)); // longer than between two thorough looks
    assert_eq!(reader.end(), Position::new(1), "a dead writer's, of a session never met");
    let next = options().open(dir.path()).unwrap();
    assert_eq!((next.end(), reader.end()), (Position::new(9), Position::new(9)));
}

#[test]
fn a_claim_beyond_what_is_there_shows_nothing_and_is_told_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let writer = options().open(dir.path()).unwrap();
    writer.append(numbered(0)).unwrap();
    let reader = Log::open_read_only(dir.path()).unwrap();
    let mut subscription = reader.subscribe(Position::new(1)).start();
    assert!(matches!(subscription.next(), Some(Ok(Delivery::CaughtUp { .. }))));
    forge(dir.path(), &[(POSITION, 5)]);
    assert_eq!(reader.end(), Position::new(1));
    let before = Instant::now();
    let told = next(&mut subscription).unwrap_err().to_string();
    assert!(before.elapsed() > Duration::from_millis(500), "not at the first look");
    assert!(told.contains("is damaged at offset") && told.contains("position 1"), "{told}");
    assert!(subscription.next().is_none());
    // Once it is there, all goes on.
    for number in 1..5 {
        writer.append(numbered(number)).unwrap();
    }
    assert_eq!(reader.end(), Position::new(5));
    assert_eq!(reader.subscribe(Position::ZERO).into_iter().take(6).count(), 6);
}

#[test]
fn a_log_that_was_put_back_is_told_to_whoever_has_seen_more() {
    let dir = tempfile::tempdir().unwrap();
    let writer = options().open(dir.path()).unwrap();
    writer.append(numbered(0)).unwrap();
    let old = std::fs::read(dir.path().join(name(0))).unwrap();
    for number in 1..5 {
        writer.append(numbered(number)).unwrap();
    }
    let reader = Log::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.end(), Position::new(5));
    writer.close().unwrap();
    std::fs::remove_file(dir.path().join(name(0))).unwrap();
    std::fs::write(dir.path().join(name(0)), old).unwrap();
    let writer = options().open(dir.path()).unwrap();
    assert_eq!(writer.end(), Position::new(1));
    assert_eq!(reader.end(), Position::new(5), "what was seen is seen");
    let mut subscription = reader.subscribe(Position::new(5)).start();
    let told = loop {
        match next(&mut subscription) {
            Ok(Delivery::CaughtUp { .. }) => {}
            told => break told.unwrap_err().to_string(),
        }
    };
    assert_eq!(told, "the log ends at position 1, and had been read up to 5: open it again");
}

#[test]
fn a_subscription_to_a_damaged_log_ends_once_it_has_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let writer = options().open(dir.path()).unwrap();
    for number in 0..5 {
        writer.append(numbered(number)).unwrap();
    }
    writer.close().unwrap();
    let file = std::fs::File::options().write(true).open(dir.path().join(name(0))).unwrap();
    file.write_all_at(&[0xFF], 4096 + 60).unwrap();
    let reader = Log::open_read_only(dir.path()).unwrap();
    assert!(reader.recovery_report().damage.is_some());
    assert_eq!(reader.subscribe(Position::ZERO).into_iter().count(), 1, "caught up, and no more");
}

/// Not a test by itself: the writer that is killed.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(directory) = child_value() else { return };
    let log = options().open(directory).unwrap();
    for number in log.end().as_u64().. {
        let durability = if number % 4 == 3 { Buffered } else { quipu::Durability::Sync };
        log.append(numbered(number).durability(durability)).unwrap();
    }
}

#[test]
fn a_reader_lives_through_fifty_killed_writers_and_sees_exactly_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    println!("seed {}", random.get_seed());
    options().open(dir.path()).unwrap().close().unwrap();
    let reader = Log::open_read_only(dir.path()).unwrap();
    let stopped = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let following = scope.spawn(|| {
            let mut seen = Vec::new();
            let mut subscription = reader.subscribe(Position::ZERO).start();
            loop {
                match subscription.next_timeout(Duration::from_millis(50)) {
                    Ok(next) => seen.extend(next.unwrap().unwrap().into_event()),
                    Err(NothingYet) if stopped.load(Ordering::SeqCst) => return seen,
                    Err(NothingYet) => {}
                }
            }
        });
        for _ in 0..50 {
            let mut writer = child(&program(), "child_that_appends_until_it_is_killed", dir.path());
            let mut writer = writer.stdout(std::process::Stdio::null()).spawn().unwrap();
            let (before, deadline) = (reader.end(), Instant::now() + LONG);
            while reader.end() == before {
                assert!(Instant::now() < deadline, "nothing comes");
                thread::sleep(Duration::from_micros(50));
            }
            thread::sleep(Duration::from_micros(random.u64(0..5_000)));
            writer.kill().unwrap();
            writer.wait().unwrap();
            // What is shown is durable: the next recovery finds it, and no other.
            let (shown, found) = (reader.end(), Log::open_read_only(dir.path()).unwrap());
            assert!(shown <= found.end(), "{shown} of {}", found.end());
            let events = plain(reader.read(..));
            assert_eq!(events, plain(found.read(..shown)));
        }
        stopped.store(true, Ordering::SeqCst);
        following.join().unwrap()
    });
    let log = options().open(dir.path()).unwrap();
    let seen = plain(seen.into_iter().map(Ok));
    assert!(seen.len() > 50 && seen.len() as u64 <= log.end().as_u64());
    assert_eq!(seen, dense(&log)[..seen.len()]);
    assert_eq!(dense(&reader), dense(&log), "and the last writer's too");
    assert!(dir.path().join(name(2)).exists(), "it rolls over");
}

#[test]
fn on_the_simulated_disk_no_power_cut_takes_back_what_was_shown() {
    let options = || Log::options().segment_bytes(8 << 10);
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let log = Log::open_simulated(&disk, options()).unwrap();
        let reader = Log::open_simulated_read_only(&disk.beside(), options()).unwrap();
        disk.record_crash_points(true);
        let mut shown = 0;
        for number in 0..20 {
            let durability =
                if number % 3 == seed % 3 { Buffered } else { quipu::Durability::Sync };
            log.append(numbered(number).durability(durability)).unwrap();
            for machine in disk.take_crash_points() {
                // Before each effect: one who comes then, and who has been there.
                let fresh = Log::open_simulated_read_only(&machine.beside(), options()).unwrap();
                let shown = shown.max(fresh.end().as_u64());
                let left = machine.if_rebooted(&Survivors::None);
                let found = Log::open_simulated(&left, options()).unwrap();
                assert!(found.end().as_u64() >= shown, "seed {seed}, batch {number}");
                assert_eq!(payloads(found.read(..fresh.end())), payloads(fresh.read(..)));
            }
            shown = reader.end().as_u64();
            assert_eq!(shown, log.synced_end().as_u64(), "seed {seed}, batch {number}");
        }
        let disk = disk.restart_process();
        let log = Log::open_simulated(&disk, options()).unwrap();
        log.append(one("s", "after the writer was killed")).unwrap();
        assert_eq!(dense(&reader), dense(&log));
    }
}

fn name(sequence: u64) -> String {
    format!("{sequence:020}.seg")
}
