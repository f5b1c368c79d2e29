//! Bytes for the eye.
//!
//! Owns: [`dump`]. Calls nothing.

use std::io::{self, Write};

const ROW_BYTES: usize = 16;

/// Writes `bytes`, sixteen to a line, each line with its offset from `offset` on.
pub(super) fn dump(bytes: &[u8], offset: u64, out: &mut impl Write) -> io::Result<()> {
    for (row, at) in bytes.chunks(ROW_BYTES).zip((offset..).step_by(ROW_BYTES)) {
        write!(out, "      {at:>12}  ")?;
        for column in 0..ROW_BYTES {
            let gap = if column == ROW_BYTES / 2 { " " } else { "" };
            match row.get(column) {
                Some(byte) => write!(out, "{gap}{byte:02x} ")?,
                None => write!(out, "{gap}   ")?,
            }
        }
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'.' };
        let text: Vec<u8> = row.iter().map(shown).collect();
        writeln!(out, " {}", String::from_utf8_lossy(&text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_offset_bytes_and_text() {
        let mut out = Vec::new();
        dump(b"QUIPUSEG\x01\0\0\0\xff order-1", 4096, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[0],
            "4096  51 55 49 50 55 53 45 47  01 00 00 00 ff 20 6f 72  QUIPUSEG..... or"
        );
        assert!(rows[1].starts_with("4112  64 65 72 2d 31 "), "{text}");
        assert!(rows[1].ends_with(" der-1"), "{text}");
    }
}
