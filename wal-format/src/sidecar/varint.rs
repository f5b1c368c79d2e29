//! Numbers in as few bytes as they need.
//!
//! Owns: [`put`] and [`take`]. May call: cursor. LEB128: seven bits a byte, the low ones first, bit
//! 7 of all but the last one set. A number has one encoding: the last byte is not zero, unless it is
//! the only one.

use alloc::vec::Vec;

use super::SidecarError;
use crate::cursor::Cursor;

/// Appends `number`.
pub(super) fn put(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// The number at the front of the cursor.
pub(super) fn take(cursor: &mut Cursor<'_>, field: &'static str) -> Result<u64, SidecarError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = cursor.u8(field)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return Err(SidecarError::Field { field, found: u64::from(byte) });
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(SidecarError::Field { field, found: number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_encoding() {
        let powers = (0..64).map(|bit| 1_u64 << bit);
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(take(&mut cursor, "number"), Ok(number));
            assert!(cursor.rest().is_empty());
            let (last, front) = bytes.split_last().unwrap();
            let longer = [front, &[last | 0x80, 0]].concat();
            assert!(take(&mut Cursor::new(&longer), "number").is_err(), "{number}");
            assert!(take(&mut Cursor::new(front), "number").is_err(), "{number}");
        }
        for bytes in [&[0xff; 10][..], &[0x80; 11], &[0xff; 20]] {
            assert!(take(&mut Cursor::new(bytes), "number").is_err(), "above 2^64");
        }
    }
}
