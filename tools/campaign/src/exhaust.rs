//! Small logs, and everything that can happen to them.
//!
//! Owns: [`Exhaustion`]. May call: run, explore, decay.
//!
//! - Every crash point of a run, times every subset of the sectors and names in flight up to a bound;
//!   for each, every crash point of the recovery, times every subset again.
//! - Every single bit of a directory flipped; every length of every file; every sector zeroed, not
//!   readable, and overwritten with every other one; every page swapped with every other one, and
//!   put back to every older version; every file removed, and copied over every other one.

use quipu::sim::{Decay, Missed, PAGE_BYTES, Place, SECTOR_BYTES, SimDisk};
use quipu::{Durability, Preparation, StoreMode};

use crate::decay::AtRest;
use crate::defect::Defect;
use crate::effort::Effort;
use crate::explore::Explorer;
use crate::parallel::{Cases, FirstFailure};
use crate::run::{play, run};
use crate::script::{Draft, DraftEvent, End, Expectation, Life, Rise, Script, Step};
use crate::sought::{Item, Since, Sought, Traits};
use crate::tally::Tally;
use crate::violation::Found;

/// Everything, for some small logs.
#[derive(Debug, Clone, Copy)]
pub struct Exhaustion {
    /// On so many threads.
    pub threads: usize,
    /// Every n-th of the defects only; 1 is all of them.
    pub every: u64,
}

impl Exhaustion {
    /// How many cases there are.
    #[must_use]
    pub fn cases() -> u64 {
        let scripts = scripts().len() as u64;
        scripts + scripts * PARTS
    }

    /// Tries them all.
    ///
    /// # Errors
    /// The first failure that was met.
    pub fn run(self, progress: impl Fn(&Tally) + Sync) -> Result<Tally, Box<FirstFailure>> {
        let scripts = scripts();
        let count = scripts.len() as u64;
        let cases = Cases { count: Self::cases(), states_max: u64::MAX, threads: self.threads };
        cases.run(progress, |number, tally| {
            let Some(script) = scripts.get((number % count) as usize) else { return Ok(()) };
            let tried = match number / count {
                0 => crashes(script, tally),
                part => defects(script, part - 1, self.every, tally),
            };
            tried.map_err(|found| found.within(format!("in this script:\n\n{script}")))
        })
    }
}

/// Every crash point and every subset.
fn crashes(script: &Script, tally: &mut Tally) -> Result<(), Found> {
    let mut explorer = Explorer::new(1, Effort::everything());
    let outcome = run(script, &mut explorer);
    *tally = explorer.tally;
    outcome
}

/// Every defect of one part of the log that the script leaves.
fn defects(script: &Script, part: u64, every: u64, tally: &mut Tally) -> Result<(), Found> {
    let left = play(script)?;
    let log = AtRest::new(&left.disk, &left.model, left.options);
    let mut number = part;
    let all = all_defects(&left.disk);
    // Taken in turn, so that every part has some of each kind.
    for defect in all.skip(part as usize).step_by(PARTS as usize) {
        number += 1;
        if number.is_multiple_of(every) {
            log.check(&[defect], tally)?;
        }
    }
    Ok(())
}

/// Everything that can become of a directory by one defect.
fn all_defects(disk: &SimDisk) -> impl Iterator<Item = Defect> + use<'_> {
    let files: Vec<(String, u64)> =
        disk.files().into_iter().map(|entry| (entry.name, entry.length)).collect();
    let others = files.clone();
    files.into_iter().flat_map(move |(file, length)| {
        let decay = {
            let file = file.clone();
            move |decay| Defect::Decay { file: file.clone(), decay }
        };
        let bits =
            (0..length * 8).map(|bit| Decay::FlipBit { offset: bit / 8, bit: (bit % 8) as u8 });
        let lengths = (0..length + 2).map(|length| Decay::Truncate { length });
        let sectors = (0..length).step_by(SECTOR_BYTES).flat_map({
            let others = others.clone();
            move |offset| sector_defects(offset, &others)
        });
        let pages = (0..length).step_by(PAGE_BYTES).flat_map({
            let (others, file) = (others.clone(), file.clone());
            move |offset| page_defects(offset, disk.older_versions(&file, offset), &others)
        });
        let names: Vec<Defect> = std::iter::once(Defect::Removed { file: file.clone() })
            .chain(
                others.iter().map(|(to, _)| Defect::Copied { from: file.clone(), to: to.clone() }),
            )
            .collect();
        bits.chain(lengths).chain(sectors).chain(pages).map(decay).chain(names)
    })
}

