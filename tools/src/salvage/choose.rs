//! Which whole frames are taken over.
//!
//! Owns: [`choose`], pure, and [`Cut`], what it may ask for. May call: run.
//!
//! In a log that was only damaged, no two strands clash, and all are taken. Where two do, one of them
//! has frames of a tail that was cut off long ago, which a device has brought back. Of such frames two
//! things are known. Nothing of their own strand says that they were durable: else they had not been
//! cut off. And all that follows one of them, by checksum, is of that tail too: so they are the last
//! frames of their strand.
//!
//! What is known to have been durable goes first, then the log's beginning, then what has more events,
//! more frames, what stands in front. Of a strand in front of one that goes before it, only the last
//! frames are left out, as many as clash; a strand behind one that goes before it is left out whole.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use quipu_format::{CommitTime, Position};

use super::run::{Clash, Run, Strand, clash};

/// What is taken over and what is not, each in the order of their places.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Which strands.
    pub(super) taken: Vec<usize>,
    pub(super) left: Vec<(usize, Clash)>,
}

/// The end of a strand that is to be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) strand: usize,
    /// Kept are frames that do not go beyond any of these; the very last one is not.
    pub(super) position: Position,
    pub(super) time: CommitTime,
    pub(super) synced: Position,
    pub(super) clash: Clash,
}

/// Chooses, but for the strands that are `left` already. If the end of a strand has to go first, that
/// is the answer, unless `may_cut` is false: then the whole of it is left.
pub(super) fn choose(
    strands: &[Strand],
    runs: &[Run],
    left: &[(usize, Clash)],
    may_cut: bool,
) -> Result<Choice, Cut> {
    let mut order: Vec<usize> = (0..strands.len()).collect();
    let gone: BTreeSet<usize> = left.iter().map(|(number, _)| *number).collect();
    order.retain(|number| !gone.contains(number));
    order.sort_by_key(|number| Reverse(strands.get(*number).map(rank)));
    let (mut taken, mut left) = (BTreeSet::new(), left.to_vec());
    for number in order {
        let before = taken.range(..number).next_back().copied();
        let behind = taken.range(number..).next().copied();
        let pairs = [before.map(|it| (it, number)), behind.map(|it| (number, it))];
        let found = pairs.into_iter().flatten().find_map(|(front, back)| {
            clashing(strands, runs, front, back).map(|clash| (front, back, clash))
        });
        match found {
            None => drop(taken.insert(number)),
            Some((front, back, clash)) => {
                match cut(strands, runs, (front, back), front == number, &clash) {
                    Some(cut) if may_cut => return Err(cut),
                    _ => left.push((number, clash)),
                }
            }
        }
    }
    left.sort_by_key(|(number, _)| *number);
    Ok(Choice { taken: taken.into_iter().collect(), left })
}

/// What is worth more goes first; the sort that uses it keeps the order of equals.
pub(super) fn rank(strand: &Strand) -> (bool, bool, u64, u64) {
    (strand.is_durable(strand.position), strand.is_first, strand.events, strand.frames)
}

fn clashing(strands: &[Strand], runs: &[Run], front: usize, back: usize) -> Option<Clash> {
    let of = |number: usize| strands.get(number).and_then(|it| runs.get(it.runs.clone()));
    clash(of(front)?.last()?, of(back)?.first()?)
}

/// The end of the strand in front, if that has to go rather than a whole strand: it is not known to
/// have been durable, and the one behind is, or goes before it.
fn cut(
    strands: &[Strand],
    runs: &[Run],
    (front, back): (usize, usize),
    back_goes_first: bool,
    clash: &Clash,
) -> Option<Cut> {
    let (before, behind) = (strands.get(front)?, strands.get(back)?);
    let first = runs.get(behind.runs.start)?.first;
    let may_go = !before.is_durable(first.first_position);
    let must_stay = back_goes_first || behind.is_durable(behind.position);
    (may_go && must_stay).then(|| Cut {
        strand: front,
        position: first.first_position,
        time: first.commit_time,
        synced: first.synced_position,
        clash: clash.clone(),
    })
}

#[cfg(test)]
mod tests {
    use quipu_format::{ByteOffset, Chain, FrameHeader, FrameKind, SegmentSeq};

