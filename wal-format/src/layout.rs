//! Where everything stands on disk: each offset is the one before plus a size.
//!
//! Owns: offsets, sizes, magics, limits. Calls nothing. All integers are little-endian.
//! FORMAT.md repeats these tables in words; `tests/format_md.rs` compares the two.

/// The format version that this crate writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// Frames, and payloads within them, start at multiples of this.
pub const ALIGNMENT: usize = 8;

/// The segment header: one block of its own at the start of a segment file.
pub mod segment {
    /// First eight bytes of every activated segment. Never changes, in any version.
    pub const MAGIC_VALUE: [u8; 8] = *b"QUIPUSEG";

    /// Offset of the magic, 8 bytes.
    pub const MAGIC: usize = 0;
    /// Offset of the format version, u32. Never moves, in any version.
    pub const FORMAT_VERSION: usize = MAGIC + 8;
    /// Offset of the checksum, u32, over the whole block with these four bytes as zero.
    /// Never moves, in any version.
    pub const CHECKSUM: usize = FORMAT_VERSION + 4;
    /// Offset of the required feature flags, u64: an unknown one refuses to open.
    pub const REQUIRED_FEATURES: usize = CHECKSUM + 4;
    /// Offset of the optional feature flags, u64: an unknown one is ignored.
    pub const OPTIONAL_FEATURES: usize = REQUIRED_FEATURES + 8;
    /// Offset of the log id, 16 bytes.
    pub const LOG_ID: usize = OPTIONAL_FEATURES + 8;
    /// Offset of the segment's sequence number, u64.
    pub const SEQUENCE: usize = LOG_ID + 16;
    /// Offset of the segment's capacity in bytes (the file's length), u64.
    pub const CAPACITY: usize = SEQUENCE + 8;
    /// Offset of the position of the segment's first event, u64.
    pub const BASE_POSITION: usize = CAPACITY + 8;
    /// Offset of the creation time, u64; it is the commit time of the predecessor's seal too.
    pub const CREATED_AT: usize = BASE_POSITION + 8;
    /// Offset of the offset behind the predecessor's seal, u64; 0 in the first segment.
    pub const PREDECESSOR_END: usize = CREATED_AT + 8;
    /// Offset of the synced position, u64; it is that of the predecessor's seal too.
    pub const SYNCED_POSITION: usize = PREDECESSOR_END + 8;
    /// Offset of the commit checksum of the predecessor's seal, u32; 0 in the first segment.
    pub const PREDECESSOR_CHECKSUM: usize = SYNCED_POSITION + 8;
    /// Offset behind the last field; all from here to [`BYTES`] is zero.
    pub const FIELDS_END: usize = PREDECESSOR_CHECKSUM + 4;

    /// Size of the block. Frames start behind it.
    pub const BYTES: usize = 4096;
    /// Smallest capacity of a segment: the header's block and one more.
    pub const CAPACITY_MIN: u64 = 8192;
    /// Largest capacity of a segment: 1 TiB.
    pub const CAPACITY_MAX: u64 = 1 << 40;
    /// Capacities are multiples of this.
    pub const CAPACITY_STEP: u64 = 4096;

    // All fields share the first 512-byte sector, so that a device writes them whole or not at all.
    const _: () = assert!(FIELDS_END <= 512 && LOG_ID.is_multiple_of(8));
}

/// The begin header of a frame.
pub mod header {
    /// Offset of the frame's length in bytes, u32: header, body, versions and trailer.
    pub const LENGTH: usize = 0;
    /// Offset of the kind, u8.
    pub const KIND: usize = LENGTH + 4;
    /// Offset of the flags, u8; bit 0 is reserved for a compressed body.
    pub const FLAGS: usize = KIND + 1;
    /// Offset of the number of named checkpoints, u16.
    pub const CHECKPOINT_COUNT: usize = FLAGS + 1;
    /// Offset of the number of events, u32.
    pub const EVENT_COUNT: usize = CHECKPOINT_COUNT + 2;
    /// Offset of the number of distinct streams, u32.
    pub const STREAM_COUNT: usize = EVENT_COUNT + 4;
    /// Offset of the first event's position, u64; without events, the position of the next one.
    pub const FIRST_POSITION: usize = STREAM_COUNT + 4;
    /// Offset of the commit time, u64.
    pub const COMMIT_TIME: usize = FIRST_POSITION + 8;
    /// Offset of the synced position, u64: all below it was durable when this frame was written.
    pub const SYNCED_POSITION: usize = COMMIT_TIME + 8;
    /// Offset of the previous frame's commit checksum, u32; in the first frame of a segment, the
    /// checksum of the segment's header.
    pub const PREVIOUS: usize = SYNCED_POSITION + 8;
    /// Offset of the header's own checksum, u32.
    pub const CHECKSUM: usize = PREVIOUS + 4;
    /// Size of the header.
    pub const BYTES: usize = CHECKSUM + 4;

