//! From an input to the files of a directory: a real log, and what is done to it.
//!
//! An input is a byte that says which log it begins with, then operations: a byte for which, and its
//! operands. They edit bytes, cut, copy, rename, add and delete files, and forge: what a faulty or
//! hostile writer would store, with right checksums. With [`FLAG_RAW`] the input is files and nothing
//! else: a name, a number of pages that they are filled up to, a length, the bytes.
//!
//! Operands are bytes, but for offsets, lengths and counts of bytes, which are two. A file is the
//! n-th of those that are there, a frame the n-th of its file.
//!
//! | | operation | operands |
//! |---|---|---|
//! | 0 | store bytes | file, offset, count (one byte), bytes |
//! | 1 | flip a bit | file, offset, bit |
//! | 2 | zero | file, offset, count |
//! | 3 | copy bytes | from file, to file, from offset, to offset, count |
//! | 4 | cut or grow a file | file, length |
//! | 5, 6, 7, 8 | delete, rename, copy, add a file of zeros | file; file, name; file, name; name, pages |
//! | 9 | make a frame's checksums right | file, frame |
//! | 10, 11 | the same, after another header field, or another byte | and field, number; offset, byte |
//! | 12 | another field of a segment header | file, field, number |
//! | 13 | append a frame | file, kind, synced positions less, streams, version |
//! | 14 | make a header that follows | file, whether its predecessor's seal is missing |
//! | 15 | store a repair mark | file, frame |

use quipu_format::layout::{self, segment};
use quipu_format::{
    ByteOffset, CommitFields, ControlKind, Predecessor, Salt, SegmentHeader, SegmentSeq,
};

use crate::FLAG_RAW;
use crate::forge::{
    batch, checkpoints, control, end_of, forge_header_field, forge_segment_header_field, frames,
    header_of, segment_name,
};
use crate::input::Input;
use crate::logs::{self, Files};
use crate::repair::{fix_frame, fix_segment_checksum, put, u32_at};

/// Most files of a directory.
const FILES_MAX: usize = 12;

/// The directory that an input stands for.
pub(crate) fn directory(data: &[u8]) -> Files {
    let mut input = Input::new(data);
    let first = input.u8();
    let is_raw = first & FLAG_RAW != 0;
    let files = if is_raw { Files::new() } else { logs::log(first >> 3) };
    let mut edit = Edit { files, input };
    while !edit.input.is_empty() {
        match is_raw {
            true => edit.add_raw(),
            false => edit.step(),
        }
    }
    edit.files
}

struct Edit<'a> {
    files: Files,
    input: Input<'a>,
}

