//! Numbers for people.
//!
//! Owns: [`grouped`]. Calls nothing.

/// A number with a comma at every third digit.
///
/// ```
/// assert_eq!(quipu_tools::number::grouped(32_613), "32,613");
/// ```
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, in the plural where there is not exactly one.
#[must_use]
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_digit_has_a_comma() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (u64::MAX, "18,446,744,073,709,551,615")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "batch", "batches"), "1 batch");
        assert_eq!(counted(2000, "batch", "batches"), "2,000 batches");
    }
}
