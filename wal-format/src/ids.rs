//! The number types of the log. Two of them never fit into one another's place.
//!
//! Owns: [`Position`], [`Version`], [`SegmentSeq`], [`ByteOffset`], [`CommitTime`], [`LogId`],
//! [`EventId`]. Calls nothing.

use core::fmt;
use core::time::Duration;

/// Defines a `u64` newtype with the few operations that all of them need.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The first one.
            pub const ZERO: Self = Self(0);

            /// Wraps a plain number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The plain number.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// The one `count` further on; stays at the largest number where there is none.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// The one before, if there is one.
            #[must_use]
            pub const fn before(self) -> Option<Self> {
                match self.0.checked_sub(1) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}

number! {
    /// A place in the global order: 0-based and dense. The n-th event ever committed has position n.
    ///
    /// ```
    /// use quipu_format::Position;
    /// assert_eq!(Position::new(7).plus(1).as_u64(), 8);
    /// ```
    Position
}

number! {
    /// A place in one stream: 0-based and dense. A stream's version is that of its last event.
    Version
}

number! {
    /// The sequence number of a segment: 0-based, in the order in which segments became active.
    SegmentSeq
}

number! {
    /// A distance in bytes from the start of a segment file.
    ByteOffset
}

number! {
    /// Nanoseconds since the Unix epoch. One a batch; never runs backwards in the log.
    CommitTime
}

impl CommitTime {
    /// The time as a duration since the Unix epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// The random 128-bit name of one log. Every checksum is bound to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// Wraps the 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The 128-bit id that a caller gave an event. Nil (all zero) is no id.
///
/// ```
/// use quipu_format::EventId;
/// let id = EventId::from(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128);
/// assert_eq!(id.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
/// assert!(EventId::from(0_u128).is_nil());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// Wraps the 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether this is the nil id, which counts as none.
    #[must_use]
    pub const fn is_nil(&self) -> bool {
        u128::from_ne_bytes(self.0) == 0
    }
}

impl From<u128> for EventId {
    /// The number's big-endian bytes, as in the text form of a UUID.
    fn from(number: u128) -> Self {
        Self(number.to_be_bytes())
    }
}

impl From<[u8; 16]> for EventId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
