//! Bytes that change after the fact: damage is always found, and nothing is shortened in silence.
//!
//! Owns: [`expectation`], what must be told of a changed log, and [`AtRest::check`], which opens one. May
//! call: the image (format crate alone), the engine on the simulated disk.
//!
//! The rule, for the first item of the log that is not as it was (a seal does not count if the
//! header behind it is whole, which says what the seal was):
//! - if anything behind it is whole and says that more had been durable than stands in front of it,
//!   the log is damaged there, and says so;
//! - if a segment there or behind begins with a magic that no crash leaves, the log says so of that
//!   segment, with its first eight bytes; if all segments do, it says that none is one;
//! - else it may end there: whatever is lost cannot be told from a batch that never was durable.
//!
//! That is what opening tells that reads everything. Opening that passes over segments by their
//! indexes may find less; then reading tells it, and never gives anything wrong.

use quipu::sim::{Decay, PAGE_BYTES, SimDisk, Survivors};
use quipu::{Fault, Log, OpenError, Options, Proof};
use quipu_format::{ByteOffset, Salt, SegmentHeader, SegmentHeaderError, find_evidence, layout};

use crate::check::{found, truthful};
use crate::coverage::Row;
use crate::defect::Defect;
use crate::draw::Draw;
use crate::image::{Image, Item, ItemKind, sequence_of};
use crate::model::Model;
use crate::tally::Tally;
use crate::violation::{Found, Violation};

/// What must become of a log whose bytes have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Batches in front of the first change, those without events too.
    pub batches: usize,
    /// Those with events.
    pub with_events: usize,
    /// The position there.
    pub position: u64,
    /// The file and the offset of the first item that changed; `None`: only what is behind the end.
    pub first: Option<(String, u64)>,
    /// Whether it is known that something durable is gone.
    pub is_damage: bool,
    /// Whether something behind it says so. No crash takes a file away or changes its length: that
    /// is known without.
    pub is_claimed: bool,
    /// The first segment there or behind that begins with a magic that no crash leaves, and that.
    pub wrong_magic: Option<(String, [u8; 8])>,
    /// Whether every segment does.
    pub is_no_log: bool,
    /// Whether a header is left that tells the log's id, without which no frame can be read.
    pub is_id_known: bool,
    /// Whether there stands, instead, what follows as well: an older state of the log's end, whole
    /// and in order, which nobody can tell from the log (FORMAT.md, known limits).
    pub is_old_state: bool,
}

/// What must become of a log with the files of `before`, which have changed to those of `after`.
#[must_use]
pub fn expectation(
    (before, items): (&Image, &[Item]),
    after: &Image,
    model: &Model,
) -> Expectation {
    let now = after.items(|position| model.batches_before(position));
    let is_kept = |(place, item): (usize, &Item)| {
        let range = || item.bytes.clone();
        let is_same = || before.bytes(&item.file, range()) == after.bytes(&item.file, range());
        // A seal that is made again from the header behind it is as good as there.
        now.get(place) == Some(item) && (item.kind == ItemKind::Seal || is_same())
    };
    let kept = items.iter().enumerate().take_while(|(place, item)| is_kept((*place, item))).count();
    let in_front = items.get(..kept).unwrap_or_default();
    let dropped = items.first().map_or(0, |first| first.batches);
    let batches = dropped + in_front.iter().filter(|item| item.kind.is_committed()).count();
    let with_events = in_front.iter().filter(|item| item.kind == ItemKind::Batch).count();
    let is_old_state = now.len() > kept;
    let first = items.get(kept);
    let from = first.or(items.last()).map_or("", |item| &item.file);
    let wrong_magic = wrong_magics(after).find(|(name, _)| &**name >= from);
    let segments = segments_of(after).count();
    let is_claimed = first.is_some_and(|item| {
        let (most, is_settled) = claimed_behind(item, after);
        is_settled || most > item.position
    });
    let has_other_length = kept > 0 && first.is_some_and(|item| tells_length(item, after, &now));
    // The base says of the header that it was there.
    let is_named = kept == 0 && first.is_some() && after.base().is_some();
    Expectation {
        batches,
        with_events,
        position: match first {
            Some(item) => item.position,
            None => items.last().map_or(0, |last| last.end),
        },
        first: first.map(|item| (item.file.clone(), item.bytes.start as u64)),
        is_damage: is_claimed || is_named || has_other_length || wrong_magic.is_some(),
        is_claimed,
        is_no_log: segments > 0 && wrong_magics(after).count() == segments,
        wrong_magic,
        is_id_known: is_named || after.files().values().any(|bytes| is_header(bytes)),
        is_old_state,
    }
}

