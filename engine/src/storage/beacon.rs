//! How far the log is durable, told by the live writer to readers in other processes.
//!
//! Owns: [`Beacon`], the writer's half, and [`Claim`], what a reader finds. May call: the seam of this
//! module. The page is the file `SYNCED`, no part of the log: nothing that recovers ever looks at it.
//!
//! The writer stores two words for each sync, after the sync and without a system call. A reader
//! looks when it likes, and holds nobody up.
//!
//! Why a claim is true: it is stored only once all below its position is on the device, and recovery
//! never takes such events away. So the claim of a writer that has died stays true while the machine
//! is up. A claim of another boot may have outlived what it speaks of (a device that lied, files that
//! were put back), and so may one that nobody vouches for: a reader takes up the claims of a session
//! of its own boot and log only while a writer holds the directory's lock. What a claim leads to is
//! verified frame by frame all the same.
//!
//! A look may meet the page between two stores. The last word is a checksum of the others: a mixture of
//! two claims does not pass, where their positions differ within 32 neighbouring bits for certain.

use std::io;
use std::sync::Arc;

use quipu_format::checksum::crc32c_append;
use quipu_format::{LogId, Position};

use super::{Directory, StoreMode};
use crate::sync::atomic::{Ordering, fence};

/// The words of the page.
pub(crate) type Words = [u64; 8];

const MAGIC: u64 = u64::from_le_bytes(*b"QUIPUEND");
/// Where the words that a sync changes begin: position and checksum.
const POSITION: usize = 6;

/// The page, as the one writer stores to it.
pub(crate) trait BeaconPage: std::fmt::Debug + Send {
    /// Stores `words`, each whole, from the place `at` on. Whoever sees the last of them sees all that
    /// was stored before it, here and in segments.
    fn store(&self, at: usize, words: &[u64]) -> io::Result<()>;
}

/// What a page says, if it says something whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The boot of the machine in which it was made.
    pub(crate) boot: u128,
    pub(crate) log_id: LogId,
    /// One opening of the log.
    pub(crate) session: u64,
    /// All below was durable when it was made.
    pub(crate) position: Position,
}

impl Claim {
    /// Reads a page. `None`: nothing, or a store is under way.
    pub(crate) fn decode(words: &Words) -> Option<Self> {
        let [magic, boot_low, boot_high, log_low, log_high, session, position, check] = *words;
        let claim = Self {
            boot: u128::from(boot_low) | u128::from(boot_high) << 64,
            log_id: LogId::from_bytes(
                (u128::from(log_low) | u128::from(log_high) << 64).to_le_bytes(),
            ),
            session,
            position: Position::new(position),
        };
        (magic == MAGIC && check == checksum(words)).then_some(claim)
    }

    /// Takes the place of another claim of the same session.
    pub(crate) fn announce(&self, page: &dyn BeaconPage) -> io::Result<()> {
        page.store(POSITION, self.encode().get(POSITION..).unwrap_or_default())
    }

    /// The words that say so.
    pub(crate) fn encode(&self) -> Words {
        let log_id = u128::from_le_bytes(*self.log_id.as_bytes());
        let mut words = [
            MAGIC,
            self.boot as u64,
            (self.boot >> 64) as u64,
            log_id as u64,
            (log_id >> 64) as u64,
            self.session,
            self.position.as_u64(),
            0,
        ];
        let found = checksum(&words);
        let [.., check] = &mut words;
        *check = found;
        words
    }
}

/// Looks at a directory's page. What the claim speaks of is seen by whoever looks for it afterwards.
pub(crate) fn read(directory: &dyn Directory, anew: bool) -> io::Result<Option<Claim>> {
    look(|| directory.read_beacon(anew))
}

/// As [`read`], of the words that `words` gives, each of them whole.
pub(crate) fn look(
    mut words: impl FnMut() -> io::Result<Option<Words>>,
) -> io::Result<Option<Claim>> {
    for _ in 0..LOOKS_MAX {
        let Some(words) = words()? else { return Ok(None) };
        // The stores that the claim speaks of came before it; no look at them may have come before this.
        fence(Ordering::Acquire);
        let claim = Claim::decode(&words);
        let [magic, ..] = words;
        if claim.is_some() || magic != MAGIC {
            return Ok(claim);
        }
    }
    Ok(None)
}

/// How often a page is looked at that is being stored to.
const LOOKS_MAX: usize = 4;

/// The checksum of all words but the last.
fn checksum(words: &Words) -> u64 {
    let [covered @ .., _] = words;
    let state = covered.iter().fold(0, |state, word| crc32c_append(state, &word.to_le_bytes()));
    u64::from(state)
}

/// The writer's half: who makes groups durable has it.
#[derive(Debug)]
pub(crate) struct Beacon {
    directory: Arc<dyn Directory>,
    page: Box<dyn BeaconPage>,
    claim: Claim,
}

impl Beacon {
    /// Begins a session: a log whose recovery has finished is durable up to `position`. Under the
    /// directory's lock. `None`: there can be no page; readers go by what frames say of those in front.
    pub(crate) fn light(
        directory: &Arc<dyn Directory>,
        mode: StoreMode,
        log_id: LogId,
        position: Position,
        new_session: impl FnOnce(u64) -> u64,
    ) -> Option<Self> {
        let lit = || {
            let boot = directory.boot()?;
            let before = directory.read_beacon(true).ok().flatten();
            let page = directory.open_beacon(mode)?;
            let session = new_session(before.map_or(0, |[.., session, _, _]| session));
            let claim = Claim { boot, log_id, session, position };
            page.store(0, &claim.encode())?;
            Ok::<_, io::Error>(Self { directory: Arc::clone(directory), page, claim })
        };
        lit().inspect_err(|_| directory.remove_beacon()).ok()
    }

    /// All below `position` is durable. By the one that makes it so only. `false`: it could not be
    /// said; the page is gone, and nothing more is to be said.
    pub(crate) fn announce(&mut self, position: Position) -> bool {
        self.claim.position = position;
        let stored = self.claim.announce(&*self.page);
        stored.inspect_err(|_| self.directory.remove_beacon()).is_ok()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;

    fn claim(position: u64) -> Claim {
        Claim {
            boot: 7 << 100 | 9,
            log_id: LogId::from_bytes([3; 16]),
            session: 5,
            position: Position::new(position),
        }
    }

    #[test]
    fn what_is_claimed_is_read() {
        for position in [0, 1, u64::MAX] {
            assert_eq!(Claim::decode(&claim(position).encode()), Some(claim(position)));
        }
        assert_eq!(Claim::decode(&[0; 8]), None);
    }

    #[test]
    fn a_mixture_of_two_claims_is_none() {
        let (old, new) = (claim(255).encode(), claim(256).encode());
        for taken in 1..0xFF_u32 {
            let mixed: Words =
                std::array::from_fn(|at| if taken >> at & 1 == 1 { new[at] } else { old[at] });
            if mixed != old && mixed != new {
                assert_eq!(Claim::decode(&mixed), None, "{taken:b}");
            }
        }
    }

    #[test]
    fn every_bit_of_a_page_counts() {
        let words = claim(77).encode();
        for bit in 0..words.len() * 64 {
            let mut flipped = words;
            flipped[bit / 64] ^= 1 << (bit % 64);
            assert_eq!(Claim::decode(&flipped), None, "bit {bit}");
        }
    }
}
