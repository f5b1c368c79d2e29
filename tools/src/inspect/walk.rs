//! From frame to frame of one segment.
//!
//! Owns: [`show_segment`], [`show_missing`]. May call: drawing, hex, the verifier's directory, the format.

use std::io::Write;

use quipu_format::{
    ByteOffset, Chain, ControlKind, FrameError, FrameHeader, FrameKind, Salt, SegmentHeader, Step,
    layout,
};
use serde::Serialize;

use super::Request;
use super::drawing::draw_frame;
use super::hex::dump;
use crate::number::{counted, grouped};
use crate::outcome::Outcome;
use crate::time::rfc3339;
use crate::verify::directory::{HeaderState, SegmentFile};

/// One line of JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Segment {
        file: &'a str,
        bytes: u64,
        log_id: String,
        base_position: u64,
        created_at_nanos: u64,
        synced_position: u64,
        checksum: String,
    },
    Prepared {
        file: &'a str,
        bytes: u64,
    },
    Frame {
        file: &'a str,
        offset: u64,
        bytes: u32,
        frame: &'static str,
        first_position: u64,
        events: u32,
        streams: u32,
        checkpoints: u16,
        settled: bool,
        committed_at_nanos: u64,
        synced_position: u64,
        commit_checksum: String,
    },
    /// Nothing was ever written here.
    End {
        file: &'a str,
        offset: u64,
    },
    /// There is no such file, though there must be.
    Missing {
        file: &'a str,
    },
    /// What stands here does not verify.
    Wrong {
        file: &'a str,
        offset: u64,
        why: String,
    },
}

/// Says that a segment is missing.
pub(super) fn show_missing(
    file: &str,
    request: &Request,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    say(&Line::Missing { file }, request, out)
}

/// Shows a segment: its header, and its frames up to the first that does not verify.
pub(super) fn show_segment(
    mut file: SegmentFile,
    request: &Request,
    out: &mut impl Write,
) -> anyhow::Result<Outcome> {
    let (name, bytes) = (file.name.clone(), file.length);
    let wrong = |why: String, offset: u64| Line::Wrong { file: &name, offset, why };
    let header = match file.header {
        HeaderState::Activated(header) => header,
        HeaderState::Unused => {
            say(&Line::Prepared { file: &name, bytes }, request, out)?;
            return Ok(Outcome::Fine);
        }
        HeaderState::Bad(error) => {
            say(&wrong(error.to_string(), 0), request, out)?;
            show_hex(&mut file, 0..64, request, out)?;
            return Ok(Outcome::Wrong);
        }
    };
    if request.position.is_none() {
        say(&segment_line(&name, bytes, &header), request, out)?;
        show_hex(&mut file, 0..layout::segment::FIELDS_END as u64, request, out)?;
    }
    let salt = Salt::new(header.log_id, header.sequence);
    let mut chain = Chain::at_start_of(&header);
    let mut offset = ByteOffset::new(layout::segment::BYTES as u64);
    loop {
        let stands = frame_bytes(&mut file, salt, offset)?;
        let at = offset.as_u64();
        let (frame, next) = match chain.step(stands, salt, offset) {
            Step::Frame { frame, chain } => (frame, chain),
            Step::NeverWritten => {
                say(&Line::End { file: &name, offset: at }, request, out)?;
                return Ok(Outcome::Fine);
            }
            Step::Bad(error) => {
                show_wrong(&mut file, (salt, offset), error, request, out)?;
                return Ok(Outcome::Wrong);
            }
        };
        let held = frame.header.first_position..frame.header.end_position();
        let wanted = request.position.is_none_or(|one| held.contains(&one.into()));
        if wanted && request.position.is_some() && !request.json {
            draw_frame(stands, &frame.header, (&name, at), request.hex, out)?;
        } else if wanted {
            say(&frame_line(&name, at, &frame.header, frame.commit_checksum()), request, out)?;
            if request.hex && !request.json {
                dump(stands.get(..frame.header.frame_bytes as usize).unwrap_or(stands), at, out)?;
            }
        }
        if wanted && request.position.is_some() {
            return Ok(Outcome::Fine);
        }
        let is_seal = frame.header.kind == FrameKind::Control(ControlKind::Seal);
        if is_seal {
            return Ok(Outcome::Fine);
        }
        offset = offset.plus(u64::from(frame.header.frame_bytes));
        chain = next;
    }
}