    /// Flag: when the frame was written, all in front of it was on the device.
    pub const FLAG_SETTLED: u8 = 2;

    const _: () = assert!(BYTES == 48 && BYTES.is_multiple_of(super::ALIGNMENT));
}

/// The commit trailer of a frame.
pub mod trailer {
    /// Third field of every trailer, for the eye and for tools; proves nothing by itself.
    pub const MAGIC_VALUE: [u8; 4] = *b"KNOT";

    /// Offset of the body's checksum, u32.
    pub const BODY_CHECKSUM: usize = 0;
    /// Offset of the magic, 4 bytes.
    pub const MAGIC: usize = BODY_CHECKSUM + 4;
    /// Offset of the frame's length once more, u32, for walking back.
    pub const LENGTH: usize = MAGIC + 4;
    /// Offset of the commit checksum, u32, over everything.
    pub const COMMIT_CHECKSUM: usize = LENGTH + 4;
    /// Size of the trailer.
    pub const BYTES: usize = COMMIT_CHECKSUM + 4;

    const _: () = assert!(BYTES == 16 && BYTES.is_multiple_of(super::ALIGNMENT));
}

/// Between body and trailer: for each stream of the table, its version at its first event here.
pub mod versions {
    /// Size of one entry, u64.
    pub const ENTRY_BYTES: usize = 8;
    /// The one number that is no version: an entry that the commit has not filled in.
    pub const UNSET: u64 = u64::MAX;
}

/// The stream table at the start of a body.
pub mod streams {
    /// Size of one entry, u32: where its name ends, counted from the first name's start.
    pub const ENTRY_BYTES: usize = 4;
    /// Longest stream name in bytes.
    pub const NAME_BYTES_MAX: usize = 1024;
}

/// One event in a body.
pub mod event {
    /// Offset of the event's length in bytes, u32, to the end of its payload. The next event
    /// starts at the next multiple of 8.
    pub const LENGTH: usize = 0;
    /// Offset of the index into the stream table, u32.
    pub const STREAM: usize = LENGTH + 4;
    /// Offset of the metadata's length, u32.
    pub const METADATA_LENGTH: usize = STREAM + 4;
    /// Offset of the length of all tags together, u16.
    pub const TAGS_LENGTH: usize = METADATA_LENGTH + 4;
    /// Offset of the type's length, u8.
    pub const TYPE_LENGTH: usize = TAGS_LENGTH + 2;
    /// Offset of the flags, u8.
    pub const FLAGS: usize = TYPE_LENGTH + 1;
    /// Size of the fixed part. Then: id (16 bytes, if flagged), type, tags (each a u8 length and
    /// that many bytes), metadata, zeros to a multiple of 8, payload, zeros to a multiple of 8.
    pub const FIXED_BYTES: usize = FLAGS + 1;

    /// Size of the smallest event: a type of one byte, padded. Bounds the number of events in a
    /// frame before any of them is read.
    pub const BYTES_MIN: usize = super::aligned(FIXED_BYTES + 1);

    /// Flag: an id is there.
    pub const FLAG_ID: u8 = 1;
    /// Size of an id.
    pub const ID_BYTES: usize = 16;
    /// Longest type in bytes.
    pub const TYPE_BYTES_MAX: usize = 255;
    /// Longest tag in bytes.
    pub const TAG_BYTES_MAX: usize = 255;
    /// Longest list of tags in bytes, with one length byte for each.
    pub const TAGS_BYTES_MAX: usize = u16::MAX as usize;

    const _: () = assert!(FIXED_BYTES == 16 && FIXED_BYTES.is_multiple_of(super::ALIGNMENT));
}

/// One named checkpoint in a body, behind the events.
pub mod named {
    /// Offset of the position, u64.
    pub const POSITION: usize = 0;
    /// Offset of the name's length, u16.
    pub const NAME_LENGTH: usize = POSITION + 8;
    /// Size of the fixed part. Then: the name, zeros to a multiple of 8.
    pub const FIXED_BYTES: usize = NAME_LENGTH + 2;

