//! A projection that is never seen half way, and one that does its work once: `cargo run --example projection`.
//!
//! The balances of a bank live in memory. Every transfer is a batch of two events, and the view takes
//! batches whole: whoever looks at it, whenever, sees no money on its way. The mailer writes a letter
//! for each transfer. It commits its letter and how far it has come in one batch, so that a mailer
//! that is stopped anywhere and started again writes no letter twice and leaves none out.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quipu::{Batch, Durability, Event, Log, Position};

type Failure = Box<dyn Error + Send + Sync>;

const TRANSFERS: u64 = 300;

/// All balances, as of some position.
#[derive(Debug, Default)]
struct Balances {
    by_account: BTreeMap<String, i64>,
    position: Position,
}

/// Takes in what has come, batch by batch, each in one step.
fn catch_up(log: &Log, view: &RwLock<Balances>) -> Result<(), Failure> {
    let from = view.read().map_err(|_| "poisoned")?.position;
    for batch in log.batches(from..) {
        let batch = batch?;
        let mut view = view.write().map_err(|_| "poisoned")?;
        for event in batch.events()? {
            let event = event?;
            let amount = i64::from(event.payload().first().copied().unwrap_or_default());
            let account = match event.event_type() {
                "Withdrawn" | "Deposited" => event.stream().to_owned(),
                _ => continue,
            };
            let signed = if event.event_type() == "Deposited" { amount } else { -amount };
            *view.by_account.entry(account).or_default() += signed;
        }
        view.position = batch.last_position().plus(1);
    }
    Ok(())
}

/// Keeps the view up to date until the log is closed.
fn follow(log: &Log, view: &RwLock<Balances>) -> Result<(), Failure> {
    // Subscribed first: what comes while the view catches up wakes it again.
    for delivery in log.subscribe(Position::ZERO).start() {
        if delivery?.resume_from() > view.read().map_err(|_| "poisoned")?.position {
            catch_up(log, view)?;
        }
    }
    Ok(())
}

/// Writes letters, at most so many, from where the last mailer has stopped.
fn mail(log: &Log, most: usize) -> Result<usize, Failure> {
    let from = log.checkpoint("mailer").unwrap_or_default();
    let mut letters = 0;
    for event in log.read(from..).event_type("Withdrawn").limit(most as u64) {
        let event = event?;
        let letter = format!("position {}: money has left {}", event.position(), event.stream());
        let batch = Batch::new()
            .event("letters", Event::new("LetterWritten", letter.as_str()))
            .checkpoint("mailer", event.position().plus(1));
        log.append(batch)?; // of two mailers at once, one is refused here
        letters += 1;
    }
    Ok(letters)
}

fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let log = Log::open(directory.path())?;
    let (view, is_over) = (RwLock::new(Balances::default()), AtomicBool::new(false));
    let looks = thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&log, &view));
        let looking = scope.spawn(|| {
            let mut looks = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                let sum: i64 = view.read().map_err(|_| "poisoned")?.by_account.values().sum();
                assert_eq!(sum, 0, "money is never on its way");
                looks += 1;
                thread::sleep(Duration::from_micros(50));
            }
            Ok::<_, Failure>(looks)
        });
        for number in 0..TRANSFERS {
            let (from, to) = (format!("account-{}", number % 7), format!("account-{}", number % 5));
            let amount = [number as u8];
            let batch = Batch::new()
                .durability(Durability::Buffered)
                .event(&from, Event::new("Withdrawn", &amount))
                .event(&to, Event::new("Deposited", &amount));
            log.append(batch)?;
        }
        let mut letters = 0;
        while letters < TRANSFERS as usize {
            letters += mail(&log, 40)?; // a mailer that is stopped after every 40 letters
        }
        assert_eq!((mail(&log, 40)?, letters), (0, TRANSFERS as usize));
        log.clone().close()?; // ends the subscription, once it has given everything
        follower.join().map_err(|_| "the follower has panicked")??;
        is_over.store(true, Ordering::Relaxed);
        looking.join().map_err(|_| "who looks has panicked")?
    })?;
    let view = view.into_inner()?;
    assert_eq!(view.position, Position::new(3 * TRANSFERS));
    println!("{TRANSFERS} transfers and letters, {looks} looks: money was never on its way");
    Ok(())
}

#[test]
fn the_view_is_whole_and_letters_are_written_once() {
    main().expect("the example runs");
}
