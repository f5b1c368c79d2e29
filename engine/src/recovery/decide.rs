//! Torn tail or damage: the one decision of recovery, as a table.
//!
//! Owns: [`decide`], pure: what was observed at the end of what verifies gives what to do.
//!
//! X is the place of the first frame that does not verify. What has been synced alone decides: if
//! anything behind X verifies and says that more than what stands before X was durable, by its synced
//! position or as a settled frame, then something durable is gone. That a segment is sealed, or followed by one in use, proves nothing:
//! those pages too may have reached the disk before the ones in front of them. What no crash can do
//! to files (make a named one vanish, change its length) is damage by itself. A segment is sealed
//! only when the next one has its name, durably: preparing it comes first, and recovery replaces
//! that file but never removes it. Nor does a crash leave a magic that is neither right nor half
//! written: such a file, at X or behind it, is foreign or has decayed. It may be all that is left of
//! what was durable, or somebody else's, so it is neither cut nor used, and it is the place that is
//! told.
//!
//! | at X | behind X | decision |
//! |---|---|---|
//! | anything | a synced position above X | refuse: damage |
//! | anything | a settled frame | refuse: damage |
//! | the file is missing | a segment in use | refuse: damage |
//! | the file is missing, the segment in front is sealed | anything | refuse: damage |
//! | the first file is missing | a segment, used or not | refuse: damage |
//! | the first segment's start, and there is a base | anything | refuse: damage |
//! | the file has a length that it never had | anything | refuse: damage |
//! | anything | a wrong magic, there or at X | refuse: damage, in that file |
//! | the only header does not verify | something | refuse: damage |
//! | right checksums over what is forbidden | anything | refuse: damage |
//! | nothing written | nothing | clean end |
//! | anything else | anything else | torn tail: cut |

use quipu_format::{Position, SegmentHeaderError};

use crate::error::{Fault, Proof};

/// What recovery has seen at the end of what verifies.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// What is wrong at X.
    pub(crate) fault: Fault,
    /// The position of the first event that is not there.
    pub(crate) position: Position,
    /// The highest synced position behind X, and where.
    pub(crate) evidence: Option<Sighting>,
    /// A frame behind X that says that all in front of it was durable: its file and offset.
    pub(crate) settled: Option<(String, u64)>,
    /// The segment in front of X, if X is the start of one and that is sealed.
    pub(crate) sealed_before: Option<String>,
    /// The log's base, if X is the start of the first segment: its header was durable before the base.
    pub(crate) base: Option<String>,
    /// A segment that cannot be there without the one of X.
    pub(crate) there_behind: Option<String>,
    /// The first segment at X or behind it whose magic no crash explains.
    pub(crate) wrong_magic: Option<WrongMagic>,
    /// A file with contents that cannot be checked, because no header tells the log's id.
    pub(crate) unchecked: Option<String>,
    /// From here to the last byte behind X that is not zero.
    pub(crate) bytes_after: u64,
}

/// Where a synced position was read.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) synced_position: Position,
}

/// A file that begins with neither a right nor a half-written magic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrongMagic {
    pub(crate) file: String,
    pub(crate) error: SegmentHeaderError,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The log ends at X and nothing is behind it.
    Clean,
    /// Never acknowledged as durable: zero all behind X, return later segments to unused.
    Cut,
    /// Something durable is gone at X.
    Refuse(Proof),
    /// X, or the end, is in front of a file that is foreign or has decayed.
    RefuseFile(WrongMagic),
}

