//! The end of the log: clean, torn or damaged.
//!
//! Owns: [`decide`], pure. The rule is that of FORMAT.md, section 8, and is stated at the head of
//! [`crate::verify`].

use quipu_format::{FrameError, Position, SegmentHeaderError};

use super::streams::StreamFault;

/// What is wrong at X, where the frames stop verifying.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("nothing is written there")]
    NeverWritten,
    #[error("{0}")]
    Frame(FrameError),
    #[error("{0}")]
    Stream(StreamFault),
    #[error("the file is missing")]
    MissingFile,
    #[error("the segment's header was never written")]
    MissingHeader,
    #[error("the segment's {0}")]
    Header(SegmentHeaderError),
    #[error("the segment's header does not continue the segment before it")]
    Unlinked,
    #[error("the file is {found} bytes long, its header says {expected}")]
    Length { expected: u64, found: u64 },
    #[error("the file is {found} bytes long, which no segment is")]
    NoSegmentLength { found: u64 },
}

/// What stands at X and behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Behind {
    /// The highest synced position, and where it stands.
    pub(super) evidence: Option<Sighting>,
    /// A frame behind X that says that all in front of it was durable: its file and offset.
    pub(super) settled: Option<(String, u64)>,
    /// The segment in front of X, if X is the start of one and that is sealed.
    pub(super) sealed_before: Option<String>,
    /// The log's base, if X is the start of the segment that it names.
    pub(super) base: Option<String>,
    /// The first segment that cannot be there without the one of X.
    pub(super) there_behind: Option<String>,
    /// The first file at X or behind it whose magic no crash leaves, and what that is.
    pub(super) wrong_magic: Option<(String, SegmentHeaderError)>,
    /// A file with contents that cannot be checked, because no header tells the log's id.
    pub(super) unchecked: Option<String>,
    /// From X to the last byte that is not zero, in each file.
    pub(super) bytes: u64,
    /// Prepared segments: zero from end to end.
    pub(super) unused: u64,
}

/// A header that verifies, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) synced_position: Position,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The log ends at X, and nothing is behind it.
    Clean,
    /// What is behind X was never acknowledged as durable.
    Torn,
    /// What is missing at X had been durable, or no crash explains what is there.
    Damage(Proof),
}

/// How damage is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Proof {
    #[error(
        "{} says at offset {} that all below position {} was durable",
        .0.file, .0.offset, .0.synced_position
    )]
    Synced(Sighting),
    #[error("{file} says at offset {offset} that all in front of there was durable")]
    Settled { file: String, offset: u64 },
    #[error("its checksums are right, so no crash explains it: a faulty or newer writer wrote it")]
    Contradiction,
    #[error("{file} comes after it and cannot be there without it")]
    ThereBehind { file: String },
    #[error("{file} says that the log goes on there")]
    Base { file: String },
    #[error("{file} is sealed, so the one behind it had its name, durably")]
    Sealed { file: String },
    #[error("the length of a segment never changes")]
    FixedLength,
    #[error("no crash leaves such a magic: {file} has decayed or does not belong there")]
    WrongMagic { file: String, error: SegmentHeaderError },
    #[error("{file} has contents that cannot be checked without a header")]
    Contents { file: String },
}

/// Decides, from what is wrong at X (at `position`) and what stands behind.
pub(super) fn decide(fault: &Fault, position: Position, behind: &Behind) -> Decision {
    if let Some(sighting) = &behind.evidence
        && sighting.synced_position > position
    {
        return Decision::Damage(Proof::Synced(sighting.clone()));
    }
    if let Some((file, offset)) = behind.settled.clone() {
        return Decision::Damage(Proof::Settled { file, offset });
    }
    if let Some(file) = behind.base.clone() {
        return Decision::Damage(Proof::Base { file });
    }
    // What no crash does to a file, whatever was synced.
    let Behind { sealed_before, there_behind, wrong_magic, unchecked, .. } = behind;
    let proof = match fault {
        fault if is_contradiction(fault) => Some(Proof::Contradiction),
        Fault::Length { .. } | Fault::NoSegmentLength { .. } => Some(Proof::FixedLength),
        Fault::MissingFile => {
            let there_behind = there_behind.clone().map(|file| Proof::ThereBehind { file });
            there_behind.or_else(|| sealed_before.clone().map(|file| Proof::Sealed { file }))
        }
        _ => None,
    };
    let wrong_magic = || {
        let (file, error) = wrong_magic.clone()?;
        Some(Proof::WrongMagic { file, error })
    };
    let contents = || unchecked.clone().map(|file| Proof::Contents { file });
    if let Some(proof) = proof.or_else(wrong_magic).or_else(contents) {
        return Decision::Damage(proof);
    }
    match fault {
        Fault::NeverWritten | Fault::MissingFile | Fault::MissingHeader if behind.bytes == 0 => {
            Decision::Clean
        }
        _ => Decision::Torn,
    }
}