/// Says what does not verify, and draws it as far as its header tells what it is.
fn show_wrong(
    file: &mut SegmentFile,
    (salt, offset): (Salt, ByteOffset),
    error: FrameError,
    request: &Request,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (name, at) = (file.name.clone(), offset.as_u64());
    say(&Line::Wrong { file: &name, offset: at, why: error.to_string() }, request, out)?;
    if request.json {
        return Ok(());
    }
    let stands = frame_bytes(file, salt, offset)?;
    match FrameHeader::decode(stands, salt, offset) {
        Ok(Some(header)) => draw_frame(stands, &header, (&name, at), request.hex, out),
        _ => show_hex(file, at..at + layout::header::BYTES as u64, request, out),
    }
}

/// The bytes at `offset`: those of the whole frame, if its header verifies.
fn frame_bytes(file: &mut SegmentFile, salt: Salt, offset: ByteOffset) -> anyhow::Result<&[u8]> {
    let header_bytes = layout::header::BYTES as u64;
    let head = file.at(offset.as_u64(), header_bytes)?;
    let wanted = match FrameHeader::decode(head, salt, offset) {
        Ok(Some(header)) => u64::from(header.frame_bytes),
        Ok(None) | Err(_) => header_bytes,
    };
    Ok(file.at(offset.as_u64(), wanted)?)
}

fn show_hex(
    file: &mut SegmentFile,
    range: std::ops::Range<u64>,
    request: &Request,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if !request.hex || request.json {
        return Ok(());
    }
    let wanted = range.end - range.start;
    let bytes = file.at(range.start, wanted)?;
    let length = usize::try_from(wanted)?.min(bytes.len());
    Ok(dump(bytes.get(..length).unwrap_or(bytes), range.start, out)?)
}

fn segment_line<'a>(file: &'a str, bytes: u64, header: &SegmentHeader) -> Line<'a> {
    Line::Segment {
        file,
        bytes,
        log_id: header.log_id.to_string(),
        base_position: header.base_position.as_u64(),
        created_at_nanos: header.created_at.as_u64(),
        synced_position: header.synced_position.as_u64(),
        checksum: format!("{:08x}", header.checksum()),
    }
}

fn frame_line<'a>(file: &'a str, offset: u64, header: &FrameHeader, checksum: u32) -> Line<'a> {
    Line::Frame {
        file,
        offset,
        bytes: header.frame_bytes,
        frame: kind_of(header.kind),
        first_position: header.first_position.as_u64(),
        events: header.event_count,
        streams: header.stream_count,
        checkpoints: header.checkpoint_count,
        settled: header.settled,
        committed_at_nanos: header.commit_time.as_u64(),
        synced_position: header.synced_position.as_u64(),
        commit_checksum: format!("{checksum:08x}"),
    }
}

/// What a frame is, in one word.
pub(super) fn kind_of(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Batch => "batch",
        FrameKind::Checkpoints => "checkpoints",
        FrameKind::Control(ControlKind::Seal) => "seal",
        FrameKind::Control(ControlKind::Close) => "close",
        FrameKind::Control(_) => "mark",
    }
}

fn say(line: &Line<'_>, request: &Request, out: &mut impl Write) -> anyhow::Result<()> {
    if request.json {
        serde_json::to_writer(&mut *out, line)?;
        return Ok(out.write_all(b"\n")?);
    }
    match line {
        Line::Segment { file, bytes, log_id, base_position, created_at_nanos, .. } => {
            let (bytes, position) = (grouped(*bytes), grouped(*base_position));
            let created = rfc3339(*created_at_nanos);
            writeln!(out, "{file}  {bytes} bytes, from position {position} on")?;
            writeln!(out, "      log {log_id}, begun {created}")?;
        }
        Line::Prepared { file, bytes } => {
            writeln!(out, "{file}  {} bytes, prepared and unused", grouped(*bytes))?;
        }
        Line::Frame { offset, bytes, frame, first_position, events, synced_position, .. } => {
            let Line::Frame { committed_at_nanos, commit_checksum, .. } = line else {
                return Ok(());
            };
            let events = match events {
                0 => "at position ".to_owned() + &grouped(*first_position),
                _ => {
                    let last = first_position + u64::from(*events) - 1;
                    let counted = counted(u64::from(*events), "event", "events");
                    format!("{counted}, {} to {}", grouped(*first_position), grouped(last))
                }
            };
            writeln!(
                out,
                "{:>12}  {:>10} bytes  {frame:<5}  {}  synced {}  checksum {commit_checksum}  {events}",
                grouped(*offset),
                grouped(u64::from(*bytes)),
                rfc3339(*committed_at_nanos),
                grouped(*synced_position),
            )?;
        }
        Line::End { offset, .. } => writeln!(out, "{:>12}  never written", grouped(*offset))?,
        Line::Missing { file } => writeln!(out, "{file}  MISSING")?,
        Line::Wrong { file, offset, why } => {
            writeln!(out, "{:>12}  DOES NOT VERIFY, in {file}: {why}", grouped(*offset))?;
        }
    }
    Ok(())
}