    use super::super::run::strands;
    use super::*;

    /// A run of one frame in segment 0, at this offset, with these positions and this time.
    fn run(offset: u64, positions: std::ops::Range<u64>, time: u64) -> Run {
        let header = FrameHeader {
            frame_bytes: 104,
            kind: FrameKind::Batch,
            settled: false,
            checkpoint_count: 0,
            event_count: (positions.end - positions.start) as u32,
            stream_count: 1,
            first_position: Position::new(positions.start),
            commit_time: CommitTime::new(time),
            synced_position: Position::ZERO,
            previous: 0,
        };
        Run {
            segment: 0,
            sequence: SegmentSeq::ZERO,
            start: ByteOffset::new(offset),
            end: ByteOffset::new(offset + 104),
            first: header,
            chain: Chain {
                position: Position::new(positions.end),
                previous: 1,
                time: CommitTime::new(time),
                synced_position: Position::ZERO,
            },
            last: FrameKind::Batch,
            heads: offset == 4096,
            begins: offset == 4096,
            predecessor: None,
            frames: 1,
            events: positions.end - positions.start,
            frame_bytes_max: 104,
        }
    }

    fn chosen(runs: &[Run]) -> (Vec<usize>, Vec<usize>) {
        let Choice { taken, left } = choose(&strands(&[], runs), runs, &[], false).unwrap();
        (taken, left.into_iter().map(|(number, _)| number).collect())
    }

    #[test]
    fn what_does_not_clash_is_taken_whole() {
        let runs = [run(4096, 0..2, 1), run(5000, 5..6, 1), run(6000, 6..9, 3)];
        assert_eq!(chosen(&runs), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn the_beginning_goes_before_what_weighs_more() {
        let runs = [run(4096, 0..2, 1), run(5000, 1..9, 1)];
        assert_eq!(chosen(&runs), (vec![0], vec![1]));
    }

    #[test]
    fn what_weighs_more_goes_before_what_stands_in_front() {
        let runs = [run(4096, 0..2, 1), run(5000, 4..7, 2), run(6000, 5..9, 3)];
        assert_eq!(chosen(&runs), (vec![0, 2], vec![1]));
        let runs = [run(4096, 0..2, 1), run(5000, 4..7, 2), run(6000, 5..8, 3)];
        assert_eq!(chosen(&runs), (vec![0, 1], vec![2]), "equal: the one in front");
    }

    #[test]
    fn a_time_that_runs_backwards_is_of_another_life() {
        let runs = [run(4096, 0..2, 5), run(5000, 4..5, 4), run(6000, 8..10, 6)];
        assert_eq!(chosen(&runs), (vec![0, 2], vec![1]));
    }

    #[test]
    fn a_frame_right_behind_another_that_it_does_not_follow_is_stale() {
        let runs = [run(4096, 0..2, 1), run(4200, 2..3, 1), run(6000, 4..5, 1)];
        assert_eq!(chosen(&runs), (vec![0, 2], vec![1]));
    }

    #[test]
    fn the_end_of_what_stands_in_front_goes_if_what_is_behind_had_been_durable() {
        let mut runs = [run(4096, 0..9, 1), run(5000, 7..8, 1), run(6000, 9..9, 1)];
        let asked = |runs: &[Run]| choose(&strands(&[], runs), runs, &[], true);
        let whole = |runs: &[Run]| {
            let choice = asked(runs).unwrap();
            (choice.taken, choice.left.len())
        };
        assert_eq!(whole(&runs), (vec![0, 2], 1), "neither is known to have been durable");
        runs[1].chain.synced_position = Position::new(8);
        runs[2].first.synced_position = Position::new(8);
        let cut = asked(&runs).unwrap_err();
        assert_eq!((cut.strand, cut.position.as_u64()), (0, 7));
        runs[0].chain.synced_position = Position::new(7);
        assert_eq!(asked(&runs).unwrap_err().strand, 0, "no more than what clashes was durable");
        runs[0].chain.synced_position = Position::new(8);
        assert_eq!(whole(&runs).0, [0, 2], "both say so: the beginning");
    }
}
