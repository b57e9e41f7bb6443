//! What an unquoted scalar means: three tables, because readers disagree.

use std::borrow::Cow;

use super::error::Problem;
use crate::js;

/// A single value.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Null, or nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above [`i64::MAX`] (Kubernetes schema only).
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// Milliseconds since 1970-01-01T00:00:00Z ([`Schema::JsYaml3`] only; other readers keep the text).
    Date(i64),
}

/// Whose rules say what an unquoted scalar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Schema {
    /// What `kubectl` and the API server read: `sigs.k8s.io/yaml`, which is go-yaml v2.
    #[default]
    Kubernetes,
    /// What kit read: js-yaml 3.5.2, `safeLoad`.
    JsYaml3,
    /// The core schema of YAML 1.2.
    Core,
}

impl Scalar {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "a boolean",
            Scalar::Int(_) | Scalar::UInt(_) | Scalar::Float(_) => "a number",
            Scalar::Text(_) => "a string",
            Scalar::Date(_) => "a date",
        }
    }

    /// As YAML text without quotes: `null`, `true`, `10`, `1.5`, the text itself.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Scalar::Null => Cow::Borrowed("null"),
            Scalar::Bool(true) => Cow::Borrowed("true"),
            Scalar::Bool(false) => Cow::Borrowed("false"),
            Scalar::Int(number) => Cow::Owned(number.to_string()),
            Scalar::UInt(number) => Cow::Owned(number.to_string()),
            Scalar::Float(number) => Cow::Owned(number.to_string()),
            Scalar::Text(text) => Cow::Borrowed(text),
            Scalar::Date(millis) => Cow::Owned(iso_date(*millis)),
        }
    }

    /// As the key of a mapping.
    pub(super) fn to_key(&self, schema: Schema) -> String {
        let mut key = String::new();
        match (self, schema) {
            (Scalar::Float(number), Schema::JsYaml3) => js::write_number(*number, &mut key),
            (Scalar::Date(millis), Schema::JsYaml3) => js::write_date(*millis, &mut key),
            _ => return self.to_text().into_owned(),
        }
        key
    }

    /// As JSON; `None` for numbers that JSON does not have.
    pub(super) fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Scalar::Null => serde_json::Value::Null,
            Scalar::Bool(flag) => (*flag).into(),
            Scalar::Int(number) => (*number).into(),
            Scalar::UInt(number) => (*number).into(),
            // Go prints floats below 1e21 without exponent or fraction, so that they read as integers.
            Scalar::Float(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => {
                (*number as i64).into()
            }
            Scalar::Float(number) => serde_json::Value::Number(serde_json::Number::from_f64(*number)?),
            Scalar::Text(text) => text.as_str().into(),
            Scalar::Date(millis) => iso_date(*millis).into(),
        })
    }
}

impl Schema {
    /// What the unquoted `text` is.
    pub fn resolve(self, text: impl Into<String> + AsRef<str>) -> Scalar {
        let found = match self {
            Schema::Kubernetes => go_yaml2(text.as_ref()),
            Schema::JsYaml3 => js_yaml3(text.as_ref()),
            Schema::Core => core(text.as_ref()),
        };
        found.unwrap_or_else(|| Scalar::Text(text.into()))
    }

    pub(super) fn resolve_tagged(
        self,
        handle: &str,
        suffix: &str,
        text: Cow<'_, str>,
        plain: bool,
    ) -> Result<Scalar, Problem> {
        let full = format!("{handle}{suffix}");
        let Some(name) = full.strip_prefix("tag:yaml.org,2002:") else {
            let text = text.into_owned();
            return match (full.as_str(), self) {
                ("!", _) | (_, Schema::Kubernetes) => Ok(Scalar::Text(text)),
                (_, Schema::JsYaml3 | Schema::Core) => Err(Problem::UnknownTag(full)),
            };
        };
        let written = || format!("!!{name}");
        let bad = || Problem::BadTagValue(written());
        match name {
            "str" => Ok(Scalar::Text(text.into_owned())),
            "binary" => match decode_base64(&text) {
                Some(text) => Ok(Scalar::Text(text)),
                None => Err(bad()),
            },
            "null" | "bool" | "int" | "float" | "timestamp" => {
                let empty_null = name == "null" && text.is_empty() && plain;
                let scalar = if empty_null { Scalar::Null } else { self.resolve(text.as_ref()) };
                match (name, scalar) {
                    ("null", Scalar::Null) => Ok(Scalar::Null),
                    ("bool", scalar @ Scalar::Bool(_)) => Ok(scalar),
                    ("int", scalar @ (Scalar::Int(_) | Scalar::UInt(_))) => Ok(scalar),
                    ("float", Scalar::Int(number)) => Ok(Scalar::Float(number as f64)),
                    ("float", scalar @ Scalar::Float(_)) => Ok(scalar),
                    ("timestamp", scalar @ (Scalar::Date(_) | Scalar::Text(_))) => Ok(scalar),
                    _ => Err(bad()),
                }
            }
            _ => Err(Problem::UnknownTag(written())),
        }
    }
}