/// Decides.
pub(crate) fn decide(observed: &Observed) -> Decision {
    if let Some(Sighting { file, offset, synced_position }) = &observed.evidence
        && *synced_position > observed.position
    {
        return Decision::Refuse(Proof::Synced {
            file: file.clone(),
            offset: *offset,
            synced_position: *synced_position,
        });
    }
    if let Some((file, offset)) = &observed.settled {
        return Decision::Refuse(Proof::Settled { file: file.clone(), offset: *offset });
    }
    if let Some(file) = &observed.base {
        return Decision::Refuse(Proof::Base { file: file.clone() });
    }
    let Observed { sealed_before, there_behind, wrong_magic, unchecked, .. } = observed;
    match observed.fault {
        fault if is_contradiction(fault) => return Decision::Refuse(Proof::Contradiction),
        Fault::MissingFile => {
            if let Some(file) = there_behind {
                return Decision::Refuse(Proof::InUse { file: file.clone() });
            }
            if let Some(file) = sealed_before {
                return Decision::Refuse(Proof::Sealed { file: file.clone() });
            }
        }
        Fault::Length { .. } | Fault::NoSegmentLength { .. } => {
            return Decision::Refuse(Proof::FixedLength);
        }
        _ => {}
    }
    if let Some(wrong) = wrong_magic {
        return Decision::RefuseFile(wrong.clone());
    }
    if let Some(file) = unchecked {
        return Decision::Refuse(Proof::Contents { file: file.clone() });
    }
    match observed.fault {
        Fault::NeverWritten | Fault::MissingFile | Fault::MissingHeader
            if observed.bytes_after == 0 =>
        {
            Decision::Clean
        }
        _ => Decision::Cut,
    }
}

