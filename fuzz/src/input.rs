//! Reads the operands of an input, byte by byte; an input that has ended gives zeros.

/// What is left of an input.
#[derive(Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number in place of `old`: near it, near a bound, a power of two, or any.
    pub(crate) fn number(&mut self, old: u64) -> u64 {
        match self.u8() % 5 {
            0 => old.wrapping_add_signed(i64::from(self.u8().cast_signed())),
            1 => u64::from(self.u8()),
            2 => u64::MAX - u64::from(self.u8()),
            3 => 1 << (self.u8() % 64),
            _ => self.u64(),
        }
    }
}
