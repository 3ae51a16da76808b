//! Codes of authenticator apps (RFC 6238): six digits, SHA-1, a new one every 30 seconds. Other parameters exist;
//! apps ignore them.

use aws_lc_rs::hmac;
use preloop_types::Timestamp;
use subtle::ConstantTimeEq;

const STEP_SECONDS: i64 = 30;
const DIGITS: usize = 6;
/// Clocks differ: a code counts a step early and a step late.
const SKEW: i64 = 1;
/// As long as SHA-1's output (RFC 4226, section 4).
pub(crate) const SECRET_BYTES: usize = 20;

/// The step whose code this is, of those that count at `now`; `None` if it is wrong.
pub(crate) fn step_of(secret: &[u8], code: &str, now: Timestamp) -> Option<i64> {
    let current = now.micros().div_euclid(1_000_000).div_euclid(STEP_SECONDS);
    let mut found = None;
    for step in current - SKEW..=current + SKEW {
        if bool::from(code_at(secret, step).as_bytes().ct_eq(code.as_bytes())) {
            found = Some(step);
        }
    }
    found
}

/// The code of a step.
fn code_at(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    // RFC 4226, section 5.3: four bytes from where the last half-byte points, without the sign.
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or(0) & 0x0f);
    let word = bytes.iter().skip(offset).take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:0DIGITS$}", (word & 0x7fff_ffff) % 1_000_000)
}

/// RFC 4648 without padding, as apps take it.
pub(crate) fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(held << (5 - bits)) as usize & 31]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, cut to six digits.
        let secret = b"12345678901234567890";
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
            assert_eq!(step_of(secret, code, at(seconds)), Some(seconds / 30), "{seconds}");
            assert_eq!(step_of(secret, code, at(seconds + 30)), Some(seconds / 30));
            assert_eq!(step_of(secret, code, at(seconds + 90)), None);
            assert_eq!(step_of(secret, code, at(seconds - 90)), None);
        }
        assert_eq!(step_of(secret, "", Timestamp::from_micros(59_000_000)), None);
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        for (plain, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(plain.as_bytes()), text);
        }
    }
}
