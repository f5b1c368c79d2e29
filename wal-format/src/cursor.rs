//! The one place that reads integers and slices out of untrusted bytes.
//!
//! Owns: [`Cursor`], which does every bounds check of the crate, and [`Truncated`], which names
//! the field that was not there. Calls nothing; never panics.

/// The bytes ended before a field did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: needs {needed} bytes, {had} are left")]
pub struct Truncated {
    /// What was to be read.
    pub field: &'static str,
    /// How many bytes it takes.
    pub needed: usize,
    /// How many bytes were left.
    pub had: usize,
}

/// Reads fields from front to back.
///
/// ```
/// use quipu_format::cursor::Cursor;
/// let mut cursor = Cursor::new(&[1, 0, 0, 0, 9]);
/// assert_eq!(cursor.u32("count"), Ok(1));
/// let error = cursor.u32("length").unwrap_err();
/// assert_eq!(error.to_string(), "length: needs 4 bytes, 1 are left");
/// ```
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    #[must_use]
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `needed` bytes.
    #[inline]
    pub fn bytes(&mut self, needed: usize, field: &'static str) -> Result<&'a [u8], Truncated> {
        let Some((taken, rest)) = self.rest.split_at_checked(needed) else {
            return Err(Truncated { field, needed, had: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes, borrowed.
    #[inline]
    pub fn chunk<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], Truncated> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Truncated { field, needed: N, had: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Truncated> {
        self.chunk(field).copied()
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Truncated> {
        self.array(field).map(u8::from_le_bytes)
    }

    /// The next little-endian u16.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Truncated> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// The next little-endian u32.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Truncated> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// The next little-endian u64.
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, Truncated> {
        self.array(field).map(u64::from_le_bytes)
    }
}
