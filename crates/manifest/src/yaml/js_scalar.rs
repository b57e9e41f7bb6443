//! What an unquoted scalar meant to kit: js-yaml 3.5.2, `safeLoad`.

use super::scalar::{Scalar, not_finite, word};

/// The types of js-yaml 3.5.2: null, bool, int, float, timestamp, in this order.
pub(super) fn resolve(text: &str) -> Option<Scalar> {
    if let Some(scalar) = word(text) {
        return Some(scalar);
    }
    if !matches!(text.as_bytes()[0], b'0'..=b'9' | b'-' | b'+' | b'.' | b'_') {
        return None;
    }
    js_int(text).or_else(|| js_float(text)).map(js_number).or_else(|| js_date(text).map(Scalar::Date))
}

/// A JavaScript number: an integer only as far as a double is exact.
fn js_number(number: f64) -> Scalar {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT && !(number == 0.0 && number.is_sign_negative()) {
        Scalar::Int(number as i64)
    } else {
        Scalar::Float(number)
    }
}

/// `type/int.js`: `_` anywhere, `0b`, `0x`, leading-0 octal, base 60.
fn js_int(text: &str) -> Option<f64> {
    let (sign, digits) = match text.as_bytes()[0] {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if digits == "0" {
        return Some(0.0);
    }
    let clean = |part: &str| -> String { part.chars().filter(|&character| character != '_').collect() };
    let in_radix = |part: &str, radix: u32| {
        let part = clean(part);
        let fits = !part.is_empty() && part.chars().all(|character| character.is_digit(radix));
        fits.then(|| sign * parse_radix(&part, radix))
    };
    if let Some(rest) = digits.strip_prefix('0') {
        return match rest.as_bytes()[0] {
            b'b' => in_radix(&rest[1..], 2),
            b'x' => in_radix(&rest[1..], 16),
            _ => in_radix(rest, 8),
        };
    }
    let (first, sixties) = match digits.find(':') {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let Some(sixties) = sixties else {
        // `_0x1` passes js-yaml's check only as decimal digits, but is then read by its prefix.
        let cleaned = clean(first);
        let radix = if cleaned.len() > 1 && cleaned.starts_with('0') { 8 } else { 10 };
        let decimal = !cleaned.is_empty() && cleaned.bytes().all(|byte| byte.is_ascii_digit());
        return decimal.then(|| sign * parse_js_int(&cleaned, radix));
    };
    let mut value = {
        let first = clean(first);
        if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if first.len() > 1 && first.starts_with('0') {
            return Some(sign * parse_js_int(&first, 8));
        }
        parse_radix(&first, 10)
    };
    for part in sixties.split(':') {
        value = value * 60.0 + base60_digit(part)?;
    }
    Some(sign * value)
}

fn base60_digit(part: &str) -> Option<f64> {
    match part.as_bytes() {
        [digit @ b'0'..=b'9'] => Some(f64::from(digit - b'0')),
        [tens @ b'0'..=b'5', digit @ b'0'..=b'9'] => Some(f64::from((tens - b'0') * 10 + digit - b'0')),
        _ => None,
    }
}

/// `parseInt`: stops at the first digit that does not fit.
fn parse_js_int(digits: &str, radix: u32) -> f64 {
    let end = digits.find(|character: char| !character.is_digit(radix)).unwrap_or(digits.len());
    if end == 0 { f64::NAN } else { parse_radix(&digits[..end], radix) }
}

fn parse_radix(digits: &str, radix: u32) -> f64 {
    match u64::from_str_radix(digits, radix) {
        Ok(number) => number as f64,
        Err(_) if radix == 10 => digits.parse().unwrap_or(f64::INFINITY),
        Err(_) => digits
            .chars()
            .filter_map(|character| character.to_digit(radix))
            .fold(0.0, |sum, digit| sum * f64::from(radix) + f64::from(digit)),
    }
}

/// `type/float.js`: a dot is needed, and a sign in the exponent.
fn js_float(text: &str) -> Option<f64> {
    if let Some(number) = not_finite(text) {
        return Some(number);
    }
    let (sign, unsigned, signed) = match text.as_bytes()[0] {
        b'-' => (-1.0, &text[1..], true),
        b'+' => (1.0, &text[1..], true),
        _ => (1.0, text, false),
    };
    let (whole, rest) = unsigned.split_once('.')?;
    let digits_or_underscores = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let starts_with_digit = whole.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if whole.contains(':') {
        if !starts_with_digit || !digits_or_underscores(rest) {
            return None;
        }
        let mut parts = whole.split(':');
        let first = parts.next()?;
        if !digits_or_underscores(first) {
            return None;
        }
        let parts: Vec<&str> = parts.collect();
        let mut value: f64 = first.replace('_', "").parse().ok()?;
        for (at, part) in parts.iter().enumerate() {
            base60_digit(part)?;
            let text = if at + 1 == parts.len() {
                format!("{part}.{}", rest.replace('_', ""))
            } else {
                (*part).to_owned()
            };
            value = value * 60.0 + text.trim_end_matches('.').parse::<f64>().ok()?;
        }
        return Some(sign * value);
    }
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    if !digits_or_underscores(fraction) {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['-', '+'])?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    let fits = if whole.is_empty() {
        !signed && !fraction.is_empty()
    } else {
        starts_with_digit && digits_or_underscores(whole)
    };
    if !fits {
        return None;
    }
    let clean = unsigned.replace('_', "");
    // `._` passes the pattern and is then no number.
    Some(sign * clean.parse::<f64>().unwrap_or(f64::NAN))
}

/// `type/timestamp.js`.
fn js_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let digits = |least: usize, most: usize, at: &mut usize| -> Option<i64> {
        let start = *at;
        while *at < bytes.len() && *at - start < most && bytes[*at].is_ascii_digit() {
            *at += 1;
        }
        if *at - start < least { None } else { text[start..*at].parse().ok() }
    };
    let literal = |byte: u8, at: &mut usize| {
        let there = bytes.get(*at) == Some(&byte);
        *at += usize::from(there);
        there.then_some(())
    };
    let year = digits(4, 4, &mut at)?;
    literal(b'-', &mut at)?;
    let month = digits(1, 2, &mut at)?;
    literal(b'-', &mut at)?;
    let day = digits(1, 2, &mut at)?;
    let days = days_from_civil(year, month, day);
    if at == bytes.len() {
        return Some(days * 86_400_000);
    }
    let blank = |at: &usize| matches!(bytes.get(*at), Some(b' ' | b'\t'));
    if matches!(bytes[at], b'T' | b't') {
        at += 1;
    } else if blank(&at) {
        while blank(&at) {
            at += 1;
        }
    } else {
        return None;
    }
    let hour = digits(1, 2, &mut at)?;
    literal(b':', &mut at)?;
    let minute = digits(2, 2, &mut at)?;
    literal(b':', &mut at)?;
    let second = digits(2, 2, &mut at)?;
    let mut millis = 0;
    if literal(b'.', &mut at).is_some() {
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            at += 1;
        }
        let fraction: String = text[start..at].chars().chain("000".chars()).take(3).collect();
        millis = fraction.parse().ok()?;
    }
    let mut delta = 0;
    if at < bytes.len() {
        while blank(&at) {
            at += 1;
        }
        match bytes.get(at) {
            Some(b'Z') => at += 1,
            Some(sign @ (b'+' | b'-')) => {
                at += 1;
                let hours = digits(1, 2, &mut at)?;
                let minutes = if literal(b':', &mut at).is_some() { digits(2, 2, &mut at)? } else { 0 };
                delta = (hours * 60 + minutes) * 60_000 * if *sign == b'-' { -1 } else { 1 };
            }
            _ => return None,
        }
    }
    if at != bytes.len() {
        return None;
    }
    Some(days * 86_400_000 + hour * 3_600_000 + minute * 60_000 + second * 1000 + millis - delta)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; months and days may overflow, as in
/// JavaScript's `Date.UTC`, where years 0 to 99 mean 1900 to 1999.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if (0..=99).contains(&year) { year + 1900 } else { year };
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year + day - 1 - 719_468
}