impl Edit<'_> {
    fn step(&mut self) {
        match self.input.u8() % 16 {
            0 => self.put_bytes(),
            1 => self.in_file(|input, file| {
                let (at, bit) = (input.u16(), input.u8());
                file.get_mut(usize::from(at)).into_iter().for_each(|byte| *byte ^= 1 << (bit & 7));
            }),
            2 => self.in_file(|input, file| {
                let (at, count) = (usize::from(input.u16()), usize::from(input.u16()));
                file.iter_mut().skip(at).take(count).for_each(|byte| *byte = 0);
            }),
            3 => self.copy_bytes(),
            4 => self.in_file(|input, file| {
                let length = usize::from(input.u16());
                file.resize(length, 0);
            }),
            5 => drop(self.pick().and_then(|name| self.files.remove(&name))),
            6 => {
                let (from, to) = (self.pick(), self.name());
                let moved = from.and_then(|from| self.files.remove(&from));
                moved.into_iter().for_each(|bytes| self.add(to.clone(), bytes));
            }
            7 => {
                let (from, to) = (self.pick(), self.name());
                let copied = from.map(|from| self.files[&from].clone());
                copied.into_iter().for_each(|bytes| self.add(to.clone(), bytes));
            }
            8 => {
                let (name, pages) = (self.name(), self.pages());
                self.add(name, vec![0; pages]);
            }
            9 => self.in_frame(|_, _| {}),
            10 => self.in_frame(forge_header_field),
            11 => self.in_frame(|input, frame| {
                let (at, value) = (usize::from(input.u16()) % frame.len(), input.u8());
                frame[at] = value;
            }),
            12 => self.forge_segment_header(),
            13 => self.append_frame(),
            14 => self.link_header(),
            _ => self.put_repair_mark(),
        }
    }

    fn add_raw(&mut self) {
        let (name, pages, length) = (self.name(), self.pages(), self.input.u16());
        let mut bytes = self.input.bytes(usize::from(length)).to_vec();
        bytes.resize(bytes.len().max(pages), 0);
        self.add(name, bytes);
    }

    /// A length of whole pages.
    fn pages(&mut self) -> usize {
        usize::from(self.input.u8() % 5) * 4096
    }

    /// The name of a file that is there.
    fn pick(&mut self) -> Option<String> {
        let which = usize::from(self.input.u8());
        self.files.keys().nth(which % self.files.len().max(1)).cloned()
    }

    /// Any name: mostly of a segment.
    fn name(&mut self) -> String {
        match self.input.u8() {
            which @ 0..200 => segment_name(u64::from(which % 8)),
            200..210 => segment_name(u64::MAX),
            210..220 => "99999999999999999999.seg".to_owned(),
            220..230 => "1.seg".to_owned(),
            230..240 => format!("{}.tmp", segment_name(1)),
            _ => "LOCK".to_owned(),
        }
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) {
        if self.files.len() < FILES_MAX {
            self.files.insert(name, bytes);
        }
    }

    fn in_file(&mut self, change: impl FnOnce(&mut Input<'_>, &mut Vec<u8>)) {
        if let Some(name) = self.pick() {
            change(&mut self.input, self.files.get_mut(&name).unwrap());
        }
    }

    fn put_bytes(&mut self) {
        self.in_file(|input, file| {
            let (at, count) = (usize::from(input.u16()), usize::from(input.u8()));
            let bytes = input.bytes(count);
            file.iter_mut().skip(at).zip(bytes).for_each(|(byte, with)| *byte = *with);
        });
    }

    fn copy_bytes(&mut self) {
        let Some(from) = self.pick().map(|name| self.files[&name].clone()) else { return };
        self.in_file(|input, file| {
            let [source, target, count] = [input.u16(), input.u16(), input.u16()].map(usize::from);
            let bytes = from.iter().skip(source).take(count);
            file.iter_mut().skip(target).zip(bytes).for_each(|(byte, with)| *byte = *with);
        });
    }

    /// Changes a frame and makes its checksums right, salted as its segment's header says.
    fn in_frame(&mut self, change: impl FnOnce(&mut Input<'_>, &mut [u8])) {
        let Some(name) = self.pick() else { return };
        let (which, salt) = (usize::from(self.input.u8()), self.salt(&name));
        let file = self.files.get_mut(&name).unwrap();
        let frames = frames(file);
        let Some(at) = frames.get(which % frames.len().max(1)).copied() else { return };
        let end = at + u32_at(file, at) as usize;
        change(&mut self.input, &mut file[at..end]);
        if let Some(salt) = salt {
            fix_frame(&mut file[at..], salt, ByteOffset::new(at as u64));
        }
    }

    /// The log's id by any header, the sequence by the file's name.
    fn salt(&self, name: &str) -> Option<Salt> {
        let log_id = self.files.values().find_map(|file| Some(header_of(file)?.log_id))?;
        let sequence = name.strip_suffix(".seg")?.parse().ok()?;
        Some(Salt::new(log_id, SegmentSeq::new(sequence)))
    }

    fn forge_segment_header(&mut self) {
        self.in_file(|input, file| {
            let Some(block) = file.get_mut(..segment::BYTES) else { return };
            forge_segment_header_field(input, block);
            fix_segment_checksum(block);
        });
    }

    /// Goes on with the chain of a segment: another frame, as its log would have it but for the
    /// synced position and the streams' versions.
    fn append_frame(&mut self) {
        let Some(name) = self.pick() else { return };
        let [kind, synced] = [self.input.u8(), self.input.u8()];
        let (stream, version) = (self.input.u8(), u64::from(self.input.u8()));
        let (Some(salt), file) = (self.salt(&name), self.files.get_mut(&name).unwrap()) else {
            return;
        };
        let Some((chain, at)) = end_of(file, salt) else { return };
        // A forged base position may leave none for an event.
        if chain.position.as_u64().checked_add(2).is_none() {
            return;
        }
        let synced_position = chain.position.as_u64().saturating_sub(u64::from(synced)).into();
        let offset = ByteOffset::new(at as u64);
        let settled = kind & 0x40 != 0;
        let synced = (synced_position, settled);
        let control = |kind| control(kind, &chain, synced, salt, offset).0.to_vec();
        let frame = match kind % 4 {
            0 => control(ControlKind::Seal),
            1 => control(ControlKind::Close),
            2 => control(ControlKind::Mark),
            _ => {
                let fields = CommitFields {
                    offset,
                    first_position: chain.position,
                    commit_time: chain.time,
                    synced_position,
                    settled,
                    previous: chain.previous,
                };
                match kind & 0x80 {
                    0 => batch(stream, version, &fields, salt),
                    _ => checkpoints(stream, version, &fields, salt),
                }
            }
        };
        if let Some(place) = file.get_mut(at..at + frame.len()) {
            place.copy_from_slice(&frame);
        }
    }

    /// Gives a file the segment header that the segment before it leads to: as it ends, or as if a
    /// seal were its end that has not reached the disk.
    fn link_header(&mut self) {
        let Some(name) = self.pick() else { return };
        let is_seal_missing = self.input.u8() & 1 != 0;
        let sequence = name.strip_suffix(".seg").and_then(|digits| digits.parse::<u64>().ok());
        let before = sequence.and_then(|sequence| sequence.checked_sub(1)).map(segment_name);
        let Some((before, sequence)) = before.zip(sequence) else { return };
        let (Some(salt), Some(bytes)) = (self.salt(&before), self.files.get(&before)) else {
            return;
        };
        let Some((header, (mut chain, mut end))) = header_of(bytes).zip(end_of(bytes, salt)) else {
            return;
        };
        if is_seal_missing {
            let offset = ByteOffset::new(end as u64);
            chain.previous =
                control(ControlKind::Seal, &chain, (chain.synced_position, false), salt, offset).1;
            end += layout::CONTROL_FRAME_BYTES;
        }
        let file = self.files.get_mut(&name).unwrap();
        let has_length =
            file.len() >= 2 * segment::BYTES && file.len().is_multiple_of(segment::BYTES);
        if end <= segment::BYTES || !has_length || chain.synced_position > chain.position {
            return;
        }
        let next = SegmentHeader {
            sequence: SegmentSeq::new(sequence),
            capacity: file.len() as u64,
            base_position: chain.position,
            created_at: chain.time,
            synced_position: chain.synced_position,
            predecessor: Some(Predecessor {
                end: ByteOffset::new(end as u64),
                checksum: chain.previous,
            }),
            ..header
        };
        put(file, 0, &next.encode());
    }

    fn put_repair_mark(&mut self) {
        self.in_file(|input, file| {
            let places: Vec<usize> = frames(file).into_iter().chain([0]).collect();
            let at = places[usize::from(input.u8()) % places.len()];
            if file.len() >= at + 8 {
                put(file, at, b"Q\0\0\0\0\0\0\0");
            }
        });
    }
}