    /// Size of the smallest checkpoint: a name of one byte, padded.
    pub const BYTES_MIN: usize = super::aligned(FIXED_BYTES + 1);

    /// Longest name in bytes.
    pub const NAME_BYTES_MAX: usize = 1024;

    const _: () = assert!(FIXED_BYTES == 10 && BYTES_MIN == 16);
}

/// The sidecar: the index of one sealed segment, in a file beside it.
pub mod sidecar {
    /// First eight bytes of every sidecar.
    pub const MAGIC_VALUE: [u8; 8] = *b"QUIPUIDX";
    /// The version of sidecars that this crate writes and reads. It has no part in the log's own.
    pub const FORMAT_VERSION: u32 = 1;

    /// Offset of the magic, 8 bytes.
    pub const MAGIC: usize = 0;
    /// Offset of the sidecar's format version, u32.
    pub const FORMAT_VERSION_AT: usize = MAGIC + 8;
    /// Offset of the checksum, u32, over the header with these four bytes as zero.
    pub const CHECKSUM: usize = FORMAT_VERSION_AT + 4;
    /// Offset of the log id, 16 bytes.
    pub const LOG_ID: usize = CHECKSUM + 4;
    /// Offset of the segment's sequence number, u64.
    pub const SEQUENCE: usize = LOG_ID + 16;
    /// Offset of the position of the segment's first event, u64.
    pub const BASE_POSITION: usize = SEQUENCE + 8;
    /// Offset of the position behind the segment's last event, u64.
    pub const END_POSITION: usize = BASE_POSITION + 8;
    /// Offset of the offset behind the seal, u64.
    pub const SEAL_END: usize = END_POSITION + 8;
    /// Offset of the seal's commit checksum, u32.
    pub const SEAL_CHECKSUM: usize = SEAL_END + 8;
    /// Offset of the number of named checkpoints, u32.
    pub const CHECKPOINT_COUNT: usize = SEAL_CHECKSUM + 4;
    /// Offset of the number of batches, u64.
    pub const BATCH_COUNT: usize = CHECKPOINT_COUNT + 4;
    /// Offset of the number of distinct streams, u64.
    pub const STREAM_COUNT: usize = BATCH_COUNT + 8;
    /// Offset of the number of distinct tags, u64.
    pub const TAG_COUNT: usize = STREAM_COUNT + 8;
    /// Offset of the number of distinct event types, u64.
    pub const TYPE_COUNT: usize = TAG_COUNT + 8;
    /// Offset of the table of sections.
    pub const SECTIONS: usize = TYPE_COUNT + 8;
    /// Size of the header. The first section starts behind it.
    pub const BYTES: usize = SECTIONS + SECTION_COUNT * section::BYTES;

    /// Number of sections.
    pub const SECTION_COUNT: usize = 9;

    /// One entry of the table of sections.
    pub mod section {
        /// Offset of the offset behind the section, u64; it begins where the one before ended.
        pub const END: usize = 0;
        /// Offset of the section's checksum, u32.
        pub const CHECKSUM: usize = END + 8;
        /// Offset of four zero bytes.
        pub const RESERVED: usize = CHECKSUM + 4;
        /// Size of the entry.
        pub const BYTES: usize = RESERVED + 4;
    }

    /// One entry of a table of names.
    pub mod entry {
        /// Offset of the name's hash, u64.
        pub const HASH: usize = 0;
        /// Offset of where the name's record starts in the records, u64.
        pub const RECORD: usize = HASH + 8;
        /// Size of the entry.
        pub const BYTES: usize = RECORD + 8;
    }

    /// One entry of the skip table of a long list of positions.
    pub mod skip {
        /// Offset of the event's position less the base position, u64.
        pub const POSITION: usize = 0;
        /// Offset of where the step from it to the next one stands, counted from the first, u64.
        pub const STEP: usize = POSITION + 8;
        /// Size of the entry.
        pub const BYTES: usize = STEP + 8;
        /// How many events lie between two entries.
        pub const EVERY: usize = 128;
    }

