//! The contract after power cuts and kills at any moment, also during recovery, with and without
//! calls that fail: what was acknowledged as durable is there, the history is a prefix in whole batches, opening always
//! works. One seed, one run; `QUIPU_SEED` repeats it, `QUIPU_CASES` runs more.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::Log;
use quipu::sim::{SimDisk, Survivors};

#[path = "common/oracle.rs"]
mod oracle;
#[path = "common/workload.rs"]
mod workload;

use oracle::Oracle;
use workload::{Workload, fault, for_seeds, look, open_unless_failed};

/// How a life of the log ends, if no power cut ends it before.
enum End {
    Closed,
    Killed,
    PowerCut,
}

/// One machine: a disk, what must be on it, and whether the machine has been up since.
struct Machine {
    disk: SimDisk,
    oracle: Oracle,
    workload: Workload,
    killed: bool,
    /// Whether calls are made to fail.
    faults: bool,
}

impl Machine {
    fn new(seed: u64, faults: bool) -> Self {
        let workload = Workload::new(seed);
        Self { disk: SimDisk::new(seed), oracle: Oracle::default(), workload, killed: true, faults }
    }

    /// Opens, works, and ends in some way. `effects`: until the power cut.
    fn live(&mut self, effects: u64, steps: usize) {
        let Self { disk, oracle, workload, .. } = self;
        let seen = look(disk, oracle, self.killed);
        disk.crash_after(effects);
        if self.faults && workload.rng.bool() {
            disk.fail(fault(&mut workload.rng));
        }
        if let Some(log) = open_unless_failed(disk, workload.options(), self.faults) {
            assert_eq!(log.end(), seen.unwrap_or_default());
            oracle.reopened(&log, self.killed);
            for _ in 0..steps {
                workload.run(&log, oracle);
                if disk.is_down() {
                    break;
                }
            }
            if !disk.is_down() {
                oracle.check(&log);
            }
            self.end(log);
        } else if !self.disk.is_down() {
            self.disk = self.disk.restart_process();
        }
        self.disk.heal();
        if self.disk.is_down() {
            let survivors = self.workload.survivors();
            self.disk = self.disk.reboot(&survivors);
            self.killed = false;
        }
    }

    fn end(&mut self, log: Log) {
        match self.draw_end() {
            End::Closed => {
                if log.close().is_ok() {
                    self.oracle.synced();
                }
                self.killed = true;
            }
            End::Killed => {
                self.disk = self.disk.restart_process();
                self.killed = true;
            }
            End::PowerCut => self.disk.crash(),
        }
    }

    fn draw_end(&mut self) -> End {
        match self.workload.rng.u8(0..4) {
            _ if self.disk.is_down() => End::PowerCut,
            0 => End::Closed,
            1 => End::Killed,
            _ => End::PowerCut,
        }
    }
}

/// A life for each round: most end in a power cut, a third of them during recovery.
fn one_case(seed: u64, faults: bool) {
    let mut machine = Machine::new(seed, faults);
    for _ in 0..machine.workload.rng.usize(2..8) {
        let rng = &mut machine.workload.rng;
        let effects = match rng.u8(0..3) {
            0 => rng.u64(0..16),
            1 => rng.u64(0..60),
            _ => rng.u64(0..300),
        };
        let steps = rng.usize(0..60);
        machine.live(effects, steps);
    }
    // What is left can be worked with, and closed.
    let Machine { disk, mut oracle, mut workload, killed, .. } = machine;
    disk.crash_after(u64::MAX);
    let log = open_unless_failed(&disk, workload.options(), false).unwrap();
    oracle.reopened(&log, killed);
    for _ in 0..10 {
        workload.run(&log, &mut oracle);
    }
    log.close().unwrap();
    oracle.synced();
    let disk = disk.reboot(&Survivors::None);
    let log = open_unless_failed(&disk, workload.options(), false).unwrap();
    assert!(log.recovery_report().clean_close);
    // The mark that a repair leaves may outlive a failed sync, in a segment that is not used yet.
    assert!(log.recovery_report().bytes_cut <= u64::from(faults));
    oracle.reopened(&log, false);
}

#[test]
fn after_crashes_at_any_effect_the_log_is_a_prefix_with_all_that_was_acknowledged() {
    for_seeds(500, |seed| one_case(seed, false));
}

#[test]
fn crashes_and_failing_calls_together_lose_nothing_either() {
    for_seeds(500, |seed| one_case(seed, true));
}
