//! What can become of a log at rest: decay of the device, and hands that should have stayed off.
//!
//! Owns: [`Defect`]. May call: the simulated disk, the format's checksums, which a forger has too.

use std::fmt;

use quipu::sim::{Decay, Missed, Place, SimDisk};
use quipu_format::checksum::{commit_checksum, crc32c_append};
use quipu_format::layout::{header, segment, trailer, versions};
use quipu_format::{ByteOffset, Salt};

use crate::draw::Draw;
use crate::image::{Image, Item, ItemKind, sequence_of};

/// One defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// The device has kept something badly.
    Decay {
        /// The file.
        file: String,
        /// What has become of it.
        decay: Decay,
    },
    /// A file is gone.
    Removed {
        /// Its name.
        file: String,
    },
    /// A file holds what another one does.
    Copied {
        /// The other one.
        from: String,
        /// The file; it may not have been there before.
        to: String,
    },
    /// Bytes were changed by somebody who made the checksums right again.
    Forged {
        /// The file.
        file: String,
        /// All of it.
        bytes: Vec<u8>,
        /// Where it was changed.
        offset: usize,
    },
}

impl Defect {
    /// Draws one for a log with these items. `older` gives how many older versions of a page there
    /// are.
    pub fn draw(
        draw: &mut impl Draw,
        (image, items): (&Image, &[Item]),
        older: impl Fn(&str, u64) -> usize,
    ) -> Option<Self> {
        let (file, offset) = draw_place(draw, image, items)?;
        let (other, there) = draw_place(draw, image, items)?;
        let back = draw.between(1, older(&file, offset).max(1) as u64) as usize;
        let decay = match draw.below(12) {
            0 | 1 => Decay::FlipBit { offset, bit: draw.below(8) as u8 },
            2 => Decay::ZeroSector { offset },
            3 => Decay::UnreadableSector { offset },
            4 => {
                let meant_for = Place::new(other, there);
                Decay::MisdirectedSector { offset, meant_for, missed: Missed::Own }
            }
            5 => Decay::SwappedPages { offset, with: Place::new(other, there) },
            6 => Decay::StaleSector { offset, back },
            7 => Decay::StalePage { offset, back },
            8 => Decay::Truncate { length: draw.below(image.files().get(&file)?.len() as u64) },
            9 => return Some(Self::Removed { file }),
            10 => {
                let segments = image.files().keys().filter_map(|name| sequence_of(name));
                let behind = segments.max().map_or(0, |last| last.as_u64() + 1);
                let next = format!("{behind:020}.seg");
                let to = if draw.one_in(2) { other } else { next };
                return (file != to).then_some(Self::Copied { from: file, to });
            }
            _ => return forge(draw, image, items),
        };
        Some(Self::Decay { file, decay })
    }

    /// Lets it happen. Whether anything changed.
    pub fn happen(&self, disk: &SimDisk) -> bool {
        match self {
            Self::Decay { file, decay } => disk.corrupt(file, decay.clone()),
            Self::Removed { file } => disk.remove_file(file),
            Self::Copied { from, to } => {
                let (bytes, before) = (disk.read_file(from), disk.read_file(to));
                let is_change = bytes.is_some() && bytes != before;
                bytes.iter().for_each(|bytes| disk.write_file(to, bytes));
                is_change
            }
            Self::Forged { file, bytes, .. } => {
                let is_change = disk.read_file(file).as_ref() != Some(bytes);
                disk.write_file(file, bytes);
                is_change
            }
        }
    }