fn is_header(bytes: &[u8]) -> bool {
    let block = bytes.get(..layout::segment::BYTES);
    matches!(block.map(SegmentHeader::decode), Some(Ok(Some(_))))
}

/// The segments whose first eight bytes are neither right nor zero, each for itself.
fn wrong_magics(image: &Image) -> impl Iterator<Item = (String, [u8; 8])> {
    let magics = segments_of(image)
        .filter_map(|(name, bytes)| Some((name.clone(), *bytes.first_chunk::<8>()?)));
    magics.filter(|(_, magic)| {
        let mut pairs = magic.iter().zip(layout::segment::MAGIC_VALUE);
        pairs.any(|(found, right)| *found != right && *found != 0)
    })
}

/// The segments that are part of the log, or behind it.
fn segments_of(image: &Image) -> impl Iterator<Item = (&String, &Vec<u8>)> {
    let first = image.base().map_or(0, |(first, _)| first);
    let is_part = move |name: &String| sequence_of(name).is_some_and(|at| at.as_u64() >= first);
    image.files().iter().filter(move |(name, _)| is_part(name))
}

/// No header of a segment and no base is shorter.
const BASE_BYTES: u64 = 64;

/// What cannot be told.
const OLD_STATE: Row =
    Row { table: "decay", name: "an old state of the log's end is put back", branch: "" };

/// Whether it shows that a segment is gone or has another length: the file is missing, has a length
/// that no segment has, or another one than its header says.
fn tells_length(item: &Item, after: &Image, now: &[Item]) -> bool {
    use layout::segment::{BYTES, CAPACITY_MIN, CAPACITY_STEP};
    if item.kind != ItemKind::Header {
        return false;
    }
    let bytes = after.files().get(&item.file);
    if let Some(Ok(Some(header))) =
        bytes.and_then(|bytes| bytes.get(..BYTES)).map(SegmentHeader::decode)
    {
        return bytes.is_some_and(|bytes| header.capacity != bytes.len() as u64);
    }
    // A seal that had to be made again from this segment's header is not there either.
    let is_sealed = now.last().is_some_and(|last| last.kind == ItemKind::Seal);
    match bytes.map(|bytes| bytes.len() as u64) {
        Some(length) => {
            is_sealed && (length < CAPACITY_MIN || !length.is_multiple_of(CAPACITY_STEP))
        }
        None => {
            let behind = after.files().range(item.file.clone()..);
            is_sealed || behind.filter_map(|(name, _)| sequence_of(name)).next().is_some()
        }
    }
}

/// The highest claim that stands anywhere from an item on: in whole frames, in torn ones whose
/// header is whole, in headers of later segments. And whether a frame behind it claims all in front.
fn claimed_behind(item: &Item, after: &Image) -> (u64, bool) {
    let (mut most, mut is_settled) = (0, false);
    for (name, bytes) in after.files().range(item.file.clone()..) {
        let Some(sequence) = sequence_of(name) else { continue };
        let from = if *name == item.file { item.bytes.start } else { 0 };
        if from == 0
            && let Some(Ok(Some(header))) =
                bytes.get(..layout::segment::BYTES).map(SegmentHeader::decode)
        {
            most = most.max(header.synced_position.as_u64());
        }
        let salt = Salt::new(item.log_id, sequence);
        let rest = bytes.get(from..).unwrap_or_default();
        let found = find_evidence(rest, salt, ByteOffset::new(from as u64));
        most = most.max(found.map_or(0, |found| found.synced_position.as_u64()));
        let settled = found.and_then(|found| found.settled_at);
        is_settled |= settled.is_some_and(|at| at.as_u64() > from as u64);
    }
    (most, is_settled)
}

/// A log at rest that is to be damaged.
#[derive(Debug)]
pub struct AtRest<'a> {
    disk: SimDisk,
    image: Image,
    items: Vec<Item>,
    model: &'a Model,
    options: Options,
}