/// go-yaml v2 `resolve.go`, as `sigs.k8s.io/yaml` uses it.
fn go_yaml2(text: &str) -> Option<Scalar> {
    let scalar = match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return go_number(text),
    };
    Some(scalar)
}

fn go_number(text: &str) -> Option<Scalar> {
    match text.as_bytes().first()? {
        b'.' => yaml12_float(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let without: Cow<'_, str> =
                if text.contains('_') { text.replace('_', "").into() } else { text.into() };
            if let Some(number) = go_int(&without) {
                return Some(number);
            }
            yaml12_float(&without)
        }
        _ => None,
    }
}

/// `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn go_int(text: &str) -> Option<Scalar> {
    let (negative, digits, signed) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..], true),
        b'+' => (false, &text[1..], true),
        _ => (false, text, false),
    };
    let magnitude = {
        let bytes = digits.as_bytes();
        let (radix, rest) = match (bytes.first()?, bytes.get(1)) {
            (b'0', Some(b'x' | b'X')) => (16, &digits[2..]),
            (b'0', Some(b'b' | b'B')) => (2, &digits[2..]),
            (b'0', Some(b'o' | b'O')) => (8, &digits[2..]),
            (b'0', Some(_)) => (8, &digits[1..]),
            _ => (10, digits),
        };
        if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        u64::from_str_radix(rest, radix).ok()?
    };
    match i64::try_from(magnitude) {
        Ok(number) => Some(Scalar::Int(if negative { -number } else { number })),
        Err(_) if negative && magnitude == 1 << 63 => Some(Scalar::Int(i64::MIN)),
        Err(_) if signed => None,
        Err(_) => Some(Scalar::UInt(magnitude)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn yaml12_float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    if !fits || !exponent_fits {
        return None;
    }
    // Go's ParseFloat refuses what a double cannot hold, so that the text stays text.
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Scalar::Float)
}

/// YAML 1.2.2 §10.3.2.
fn core(text: &str) -> Option<Scalar> {
    let scalar = match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => {
            let radix = |prefix: &str, radix| {
                let digits = text.strip_prefix(prefix)?;
                let fits = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if fits { i64::from_str_radix(digits, radix).ok() } else { None }
            };
            if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
                return Some(Scalar::Int(number));
            }
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return match text.parse() {
                    Ok(number) => Some(Scalar::Int(number)),
                    Err(_) => text.parse().ok().map(Scalar::Float),
                };
            }
            return yaml12_float(text);
        }
    };
    Some(scalar)
}

/// js-yaml 3.5.2: null, bool, int, float, timestamp, in this order.
fn js_yaml3(text: &str) -> Option<Scalar> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Scalar::Null),
        "true" | "True" | "TRUE" => return Some(Scalar::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Scalar::Bool(false)),
        _ => {}
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
    match text {
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        _ => {}
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

/// `2020-01-02T03:04:05.006Z`, as `Date.prototype.toISOString`.
fn iso_date(millis: i64) -> String {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The number, if JavaScript treats the property name as an array index.
pub(super) fn integer_like(key: &str) -> Option<u32> {
    let bytes = key.as_bytes();
    let canonical = match bytes {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 10 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { key.parse().ok().filter(|&number| number < u32::MAX) } else { None }
}

fn decode_base64(text: &str) -> Option<String> {
    use base64::Engine;
    let joined: String = text.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(joined).ok()?;
    String::from_utf8(bytes).ok()
}
