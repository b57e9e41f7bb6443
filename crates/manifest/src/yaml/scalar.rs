//! What an unquoted scalar means: three tables, because readers disagree.

use std::borrow::Cow;

use super::error::Problem;
use super::js_scalar;
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
            Scalar::Date(millis) => Cow::Owned(js::iso_date(*millis)),
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
            Scalar::Date(millis) => js::iso_date(*millis).into(),
        })
    }
}

impl Schema {
    /// What the unquoted `text` is.
    pub fn resolve(self, text: impl Into<String> + AsRef<str>) -> Scalar {
        let found = match self {
            Schema::Kubernetes => go_yaml2(text.as_ref()),
            Schema::JsYaml3 => js_scalar::resolve(text.as_ref()),
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
        _ => return not_finite(text).map(Scalar::Float).or_else(|| go_number(text)),
    };
    Some(scalar)
}

/// Null, true and false, where `yes` and `on` are text.
pub(super) fn word(text: &str) -> Option<Scalar> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Scalar::Null),
        "true" | "True" | "TRUE" => Some(Scalar::Bool(true)),
        "false" | "False" | "FALSE" => Some(Scalar::Bool(false)),
        _ => None,
    }
}

/// The numbers that are none, which every reader writes like this.
pub(super) fn not_finite(text: &str) -> Option<f64> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        _ => None,
    }
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
    if let Some(scalar) = word(text).or_else(|| not_finite(text).map(Scalar::Float)) {
        return Some(scalar);
    }
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
    yaml12_float(text)
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