impl<'a> AtRest<'a> {
    /// The log that a machine has, as it is, with all that is in flight.
    #[must_use]
    pub fn new(machine: &SimDisk, model: &'a Model, options: Options) -> Self {
        let disk = machine.if_rebooted(&Survivors::All);
        disk.set_capacity(None);
        let image = Image::of(&disk);
        let items = image.items(|position| model.batches_before(position));
        Self { disk, image, items, model, options }
    }

    /// Draws what happens to it: one thing, or two.
    pub fn draw(&self, draw: &mut impl Draw) -> Vec<Defect> {
        if draw.one_in(6)
            && let Some(defects) = self.draw_at_base(draw)
        {
            return defects;
        }
        let count = if draw.one_in(4) { 2 } else { 1 };
        let older = |file: &str, offset| self.disk.older_versions(file, offset);
        let drawn = (0..count).map(|_| Defect::draw(draw, (&self.image, &self.items), older));
        let mut defects: Vec<Defect> = drawn.flatten().collect();
        // A forger is enough by himself: with the other headers lost he could make it another log's.
        if let Some(forged) = defects.iter().position(|it| matches!(it, Defect::Forged { .. })) {
            defects = vec![defects.swap_remove(forged)];
        }
        // What is stored to can be read again: so this comes last.
        defects.sort_by_key(|defect| defect.unreadable().is_some());
        defects
    }

    /// Draws what happens to the two copies of the base, both of them, or to the header behind: few of the
    /// defects that are drawn anywhere come there.
    fn draw_at_base(&self, draw: &mut impl Draw) -> Option<Vec<Defect>> {
        let (first, _) = self.image.base()?;
        let newest = self.image.bases().filter(|(number, _)| *number == first);
        let mut names: Vec<String> = newest.map(|(_, name)| name.to_owned()).collect();
        if !draw.one_in(4) {
            names = vec![self.items.first()?.file.clone()];
        }
        let flipped = |file: String| {
            let decay = Decay::FlipBit { offset: draw.below(BASE_BYTES), bit: draw.below(8) as u8 };
            Defect::Decay { file, decay }
        };
        Some(names.into_iter().map(flipped).collect())
    }

    /// Lets it happen, opens the log, and compares. A decay that changes nothing is no case.
    ///
    /// # Errors
    /// Damage that was not told, or a lie.
    pub fn check(&self, defects: &[Defect], tally: &mut Tally) -> Result<(), Found> {
        let disk = self.disk.if_rebooted(&Survivors::All);
        let happened: Vec<&Defect> = defects.iter().filter(|defect| defect.happen(&disk)).collect();
        if happened.is_empty() {
            return Ok(());
        }
        tally.decays += 1;
        tally.states += 2;
        let within = |found| {
            let what: Vec<String> = defects.iter().map(ToString::to_string).collect();
            Found::from(found).within(format!("at rest, {}", what.join("; then ")))
        };
        self.compare(&disk, &happened, tally).map_err(within)?;
        let disk = self.disk.if_rebooted(&Survivors::All);
        defects.iter().for_each(|defect| {
            defect.happen(&disk);
        });
        self.compare_unseen(&disk, &happened)
            .map_err(|found| within(found).within("without a look at what has an index"))
    }