fn sector_defects(offset: u64, others: &[(String, u64)]) -> Vec<Decay> {
    let mut all = vec![Decay::ZeroSector { offset }, Decay::UnreadableSector { offset }];
    for (other, length) in others {
        all.extend((0..*length).step_by(SECTOR_BYTES).map(|there| Decay::MisdirectedSector {
            offset,
            meant_for: Place::new(other, there),
            missed: Missed::Own,
        }));
    }
    all
}

fn page_defects(offset: u64, versions: usize, others: &[(String, u64)]) -> Vec<Decay> {
    let mut all: Vec<Decay> =
        (1..=versions).map(|back| Decay::StalePage { offset, back }).collect();
    for (other, length) in others {
        let pages = (0..*length).step_by(PAGE_BYTES);
        all.extend(
            pages.map(|there| Decay::SwappedPages { offset, with: Place::new(other, there) }),
        );
    }
    all
}

/// The runs: short, and each with something that the others do not have.
fn scripts() -> Vec<Script> {
    let modes = [
        (StoreMode::Mapped, Preparation::Populate),
        (StoreMode::Positioned, Preparation::DirectZeros),
    ];
    let lives = [
        // Durable batches, closed.
        vec![life(vec![batch(1, 60), batch(2, 60)], End::Close)],
        // Buffered ones in front of a durable one, killed; then more behind a mark.
        vec![
            life(vec![buffered(1, 60), buffered(1, 300), batch(1, 0), buffered(1, 90)], End::Kill),
            life(vec![batch(1, 0), Step::Quiet, buffered(2, 50)], End::Close),
        ],
        // Over a segment's end, cut off, and on.
        vec![
            life(vec![batch(1, 1900), buffered(1, 1700), batch(1, 500)], End::PowerCut),
            life(vec![batch(1, 0)], End::Close),
        ],
        // Named checkpoints: alone behind a batch, with a batch, over a segment's end.
        vec![
            life(vec![batch(1, 60), checkpoints(0), Step::Quiet, checkpoints(1)], End::Kill),
            life(vec![batch(1, 1900), checkpoints(0), batch(1, 1900), checkpoints(0)], End::Close),
        ],
        // Closed twice, with a full segment in front.
        vec![
            life(vec![batch(1, 1900), batch(1, 1900), batch(1, 100)], End::Close),
            life(vec![batch(2, 10)], End::Kill),
        ],
    ];
    // A backup, and one more when two segments are full: the first is linked, the second copied.
    let steps =
        vec![batch(1, 1900), backup(), batch(1, 1900), batch(1, 1900), backup(), buffered(1, 9)];
    let backed_up = vec![life(steps, End::Kill)];
    // Without its front, and with one frame behind it: nothing but the base says that there was more.
    let steps = vec![batch(1, 1900), batch(1, 1900), batch(1, 1900), batch(1, 1900), drop_front()];
    let truncated = vec![life(steps, End::Kill)];
    let in_the_usual_way = |lives| Script {
        disk_seed: 1,
        mode: StoreMode::default(),
        preparation: Preparation::Populate,
        lives,
    };
    let others = [backed_up, truncated].map(in_the_usual_way);
    let with = |(mode, preparation): (StoreMode, Preparation)| {
        lives.iter().map(move |lives| Script {
            disk_seed: 1,
            mode,
            preparation,
            lives: lives.clone(),
        })
    };
    modes.into_iter().flat_map(with).chain(others).collect()
}

fn life(steps: Vec<Step>, end: End) -> Life {
    Life { segment_pages: 2, mishaps: Vec::new(), steps, end }
}

fn backup() -> Step {
    Step::Backup { copies: false }
}

fn drop_front() -> Step {
    Step::Truncate(0)
}

fn batch(events: u8, payload_bytes: u16) -> Step {
    Step::Append(Draft {
        events: (0..events)
            .map(|stream| {
                let traits = Traits { kind: stream, tags: 1 + stream };
                DraftEvent { stream, traits, payload_bytes }
            })
            .collect(),
        expectations: vec![(0, Expectation::Right)],
        queries: vec![(Sought { item: Item { kinds: 0, tags: 1 }, or: None }, Since::LastMatch)],
        ..Draft::nothing()
    })
}

/// Two named checkpoints, with an event or without.
fn checkpoints(events: u8) -> Step {
    let set = |draft| Draft { checkpoints: vec![(0, Rise::By(2)), (2, Rise::By(1))], ..draft };
    match batch(events, 20) {
        Step::Append(draft) if events > 0 => Step::Append(set(draft)),
        _ => Step::Append(set(Draft::nothing())),
    }
}

fn buffered(events: u8, payload_bytes: u16) -> Step {
    match batch(events, payload_bytes) {
        Step::Append(draft) => Step::Append(Draft { durability: Durability::Buffered, ..draft }),
        step => step,
    }
}

/// Parts into which the defects of one log are cut, for several threads.
const PARTS: u64 = 16;
