//! How much a campaign has tried.
//!
//! Owns: [`Tally`]. May call: coverage.

use crate::coverage::Coverage;

/// What has been tried, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Scripts run.
    pub scripts: u64,
    /// Places at which the power was cut: before each effect of each script.
    pub crash_points: u64,
    /// Those of them at which every subset of what was in flight was tried.
    pub tried_wholly: u64,
    /// Crash, recovery and check, once each.
    pub states: u64,
    /// Those of them that crashed inside recovery.
    pub inside_recovery: u64,
    /// Those of them that crashed inside the recovery of that.
    pub inside_that: u64,
    /// Those of them in which the process was killed and the machine stayed up.
    pub kills: u64,
    /// Places at which a reader in another process has looked.
    pub beside: u64,
    /// Those of them in which appends went on, and the power was cut once more.
    pub went_on: u64,
    /// Those of them in which a backup was brought up to date, whatever was there.
    pub backups: u64,
    /// Those of them in which bytes of the disk were changed after the fact.
    pub decays: u64,
    /// Which rows and errors were met.
    pub coverage: Coverage,
    /// What was found, in brief: the same seeds give the same.
    pub digest: u64,
}

impl Tally {
    /// Adds what another one has counted. The order does not matter.
    pub fn add(&mut self, other: &Self) {
        self.scripts += other.scripts;
        self.crash_points += other.crash_points;
        self.tried_wholly += other.tried_wholly;
        self.states += other.states;
        self.inside_recovery += other.inside_recovery;
        self.inside_that += other.inside_that;
        self.kills += other.kills;
        self.beside += other.beside;
        self.went_on += other.went_on;
        self.backups += other.backups;
        self.decays += other.decays;
        self.coverage.add(&other.coverage);
        self.digest = self.digest.wrapping_add(other.digest);
    }

    /// Takes down something that was found. The order matters.
    pub(crate) fn note(&mut self, found: u64) {
        self.digest = (self.digest.rotate_left(5) ^ found).wrapping_mul(MULTIPLIER);
    }
}

/// An odd number with well mixed bits: the golden ratio's, as in Knuth's multiplicative hashing
/// (The Art of Computer Programming, volume 3, section 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