/// Whether the checksums are right and what they cover breaks a rule.
pub(crate) fn is_contradiction(fault: &Fault) -> bool {
    match fault {
        Fault::Stream(_) => true,
        Fault::Frame(error) => error.is_contradiction(),
        Fault::Header(error) => matches!(error, SegmentHeaderError::Field { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITION: Position = Position::new(10);

    fn faults() -> [Fault; 12] {
        let named_twice = StreamFault::NamedTwice { stream: "s".to_owned() };
        [
            Fault::NeverWritten,
            Fault::Frame(FrameError::TrailerMagic),
            Fault::Frame(FrameError::Previous { expected: 1, found: 2 }),
            Fault::Frame(FrameError::Field { field: "frame flags", found: 1 }),
            Fault::Stream(named_twice),
            Fault::MissingFile,
            Fault::MissingHeader,
            Fault::Unlinked,
            Fault::Length { expected: 8192, found: 4096 },
            Fault::NoSegmentLength { found: 5000 },
            Fault::Header(SegmentHeaderError::Checksum { stored: 1, computed: 2 }),
            Fault::Header(SegmentHeaderError::Field { field: "capacity", found: 1 }),
        ]
    }

    fn saying(synced: u64) -> Behind {
        let synced_position = Position::new(synced);
        let evidence = Some(Sighting { file: "later".to_owned(), offset: 8, synced_position });
        Behind { evidence, bytes: 1, ..Behind::default() }
    }

    #[test]
    fn a_synced_position_above_x_is_damage_whatever_stands_at_x() {
        for fault in faults() {
            let decision = decide(&fault, POSITION, &saying(11));
            assert!(matches!(decision, Decision::Damage(Proof::Synced(_))), "{fault}");
        }
    }

    #[test]
    fn a_synced_position_up_to_x_proves_nothing() {
        for synced in [0, 9, 10] {
            assert_eq!(decide(&Fault::NeverWritten, POSITION, &saying(synced)), Decision::Torn);
        }
    }

    #[test]
    fn each_fault_by_itself_is_judged() {
        let nothing = Behind::default();
        let damage = |proof| Decision::Damage(proof);
        for (fault, expected) in faults().iter().zip([
            Decision::Clean,
            Decision::Torn,
            Decision::Torn,
            damage(Proof::Contradiction),
            damage(Proof::Contradiction),
            Decision::Clean,
            Decision::Clean,
            Decision::Torn,
            damage(Proof::FixedLength),
            damage(Proof::FixedLength),
            Decision::Torn,
            damage(Proof::Contradiction),
        ]) {
            assert_eq!(decide(fault, POSITION, &nothing), expected, "{fault}");
        }
    }

    #[test]
    fn a_missing_file_in_front_of_one_that_needs_it_or_behind_a_seal_is_damage() {
        let file = || "other".to_owned();
        let needs = Behind { there_behind: Some(file()), bytes: 1, ..Behind::default() };
        let sealed = Behind { sealed_before: Some(file()), bytes: 1, ..Behind::default() };
        for (behind, proof) in
            [(needs, Proof::ThereBehind { file: file() }), (sealed, Proof::Sealed { file: file() })]
        {
            let missing = decide(&Fault::MissingFile, POSITION, &behind);
            assert_eq!(missing, Decision::Damage(proof));
            assert_eq!(decide(&Fault::MissingHeader, POSITION, &behind), Decision::Torn);
        }
    }

    #[test]
    fn a_wrong_magic_is_damage_in_its_own_file_whatever_else_could_be_torn() {
        let error = SegmentHeaderError::Magic { found: *b"PK\x03\x04\0\0\0\0" };
        let wrong = || ("wrong".to_owned(), error);
        let (file, _) = wrong();
        let expected = Decision::Damage(Proof::WrongMagic { file, error });
        for fault in [Fault::NeverWritten, Fault::MissingHeader, Fault::Header(error)] {
            for bytes in [0, 1] {
                let behind = Behind { wrong_magic: Some(wrong()), bytes, ..Behind::default() };
                assert_eq!(decide(&fault, POSITION, &behind), expected, "{fault}");
            }
        }
    }

    #[test]
    fn contents_that_no_header_explains_are_damage() {
        let behind = Behind { unchecked: Some("0".to_owned()), bytes: 1, ..Behind::default() };
        let expected = Decision::Damage(Proof::Contents { file: "0".to_owned() });
        assert_eq!(decide(&Fault::MissingHeader, POSITION, &behind), expected);
    }
}