    /// One entry of the skip table of the frames.
    pub mod landmark {
        /// Offset of the frame's first position less the base position, u64.
        pub const POSITION: usize = 0;
        /// Offset of the frame's offset in the segment, u64.
        pub const OFFSET: usize = POSITION + 8;
        /// Offset of where the step from it to the next frame stands, counted from the first, u64.
        pub const STEP: usize = OFFSET + 8;
        /// Offset of the frame's commit checksum, u32.
        pub const CHECKSUM: usize = STEP + 8;
        /// Offset of four zero bytes.
        pub const RESERVED: usize = CHECKSUM + 4;
        /// Size of the entry.
        pub const BYTES: usize = RESERVED + 4;
        /// How many frames lie between two entries.
        pub const EVERY: usize = 16;
    }

    /// The filter of streams and tags.
    pub mod filter {
        /// Size of a block: eight words of 32 bits.
        pub const BLOCK_BYTES: usize = 32;
        /// How many names share a block: 10.7 bits a name.
        pub const NAMES_PER_BLOCK: usize = 24;
    }

    const _: () = assert!(BYTES == 248 && BYTES.is_multiple_of(super::ALIGNMENT));
}

/// The checkpoint of the streams: all of them as they were at the end of a sealed segment.
pub mod checkpoint {
    /// First eight bytes of every checkpoint.
    pub const MAGIC_VALUE: [u8; 8] = *b"QUIPUCKP";
    /// The version of checkpoints that this crate writes and reads.
    pub const FORMAT_VERSION: u32 = 1;

    /// Offset of the magic, 8 bytes.
    pub const MAGIC: usize = 0;
    /// Offset of the checkpoint's format version, u32.
    pub const FORMAT_VERSION_AT: usize = MAGIC + 8;
    /// Offset of the checksum, u32, over the header with these four bytes as zero.
    pub const CHECKSUM: usize = FORMAT_VERSION_AT + 4;
    /// Offset of the log id, 16 bytes.
    pub const LOG_ID: usize = CHECKSUM + 4;
    /// Offset of the sequence number of the last segment that is covered, u64.
    pub const SEQUENCE: usize = LOG_ID + 16;
    /// Offset of the position behind that segment's last event, u64.
    pub const END_POSITION: usize = SEQUENCE + 8;
    /// Offset of the offset behind its seal, u64.
    pub const SEAL_END: usize = END_POSITION + 8;
    /// Offset of its seal's commit checksum, u32.
    pub const SEAL_CHECKSUM: usize = SEAL_END + 8;
    /// Offset of the checksum of all that stands behind the header, u32.
    pub const RECORDS_CHECKSUM: usize = SEAL_CHECKSUM + 4;
    /// Offset of the number of streams, u64.
    pub const STREAM_COUNT: usize = RECORDS_CHECKSUM + 4;
    /// Offset of the file's length, u64.
    pub const LENGTH: usize = STREAM_COUNT + 8;
    /// Offset of the number of named checkpoints, u64.
    pub const CHECKPOINT_COUNT: usize = LENGTH + 8;
    /// Size of the header. The records stand behind it.
    pub const BYTES: usize = CHECKPOINT_COUNT + 8;

    const _: () = assert!(BYTES == 88 && BYTES.is_multiple_of(super::ALIGNMENT));
}

/// The base of a log whose first segments have been dropped: what must outlive them. Its header begins as
/// that of a checkpoint of the streams does, with another magic.
pub mod base {
    use super::checkpoint;

    /// First eight bytes of every base.
    pub const MAGIC_VALUE: [u8; 8] = *b"QUIPUBAS";
    /// The version of bases that this crate writes and reads.
    pub const FORMAT_VERSION: u32 = 1;

    /// Offset of the commit time of the last dropped segment's seal, u64.
    pub const SEAL_TIME: usize = checkpoint::BYTES;
    /// Offset of that seal's synced position, u64.
    pub const SYNCED_POSITION: usize = SEAL_TIME + 8;
    /// Size of the header. The records stand behind it.
    pub const BYTES: usize = SYNCED_POSITION + 8;

    const _: () = assert!(BYTES == 104 && BYTES.is_multiple_of(super::ALIGNMENT));
}

/// Size of a frame without body: a seal, a close or a mark.
pub const CONTROL_FRAME_BYTES: usize = header::BYTES + trailer::BYTES;

/// Longest frame in bytes: 1 GiB.
pub const FRAME_BYTES_MAX: usize = 1 << 30;

/// The next multiple of [`ALIGNMENT`] that is not below `length`; lengths of slices always have one.
#[must_use]
pub const fn aligned(length: usize) -> usize {
    length.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1)
}
