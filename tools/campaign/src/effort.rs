//! How much is tried at each place of a run.
//!
//! Owns: [`Effort`]. Calls nothing.

/// How much is tried at each place. "One in n" of the states: 1 is all of them.
#[derive(Debug, Clone)]
pub struct Effort {
    /// All subsets are tried where there are no more than so many.
    pub subsets_max: u64,
    /// So many are tried where there are more.
    pub sampled: u64,
    /// One in so many states crashes again inside its recovery, and inside the recovery of that.
    pub again_one_in: u64,
    /// One in so many places is looked at with the process killed too.
    pub kill_one_in: u64,
    /// One in so many states is opened for reading first, which must show the same.
    pub look_one_in: u64,
    /// At one in so many places a reader in another process looks, before the power is cut.
    pub beside_one_in: u64,
    /// One in so many states is read in every way there is.
    pub thorough_one_in: u64,
    /// One in so many states is opened with a look at all of it, whatever has an index.
    pub verify_one_in: u64,
    /// One in so many states goes on with appends, and the power is cut again.
    pub go_on_one_in: u64,
    /// One in so many states, of those with a backup, looks at it and makes it again.
    pub backup_one_in: u64,
    /// So many defects are done to a log at rest: one that was closed, or whose process was killed.
    pub decays: u64,
    /// Whether the power is cut at every place of a recovery, with every subset, and not at one.
    pub everywhere_in_recovery: bool,
}

impl Effort {
    /// Runs scripts, and tries nothing on the way.
    #[must_use]
    pub fn nothing() -> Self {
        let never = u64::MAX;
        Self {
            subsets_max: 0,
            sampled: 0,
            again_one_in: never,
            kill_one_in: never,
            look_one_in: never,
            beside_one_in: never,
            thorough_one_in: never,
            verify_one_in: never,
            go_on_one_in: never,
            backup_one_in: never,
            decays: 0,
            everywhere_in_recovery: false,
        }
    }

    /// All there is, for short scripts.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            subsets_max: 1 << 12,
            sampled: 64,
            again_one_in: 1,
            kill_one_in: 1,
            beside_one_in: 1,
            backup_one_in: 4,
            decays: 0,
            everywhere_in_recovery: true,
            ..Self::default()
        }
    }
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            subsets_max: 1 << 10,
            sampled: 8,
            again_one_in: 4,
            kill_one_in: 4,
            look_one_in: 16,
            beside_one_in: 2,
            thorough_one_in: 16,
            verify_one_in: 4,
            go_on_one_in: 16,
            backup_one_in: 16,
            decays: 32,
            everywhere_in_recovery: false,
        }
    }
}
