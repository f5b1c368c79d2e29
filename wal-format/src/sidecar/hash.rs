//! The hashes of names.
//!
//! Owns: [`NameHasher`] and [`NameHash`]. May call: the `siphasher` crate.
//!
//! SipHash-1-3 with the log's id as key: whoever does not know the id cannot choose names that
//! collide, and one log's files are the same wherever they are made. Where two names of a kind do
//! have one hash, both are kept: names are compared in full.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::ids::LogId;

/// Hashes the names of one log.
#[derive(Debug, Clone, Copy)]
pub struct NameHasher {
    start: SipHasher13,
}

/// The hash of a stream's name, a tag or an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameHash(u64);

impl NameHash {
    /// Wraps a number, as it stands in a file.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The plain number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// What a name is the name of; hashed behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    Stream = 0,
    Tag = 1,
    EventType = 2,
}

impl NameHasher {
    /// The hasher of the log `log_id`.
    #[must_use]
    pub fn new(log_id: LogId) -> Self {
        Self { start: SipHasher13::new_with_key(log_id.as_bytes()) }
    }

    /// The hash of a stream's name.
    #[must_use]
    pub fn stream(&self, name: &str) -> NameHash {
        self.hash(name, NameKind::Stream)
    }

    /// The hash of a tag.
    #[must_use]
    pub fn tag(&self, tag: &str) -> NameHash {
        self.hash(tag, NameKind::Tag)
    }

    /// The hash of an event type.
    #[must_use]
    pub fn event_type(&self, event_type: &str) -> NameHash {
        self.hash(event_type, NameKind::EventType)
    }

    pub(super) fn hash(&self, name: &str, kind: NameKind) -> NameHash {
        let mut hasher = self.start;
        hasher.write(name.as_bytes());
        hasher.write(&[kind as u8]);
        NameHash(hasher.finish())
    }
}