    /// The place that cannot be read any more, if that is what it is.
    #[must_use]
    pub fn unreadable(&self) -> Option<(&str, u64)> {
        match self {
            Self::Decay { file, decay: Decay::UnreadableSector { offset } } => {
                Some((file, *offset))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decay { file, decay } => write!(f, "{file}: {decay:?}"),
            Self::Removed { file } => write!(f, "{file} is removed"),
            Self::Copied { from, to } => write!(f, "{from} is copied to {to}"),
            Self::Forged { file, offset, .. } => {
                write!(f, "{file}: forged at {offset}, with right checksums")
            }
        }
    }
}

/// Mostly where something stands.
fn draw_place(draw: &mut impl Draw, image: &Image, items: &[Item]) -> Option<(String, u64)> {
    if !items.is_empty() && !draw.one_in(5) {
        let place = draw.below(items.len() as u64) as usize;
        let item = items.get(place)?;
        let offset = item.bytes.start as u64 + draw.below(item.bytes.len() as u64);
        return Some((item.file.clone(), offset));
    }
    let place = draw.below(image.files().len() as u64) as usize;
    let (name, bytes) = image.files().iter().nth(place)?;
    Some((name.clone(), draw.below(bytes.len() as u64)))
}

/// Changes a field of an item, and makes the checksums right.
fn forge(draw: &mut impl Draw, image: &Image, items: &[Item]) -> Option<Defect> {
    let item = items.get(draw.below(items.len() as u64) as usize)?;
    let mut bytes = image.files().get(&item.file)?.clone();
    let segments = items.iter().filter(|item| item.kind == ItemKind::Header).count();
    let within = match item.kind {
        // With another id nothing in its files would be of the log any more, and nobody could tell.
        ItemKind::Header if segments > 1 => pick(draw, &HEADER_FIELDS),
        ItemKind::Header => pick(draw, HEADER_FIELDS.get(1..)?),
        ItemKind::Batch | ItemKind::Checkpoints => pick(draw, &FRAME_FIELDS),
        _ => pick(draw, FRAME_FIELDS.get(1..)?),
    };
    let offset = item.bytes.start + within;
    let bit = match draw.below(8) {
        // Settled or not is a claim, too.
        1 if item.kind != ItemKind::Header && within == header::FLAGS => 2,
        bit => bit,
    };
    let byte = bytes.get_mut(offset)?;
    *byte ^= 1 << bit;
    match item.kind {
        ItemKind::Header => fix_segment_header(&mut bytes)?,
        _ => fix_frame(bytes.get_mut(item.bytes.clone())?, item.salt, item.bytes.start as u64)?,
    }
    Some(Defect::Forged { file: item.file.clone(), bytes, offset })
}

fn pick(draw: &mut impl Draw, fields: &[usize]) -> usize {
    fields.get(draw.below(fields.len() as u64) as usize).copied().unwrap_or_default()
}

/// Makes the checksum of a segment's header right.
fn fix_segment_header(bytes: &mut [u8]) -> Option<()> {
    let block = bytes.get_mut(..segment::BYTES)?;
    put(block, segment::CHECKSUM, 0)?;
    let checksum = crc32c_append(0, block);
    put(block, segment::CHECKSUM, checksum)
}

/// Makes the checksums of a frame's header and commit right; its body's is.
fn fix_frame(frame: &mut [u8], salt: Salt, offset: u64) -> Option<()> {
    let fields = frame.get(..header::CHECKSUM)?;
    let checksum = salt.header_checksum(ByteOffset::new(offset), fields);
    let streams = fields.get(header::STREAM_COUNT..)?.first_chunk::<4>()?;
    let streams = u32::from_le_bytes(*streams) as usize;
    put(frame, header::CHECKSUM, checksum)?;
    let start = frame.len().checked_sub(trailer::BYTES)?;
    let Some(versions_start) = streams
        .checked_mul(versions::ENTRY_BYTES)
        .and_then(|length| start.checked_sub(length))
        .filter(|versions_start| *versions_start >= header::BYTES)
    else {
        // So many streams do not fit: there is no right commit checksum.
        return Some(());
    };
    let versions = frame.get(versions_start..start)?;
    let fields = frame.get(start..start + trailer::COMMIT_CHECKSUM)?;
    let commit = commit_checksum(checksum, versions, fields);
    put(frame, start + trailer::COMMIT_CHECKSUM, commit)
}

fn put(bytes: &mut [u8], at: usize, value: u32) -> Option<()> {
    bytes.get_mut(at..at + 4)?.copy_from_slice(&value.to_le_bytes());
    Some(())
}

/// What a forger changes in a segment's header; the log's id first. Not the synced position: that
/// would be a claim, and true or not nobody could tell.
const HEADER_FIELDS: [usize; 9] = [
    segment::LOG_ID,
    segment::FORMAT_VERSION,
    segment::REQUIRED_FEATURES,
    segment::SEQUENCE,
    segment::CAPACITY + 1,
    segment::BASE_POSITION,
    segment::PREDECESSOR_END,
    segment::PREDECESSOR_CHECKSUM,
    segment::FIELDS_END + 5,
];

/// What a forger changes in a frame's header; the kind first, which makes one control frame another
/// that is right. Not its time: any that does not run backwards is right.
const FRAME_FIELDS: [usize; 7] = [
    header::KIND,
    header::FLAGS,
    header::CHECKPOINT_COUNT,
    header::EVENT_COUNT,
    header::STREAM_COUNT,
    header::FIRST_POSITION,
    header::PREVIOUS,
];