/// Whether checksums are right and what they cover breaks a rule: no torn write explains that. A
/// valid frame that does not follow is none: it may be stale, of a tail that was cut off and whose
/// zeros did not reach the disk.
fn is_contradiction(fault: Fault) -> bool {
    match fault {
        Fault::Frame(error) => error.is_contradiction(),
        Fault::Header(error) => matches!(error, SegmentHeaderError::Field { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULTS: [Fault; 8] = [
        Fault::NeverWritten,
        Fault::Frame(quipu_format::FrameError::TrailerMagic),
        Fault::MissingFile,
        Fault::MissingHeader,
        Fault::Unlinked,
        Fault::Length { expected: 8192, found: 4096 },
        Fault::NoSegmentLength { found: 0 },
        CONTRADICTION,
    ];

    const CONTRADICTION: Fault =
        Fault::Frame(quipu_format::FrameError::Field { field: "frame flags", found: 1 });

    fn observed(fault: Fault) -> Observed {
        let position = Position::new(10);
        Observed {
            fault,
            position,
            evidence: None,
            settled: None,
            sealed_before: None,
            base: None,
            there_behind: None,
            wrong_magic: None,
            unchecked: None,
            bytes_after: 0,
        }
    }

    fn sighting(synced: u64) -> Option<Sighting> {
        let synced_position = Position::new(synced);
        Some(Sighting { file: "later".to_owned(), offset: 4096, synced_position })
    }

    #[test]
    fn a_synced_position_above_x_is_damage_whatever_stands_at_x() {
        for fault in FAULTS {
            let decision = decide(&Observed { evidence: sighting(11), ..observed(fault) });
            assert!(matches!(decision, Decision::Refuse(Proof::Synced { .. })), "{fault:?}");
        }
    }

    #[test]
    fn a_settled_frame_is_damage_whatever_stands_at_x_and_was_synced() {
        for fault in FAULTS {
            for evidence in [None, sighting(10)] {
                let settled = Some(("later".to_owned(), 4096));
                let decision = decide(&Observed { evidence, settled, ..observed(fault) });
                assert!(matches!(decision, Decision::Refuse(Proof::Settled { .. })), "{fault:?}");
            }
        }
    }

    #[test]
    fn a_synced_position_up_to_x_proves_nothing() {
        for synced in [0, 9, 10] {
            let seen = Observed {
                evidence: sighting(synced),
                bytes_after: 1,
                ..observed(Fault::NeverWritten)
            };
            assert_eq!(decide(&seen), Decision::Cut, "synced position {synced}");
        }
    }

    #[test]
    fn a_missing_file_in_front_of_a_segment_in_use_is_damage() {
        let behind = Some("later".to_owned());
        for fault in FAULTS {
            let seen = Observed { there_behind: behind.clone(), bytes_after: 1, ..observed(fault) };
            let refused = matches!(decide(&seen), Decision::Refuse(Proof::InUse { .. }));
            assert_eq!(refused, fault == Fault::MissingFile, "{fault:?}");
        }
        assert_eq!(decide(&observed(Fault::MissingFile)), Decision::Clean);
    }

    #[test]
    fn a_missing_file_behind_a_seal_is_damage() {
        let sealed = Some("before".to_owned());
        for fault in FAULTS {
            let seen = Observed { sealed_before: sealed.clone(), ..observed(fault) };
            let refused = matches!(decide(&seen), Decision::Refuse(Proof::Sealed { .. }));
            assert_eq!(refused, fault == Fault::MissingFile, "{fault:?}");
        }
    }

    #[test]
    fn the_start_of_the_first_segment_behind_a_base_is_damage_whatever_is_there() {
        for fault in FAULTS {
            let seen = Observed { base: Some("base".to_owned()), ..observed(fault) };
            assert!(matches!(decide(&seen), Decision::Refuse(Proof::Base { .. })), "{fault:?}");
        }
    }

    #[test]
    fn a_length_that_changed_is_damage() {
        for fault in
            [Fault::Length { expected: 8192, found: 4096 }, Fault::NoSegmentLength { found: 0 }]
        {
            assert_eq!(decide(&observed(fault)), Decision::Refuse(Proof::FixedLength));
        }
    }

    #[test]
    fn right_checksums_over_what_is_forbidden_are_damage_and_a_stale_frame_is_not() {
        use quipu_format::FrameError::{Field, Previous};
        let forbidden = Fault::Frame(Field { field: "frame flags", found: 1 });
        assert_eq!(decide(&observed(forbidden)), Decision::Refuse(Proof::Contradiction));
        let field = SegmentHeaderError::Field { field: "capacity", found: 1 };
        let decision = decide(&observed(Fault::Header(field)));
        assert_eq!(decision, Decision::Refuse(Proof::Contradiction));
        let stale = Fault::Frame(Previous { expected: 1, found: 2 });
        assert_eq!(decide(&observed(stale)), Decision::Cut);
    }

    #[test]
    fn a_wrong_magic_is_never_cut_and_is_told_by_its_own_file() {
        let error = SegmentHeaderError::Magic { found: *b"QUIPUSEX" };
        let wrong = WrongMagic { file: "wrong".to_owned(), error };
        for fault in FAULTS.into_iter().chain([Fault::Header(error)]) {
            for bytes_after in [0, 1] {
                let seen = Observed {
                    wrong_magic: Some(wrong.clone()),
                    unchecked: Some("first".to_owned()),
                    evidence: sighting(10),
                    bytes_after,
                    ..observed(fault)
                };
                let decision = decide(&seen);
                match fault {
                    CONTRADICTION | Fault::Length { .. } | Fault::NoSegmentLength { .. } => {
                        assert!(matches!(decision, Decision::Refuse(_)), "{fault:?}");
                    }
                    _ => assert_eq!(decision, Decision::RefuseFile(wrong.clone()), "{fault:?}"),
                }
            }
        }
    }

    #[test]
    fn contents_behind_the_only_header_that_does_not_verify_are_damage() {
        for fault in [Fault::MissingHeader, Fault::Unlinked] {
            let seen =
                Observed { unchecked: Some("first".to_owned()), bytes_after: 1, ..observed(fault) };
            assert!(matches!(decide(&seen), Decision::Refuse(Proof::Contents { .. })));
        }
    }

    #[test]
    fn an_end_with_nothing_behind_it_is_clean() {
        for fault in [Fault::NeverWritten, Fault::MissingFile, Fault::MissingHeader] {
            assert_eq!(decide(&observed(fault)), Decision::Clean, "{fault:?}");
        }
    }

    #[test]
    fn everything_else_is_a_torn_tail() {
        let torn = Fault::Frame(quipu_format::FrameError::TrailerMagic);
        for (fault, bytes_after) in [
            (torn, 0),
            (torn, 1),
            (Fault::NeverWritten, 1),
            (Fault::MissingHeader, 1),
            (Fault::Unlinked, 0),
            (Fault::Unlinked, 1),
        ] {
            let seen = Observed { bytes_after, ..observed(fault) };
            assert_eq!(decide(&seen), Decision::Cut, "{fault:?}, {bytes_after} bytes behind");
        }
    }
}