    /// What becomes of it if segments with an index are not read when the log is opened: nothing
    /// wrong is ever read, and what is gone is told of where it stood.
    fn compare_unseen(&self, disk: &SimDisk, defects: &[&Defect]) -> Result<(), Violation> {
        let after = Image::of(disk);
        if self.has_lost_base(&after, defects) {
            return Ok(());
        }
        let expected = expectation((&self.image, &self.items), &after, self.model);
        let is_unreadable = defects.iter().any(|defect| defect.unreadable().is_some());
        // What it may make of those that are read, the last one and those without an index yet,
        // whatever has become of the others.
        let last = self.items.last().map_or("", |last| &last.file);
        let has_index = |name: &str| {
            let index = name.strip_suffix(".seg").map(|number| format!("{number}.idx"));
            index.is_some_and(|index| after.files().contains_key(&index))
        };
        let seen = |passed_over: &dyn Fn(&str) -> bool| {
            let with_those_whole = after.with_files_of(&self.image, |name| passed_over(name));
            expectation((&self.image, &self.items), &with_those_whole, self.model)
        };
        let of_last = seen(&|name| name < last);
        let of_unindexed = seen(&|name| name < last && has_index(name));
        let all_seen = [&expected, &of_last, &of_unindexed];
        if all_seen.iter().any(|expected| expected.is_old_state) {
            return Ok(());
        }
        let log = match Log::open_simulated(disk, self.options.clone().verify_on_open(false)) {
            Ok(log) => log,
            // What is gone further on may be met first.
            Err(OpenError::Damaged(damage))
                if expected.first.is_some() && damage.position.as_u64() >= expected.position =>
            {
                return Ok(());
            }
            Err(error) => return self.refused(&error, &expected, is_unreadable),
        };
        if expected.wrong_magic.is_some() {
            return Err(Violation::Damage(format!("nothing was told, but {expected:?}")));
        }
        let found = truthful(&log, self.model)?;
        disk.crash();
        let dropped = self.items.first().map_or(0, |first| first.batches);
        let kept = self.items.iter().filter(|item| item.kind.is_committed()).count();
        let all = dropped + kept;
        let is_right = match found.is_all {
            // What is gone was no batch, or what is gone of those that are read could be taken for
            // the end of the log.
            true => {
                let may_end = |expected: &&Expectation| {
                    !expected.is_damage && found.committed == expected.batches
                };
                found.committed == all || all_seen.iter().any(may_end)
            }
            // Without its index a segment that is damaged anywhere proves nothing of itself.
            false => {
                let of_index = |name: &&String| name.ends_with(".idx");
                let indexes = |image: &Image| -> Vec<Vec<u8>> {
                    let files = image.files();
                    files
                        .iter()
                        .filter(|(name, _)| of_index(name))
                        .map(|(_, bytes)| bytes.clone())
                        .collect()
                };
                found.batches >= expected.with_events || indexes(&self.image) != indexes(&after)
            }
        };
        match is_right {
            true => Ok(()),
            false => Err(Violation::Damage(format!(
                "{found:?} of {all} batches, {expected:?}; of those read {of_unindexed:?}"
            ))),
        }
    }

    fn compare(
        &self,
        disk: &SimDisk,
        defects: &[&Defect],
        tally: &mut Tally,
    ) -> Result<(), Violation> {
        let after = Image::of(disk);
        if self.has_lost_base(&after, defects) {
            return self.compare_without_base(disk, tally);
        }
        let expected = expectation((&self.image, &self.items), &after, self.model);
        // Every byte of every segment is read, and what cannot be read is no end of a log. Segments in
        // front of the log are removed without.
        let mut unreadable = defects.iter().filter_map(|defect| defect.unreadable());
        let is_segment = |file| segments_of(&after).any(|(name, _)| name == file);
        let is_unreadable = unreadable.any(|(file, _)| is_segment(file));
        if expected.is_old_state && !is_unreadable {
            tally.coverage.count(OLD_STATE);
            return Ok(());
        }
        let opened = Log::open_simulated(disk, self.options.clone().verify_on_open(true));
        match opened {
            Ok(log) => {
                tally.coverage.opened(log.recovery_report());
                let told = || {
                    format!("nothing was told, but {expected:?}, {:?}", log.recovery_report().end)
                };
                if expected.is_damage || is_unreadable {
                    return Err(Violation::Damage(told()));
                }
                let count = found(&log, self.model, expected.batches)?;
                tally.note(count as u64);
                disk.crash();
                if count > expected.batches {
                    return Err(Violation::Damage(format!("{count} batches, {expected:?}")));
                }
                Ok(())
            }
            Err(error) => {
                tally.coverage.refused(&error);
                if Image::of(disk) != after && !matches!(error, OpenError::Io(_)) {
                    return Err(Violation::Damage(format!("refused, and changed: {error}")));
                }
                self.refused(&error, &expected, is_unreadable)?;
                self.read_only(disk, &error, &expected, is_unreadable)
            }
        }
    }

    /// Whether no copy of the log's base is right and can be read, or another one is in its place.
    fn has_lost_base(&self, after: &Image, defects: &[&Defect]) -> bool {
        let before = self.image.base();
        let newest = after.bases().map(|(number, _)| number).max();
        let is_other = newest != before.map(|(first, _)| first);
        let unreadable = |name: &str| {
            defects.iter().filter_map(|it| it.unreadable()).any(|(file, _)| file == name)
        };
        let is_right = |(number, name): (u64, &str)| {
            Some(number) == newest && after.base_in(name, number).is_some() && !unreadable(name)
        };
        is_other || newest.is_some() && !after.bases().any(is_right)
    }

