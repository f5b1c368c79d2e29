//! A small store built on Quipu that crash-tests itself: `cargo run --example crash_test_your_store`.
//!
//! The store is a ledger. A transfer is one batch with an event for either account; the balances are
//! a projection in memory, made again from the log when the ledger is opened. The test cuts the power
//! at a drawn moment, lets the disk keep any part of what was not synced, opens the ledger again and
//! checks what it promises. With `-- --forget-to-sync` the ledger acknowledges transfers that no
//! sync has made durable: the test finds that at once.

use std::collections::BTreeMap;
use std::error::Error;

use quipu::sim::{SimDisk, Survivors};
use quipu::{AppendError, Batch, Durability, Event, Log, ReadError};

/// The same seed gives the same run, with three power cuts.
const SEEDS: u64 = 500;

#[derive(Debug, Clone, PartialEq)]
struct Transfer {
    from: String,
    to: String,
    amount: i64,
}

/// The store. It takes its log from `Log::open` as well as from `Log::open_simulated`.
struct Ledger {
    log: Log,
    balances: BTreeMap<String, i64>,
}

impl Ledger {
    fn new(log: Log) -> Result<Self, ReadError> {
        let mut ledger = Self { log, balances: BTreeMap::new() };
        for transfer in ledger.transfers()? {
            ledger.apply(&transfer);
        }
        Ok(ledger)
    }

    /// Moves money. Once this has returned, the transfer survives a power cut.
    fn transfer(&mut self, transfer: &Transfer) -> Result<(), AppendError> {
        let (Transfer { from, to, amount }, log) = (transfer, &self.log);
        let batch = Batch::new()
            .expect(from, log.expect_unchanged(from))
            .event(from, Event::new("Withdrawn", &amount.to_le_bytes()))
            .event(to, Event::new("Deposited", &amount.to_le_bytes()));
        log.append(batch)?;
        self.apply(transfer); // the projection follows the log, never the other way round
        Ok(())
    }

    fn apply(&mut self, Transfer { from, to, amount }: &Transfer) {
        *self.balances.entry(from.clone()).or_default() -= amount;
        *self.balances.entry(to.clone()).or_default() += amount;
    }

    /// All transfers, as the log has them.
    fn transfers(&self) -> Result<Vec<Transfer>, ReadError> {
        let (mut transfers, mut from) = (Vec::new(), String::new());
        for event in self.log.read(..) {
            let event = event?;
            match (event.event_type(), event.payload().try_into().map(i64::from_le_bytes)) {
                ("Deposited", Ok(amount)) => {
                    let (from, to) = (from.clone(), event.stream().to_owned());
                    transfers.push(Transfer { from, to, amount });
                }
                _ => event.stream().clone_into(&mut from),
            }
        }
        Ok(transfers)
    }
}

/// Runs a ledger that the power cut ends twice, perhaps in the middle of recovery, and then once
/// more. Gives how many transfers there are at the end.
fn crash_test(seed: u64, durability: Durability) -> Result<usize, Box<dyn Error>> {
    let (mut rng, mut disk) = (fastrand::Rng::with_seed(seed), SimDisk::new(seed));
    let options = Log::options().segment_bytes(8 << 10).durability(durability);
    let (mut acknowledged, mut in_doubt) = (Vec::new(), None);
    for effects_until_the_power_cut in [rng.u64(0..100), rng.u64(0..100), u64::MAX] {
        disk.crash_after(effects_until_the_power_cut);
        match Log::open_simulated(&disk, options.clone()) {
            Ok(log) => {
                let mut ledger = Ledger::new(log)?;
                check(seed, &ledger, &mut acknowledged, &mut in_doubt)?;
                for _ in 0..100 {
                    let [from, to] = [rng.u8(0..5), rng.u8(5..9)].map(|n| format!("account-{n}"));
                    let transfer = Transfer { from, to, amount: rng.i64(1..100) };
                    in_doubt = Some(transfer.clone());
                    if ledger.transfer(&transfer).is_err() {
                        break;
                    }
                    acknowledged.extend(in_doubt.take());
                }
                let replayed = Ledger::new(ledger.log.clone())?.balances;
                assert_eq!(ledger.balances, replayed, "seed {seed}: not what the log says");
            }
            Err(error) if !disk.is_down() => return Err(error.into()),
            Err(_) => {} // the power cut came while the log was being opened
        }
        disk = disk.reboot(&Survivors::Random);
    }
    let ledger = Ledger::new(Log::open_simulated(&disk, options)?)?;
    check(seed, &ledger, &mut acknowledged, &mut in_doubt)?;
    Ok(acknowledged.len())
}

/// What was acknowledged is there, and besides at most the one transfer that the power cut
/// interrupted; the balances add up. What was found is there for good.
fn check(
    seed: u64,
    ledger: &Ledger,
    acknowledged: &mut Vec<Transfer>,
    in_doubt: &mut Option<Transfer>,
) -> Result<(), ReadError> {
    let found = ledger.transfers()?;
    let lost = acknowledged.len().saturating_sub(found.len());
    assert!(lost == 0, "seed {seed}: {lost} acknowledged transfers are gone");
    acknowledged.extend(in_doubt.take());
    assert!(acknowledged.starts_with(&found), "seed {seed}: a transfer that nobody asked for");
    let sum: i64 = ledger.balances.values().sum();
    assert_eq!(sum, 0, "seed {seed}: money was made or lost");
    *acknowledged = found;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let forgets = std::env::args().any(|argument| argument == "--forget-to-sync");
    let durability = if forgets { Durability::Buffered } else { Durability::Sync };
    let mut transfers = 0;
    for seed in 0..SEEDS {
        transfers += crash_test(seed, durability)?;
    }
    println!("{SEEDS} seeds, {} power cuts, {transfers} transfers: none was lost", 3 * SEEDS);
    Ok(())
}

#[test]
fn the_ledger_keeps_what_it_has_acknowledged() {
    for seed in 0..100 {
        assert!(crash_test(seed, Durability::Sync).is_ok_and(|transfers| transfers >= 100));
    }
}

#[test]
#[should_panic(expected = "acknowledged transfers are gone")]
fn a_ledger_that_forgets_to_sync_is_found_out() {
    (0..100).for_each(|seed| drop(crash_test(seed, Durability::Buffered)));
}
