//! One frame, drawn part by part: what stands where, and what each checksum covers.
//!
//! Owns: [`draw_frame`]. May call: hex, the format.

use std::io::Write;

use quipu_format::checksum::body_checksum;
use quipu_format::{Body, Frame, FrameHeader, FrameKind, layout};

use super::hex::dump;
use super::walk::kind_of;
use crate::number::{counted, grouped};
use crate::show::printable;
use crate::time::rfc3339;

/// A part of a frame, as offsets from the frame's start.
struct Part {
    name: &'static str,
    from: usize,
    to: usize,
    says: String,
}

/// Draws the frame at `at` of a file. `bytes` begin with it; its header verifies, the rest need not.
pub(super) fn draw_frame(
    bytes: &[u8],
    header: &FrameHeader,
    (file, at): (&str, u64),
    hex: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let kind = kind_of(header.kind);
    writeln!(
        out,
        "frame at offset {} of {file}: a {kind} of {} bytes",
        grouped(at),
        header.frame_bytes
    )?;
    let settled = if header.settled { " and all in front synced" } else { "" };
    writeln!(
        out,
        "      committed {}, position {}, synced position {}{settled}, behind the frame with checksum {:08x}",
        rfc3339(header.commit_time.as_u64()),
        grouped(header.first_position.as_u64()),
        grouped(header.synced_position.as_u64()),
        header.previous,
    )?;
    let frame = Frame::again(*header, bytes).ok();
    for part in parts(header, frame.as_ref(), bytes) {
        let length = counted((part.to - part.from) as u64, "byte", "bytes");
        writeln!(out, "  +{:<7} {:<9} {length:>14}  {}", part.from, part.name, part.says)?;
        if let Some(frame) = frame.as_ref().filter(|_| part.name == "body") {
            draw_body(frame, out)?;
        }
        if hex {
            let shown = bytes.get(part.from..part.to.min(bytes.len())).unwrap_or_default();
            dump(shown, at + part.from as u64, out)?;
        }
    }
    Ok(())
}

fn parts(header: &FrameHeader, frame: Option<&Frame<'_>>, bytes: &[u8]) -> Vec<Part> {
    let frame_bytes = header.frame_bytes as usize;
    let trailer = frame_bytes.saturating_sub(layout::trailer::BYTES);
    let versions = header.stream_count as usize * layout::versions::ENTRY_BYTES;
    let versions = trailer.saturating_sub(versions);
    let word = |at: usize| {
        let four = bytes.get(at..).and_then(<[u8]>::first_chunk);
        four.map_or(0, |four: &[u8; 4]| u32::from_le_bytes(*four))
    };
    let (stored, commit) = (
        word(trailer + layout::trailer::BODY_CHECKSUM),
        word(trailer + layout::trailer::COMMIT_CHECKSUM),
    );
    let computed = frame.map(|frame| body_checksum(&[frame.body_bytes()]));
    let body_says = match computed {
        Some(computed) if computed == stored => format!("its checksum {stored:08x} is right"),
        Some(computed) => {
            format!("CHECKSUM {stored:08x} in the trailer, {computed:08x} of the bytes")
        }
        None => "NOT ALL OF IT IS THERE".to_owned(),
    };
    let magic =
        word(trailer + layout::trailer::MAGIC) == u32::from_le_bytes(layout::trailer::MAGIC_VALUE);
    let trailer_says = match magic {
        true => format!("commit checksum {commit:08x} over begin header, versions and trailer"),
        false => "NO MAGIC: the commit never reached the disk".to_owned(),
    };
    let own = word(layout::header::CHECKSUM);
    let begin = format!("checksum {own:08x} over these, bound to log, segment and offset: right");
    let mut parts = vec![Part { name: "begin", from: 0, to: layout::header::BYTES, says: begin }];
    if !matches!(header.kind, FrameKind::Control(_)) {
        parts.push(Part {
            name: "body",
            from: layout::header::BYTES,
            to: versions,
            says: body_says,
        });
    }
    if header.kind == FrameKind::Batch {
        let says = "each stream's version at its first event here".to_owned();
        parts.push(Part { name: "versions", from: versions, to: trailer, says });
    }
    parts.push(Part { name: "commit", from: trailer, to: frame_bytes, says: trailer_says });
    parts
}

/// Streams and events; what cannot be read is said, and ends it.
fn draw_body(frame: &Frame<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let body = match Body::decode(frame) {
        Ok(body) => body,
        Err(error) => return Ok(writeln!(out, "           NO BODY: {error}")?),
    };
    for (index, name) in (0_u32..).zip(body.streams().names()) {
        let version = frame.first_version(index).map_or(0, quipu_format::Version::as_u64);
        match name {
            Ok(name) => {
                writeln!(
                    out,
                    "           stream {index}: {}, from version {version} on",
                    printable(name)
                )?;
            }
            Err(error) => return Ok(writeln!(out, "           NO STREAM: {error}")?),
        }
    }
    for (position, event) in (frame.header.first_position.as_u64()..).zip(body.events()) {
        match event {
            Ok(event) => {
                let tags: Vec<String> = event.tags.iter().map(printable).collect();
                let tags =
                    if tags.is_empty() { String::new() } else { format!(" [{}]", tags.join(", ")) };
                writeln!(
                    out,
                    "           event {position}: stream {}, {}{tags}, {} of metadata, {} of payload",
                    event.stream,
                    printable(event.event_type),
                    counted(event.metadata.len() as u64, "byte", "bytes"),
                    counted(event.payload.len() as u64, "byte", "bytes"),
                )?;
            }
            Err(error) => return Ok(writeln!(out, "           NO EVENT: {error}")?),
        }
    }
    let checkpoints = match body.checkpoints() {
        Ok(checkpoints) => checkpoints,
        Err(error) => return Ok(writeln!(out, "           NO CHECKPOINT: {error}")?),
    };
    for checkpoint in checkpoints {
        match checkpoint {
            Ok(found) => {
                let (name, position) = (printable(found.name), found.position);
                writeln!(out, "           checkpoint {name}: {position}")?;
            }
            Err(error) => return Ok(writeln!(out, "           NO CHECKPOINT: {error}")?),
        }
    }
    Ok(())
}