    /// Without it nobody knows what the streams have come to, so that it is refused; unless an older one,
    /// and all segments, are still there: then the log is as it was before.
    fn compare_without_base(&self, disk: &SimDisk, tally: &mut Tally) -> Result<(), Violation> {
        match Log::open_simulated(disk, self.options.clone().verify_on_open(true)) {
            Ok(log) => found(&log, self.model, self.model.durable()).map(drop),
            Err(error) => {
                tally.coverage.refused(&error);
                let is_right = matches!(
                    error,
                    OpenError::Damaged(_)
                        | OpenError::Misnamed { .. }
                        | OpenError::ForeignSegment { .. }
                        | OpenError::Unsupported { .. }
                        | OpenError::NotASegment { .. }
                        | OpenError::Io(_)
                );
                match is_right {
                    true => Ok(()),
                    false => Err(Violation::Damage(format!("without a base: {error}"))),
                }
            }
        }
    }

    /// Whether a refusal says what is true.
    fn refused(
        &self,
        error: &OpenError,
        expected: &Expectation,
        is_unreadable: bool,
    ) -> Result<(), Violation> {
        let wrong = || Violation::Damage(format!("told {error}, but {expected:?}"));
        let is_right = match error {
            OpenError::Damaged(damage) if damage.proof == Proof::WrongMagic => {
                let told = |(file, found): &(String, [u8; 8])| {
                    let fault = Fault::Header(SegmentHeaderError::Magic { found: *found });
                    damage.file.ends_with(&**file) && damage.fault == fault
                };
                let place = (damage.position.as_u64(), damage.offset);
                let is_other = expected.is_no_log || expected.is_claimed && expected.is_id_known;
                !is_other
                    && place == (expected.position, 0)
                    && expected.wrong_magic.as_ref().is_some_and(told)
            }
            OpenError::Damaged(damage) => {
                let place = (damage.position.as_u64(), damage.offset);
                let is_first = expected.first.as_ref().is_none_or(|(file, offset)| {
                    place == (expected.position, *offset) && damage.file.ends_with(&**file)
                });
                // What cannot be told from a tail is refused for other reasons only.
                let is_claim = matches!(damage.proof, Proof::Synced { .. } | Proof::Settled { .. });
                is_first && (expected.is_claimed || !is_claim)
            }
            OpenError::Io(_) => is_unreadable,
            OpenError::NotASegment { file, .. } => {
                let first = expected.wrong_magic.as_ref();
                expected.is_no_log && first.is_some_and(|(first, _)| file.ends_with(&**first))
            }
            // What a segment's first block says of itself.
            OpenError::Unsupported { file, .. }
            | OpenError::ForeignSegment { file, .. }
            | OpenError::Misnamed { file, .. } => self.is_header_changed(file),
            OpenError::NoLog { .. } => expected.batches == 0 && !expected.is_damage,
            _ => false,
        };
        if is_right { Ok(()) } else { Err(wrong()) }
    }

    /// For reading only there is all in front of the damage, which is told in the same words.
    fn read_only(
        &self,
        disk: &SimDisk,
        told: &OpenError,
        expected: &Expectation,
        is_unreadable: bool,
    ) -> Result<(), Violation> {
        match Log::open_simulated_read_only(disk, Log::options().verify_on_open(true)) {
            Ok(log) => {
                let count = found(&log, self.model, expected.batches)?;
                let damage = log.recovery_report().damage.as_ref();
                let is_same = match told {
                    OpenError::Damaged(told) => damage == Some(&**told),
                    _ => true,
                };
                match count == expected.batches && is_same {
                    true => Ok(()),
                    false => Err(Violation::Damage(format!("{count} read, {expected:?}"))),
                }
            }
            Err(error) => self.refused(&error, expected, is_unreadable),
        }
    }

    fn is_header_changed(&self, file: &str) -> bool {
        let header = self
            .items
            .iter()
            .find(|item| item.kind == ItemKind::Header && file.ends_with(&*item.file));
        // A file without a header may have got one from elsewhere.
        header.is_none_or(|header| header.bytes == (0..PAGE_BYTES))
    }
}
