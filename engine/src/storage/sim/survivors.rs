//! What is left of the unsynced: the ways of choosing.

use fastrand::Rng;

/// What of the unsynced a crash, or a failed sync, leaves on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Survivors {
    /// Nothing.
    None,
    /// Everything, as it was last.
    All,
    /// The seed draws a weight between hardly anything and nearly all, then each thing by it.
    #[default]
    Random,
    /// The seed draws each thing, which survives with this chance in percent.
    Weighted(u8),
    /// For each of [`super::SimDisk::in_flight`] in turn, the version that is found: 0 for the
    /// old one, `versions - 1` (or anything above) for the last. Those not listed stay old.
    Chosen(Vec<usize>),
}

/// One thing that a crash may leave or take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// What it is.
    pub what: Unsynced,
    /// How many different states it may be found in: at least 2.
    pub versions: usize,
}

/// A thing that no sync has made durable yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsynced {
    /// A file's new name.
    Create(String),
    /// One more name of a file.
    Link(String),
    /// A file's change of names.
    Rename {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// A file's removal.
    Remove(String),
    /// A file's length.
    Length(String),
    /// A sector of a file.
    Sector {
        /// The file's name.
        file: String,
        /// The sector's offset in it.
        offset: u64,
    },
}

/// Decides for one thing after another, in one fixed order.
pub(super) trait Choose {
    /// One version for a whole page, or none for a page whose sectors are asked for one by one.
    fn page(&mut self, versions: usize) -> Option<usize>;

    /// The version of one thing, 0 being the old one.
    fn one(&mut self, versions: usize, what: &dyn Fn() -> Unsynced) -> usize;
}

/// Chooses as [`Survivors`] says.
pub(super) enum Chooser<'a> {
    None,
    All,
    Drawn { rng: &'a mut Rng, percent: u8 },
    Listed(std::slice::Iter<'a, usize>),
}

impl<'a> Chooser<'a> {
    pub(super) fn new(survivors: &'a Survivors, rng: &'a mut Rng) -> Self {
        match survivors {
            Survivors::None => Self::None,
            Survivors::All => Self::All,
            Survivors::Random => {
                let percent = rng.choice(WEIGHTS).unwrap_or(50);
                Self::Drawn { rng, percent }
            }
            Survivors::Weighted(percent) => Self::Drawn { rng, percent: *percent },
            Survivors::Chosen(versions) => Self::Listed(versions.iter()),
        }
    }
}

impl Choose for Chooser<'_> {
    fn page(&mut self, versions: usize) -> Option<usize> {
        match self {
            Self::None => Some(0),
            Self::All => Some(versions - 1),
            Self::Drawn { rng, percent } => {
                let is_torn = rng.u8(..) < TORN_IN_256;
                (!is_torn).then(|| draw(rng, *percent, versions))
            }
            Self::Listed(_) => None,
        }
    }

    fn one(&mut self, versions: usize, _what: &dyn Fn() -> Unsynced) -> usize {
        match self {
            Self::None => 0,
            Self::All => versions - 1,
            Self::Drawn { rng, percent } => draw(rng, *percent, versions),
            Self::Listed(list) => list.next().map_or(0, |version| (*version).min(versions - 1)),
        }
    }
}

/// Lists what there is to choose, and chooses nothing.
#[derive(Default)]
pub(super) struct Lister {
    pub(super) found: Vec<InFlight>,
}

impl Choose for Lister {
    fn page(&mut self, _versions: usize) -> Option<usize> {
        None
    }

    fn one(&mut self, versions: usize, what: &dyn Fn() -> Unsynced) -> usize {
        self.found.push(InFlight { what: what(), versions });
        0
    }
}

fn draw(rng: &mut Rng, percent: u8, versions: usize) -> usize {
    if rng.u8(0..100) >= percent {
        return 0;
    }
    if versions > 2 && rng.u8(..) < BETWEEN_IN_256 {
        return rng.usize(1..versions - 1);
    }
    versions - 1
}

/// The chances that [`Survivors::Random`] draws from, in percent.
const WEIGHTS: [u8; 5] = [5, 25, 50, 75, 95];

/// How often a page is torn rather than found old or new as a whole.
const TORN_IN_256: u8 = 96;

/// How often what survives is a version in between, where there are such.
const BETWEEN_IN_256: u8 = 128;
