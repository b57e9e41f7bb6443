//! How a text is written as a YAML scalar so that every reader, of YAML 1.1 or 1.2, gets that text back.

use granit_parser::ScalarStyle;

/// Writes `value` in the style of the scalar that it replaces, with quotes only where they are needed.
///
/// A value that may not stand plain gets double quotes, as Kubernetes manifests have them.
pub(super) fn scalar(value: &str, replaces: ScalarStyle) -> String {
    let printable = !value.chars().any(needs_escape);
    let may_be_plain = match replaces {
        ScalarStyle::SingleQuoted if printable => return format!("'{}'", value.replace('\'', "''")),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => false,
        ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => true,
    };
    if may_be_plain && is_plain_text(value) { value.to_owned() } else { double(value) }
}

/// Whether `value` may be written without quotes, in block and in flow context, and is read as a string.
pub(super) fn is_plain_text(value: &str) -> bool {
    let Some(first) = value.chars().next() else { return false };
    // Indicators of YAML 1.2 §5.3; `.`, `=` and `<` start what YAML 1.1 reads as something else, see below.
    if !(first.is_alphanumeric() || matches!(first, '.' | '/' | '_' | '(' | '+' | '$' | ';' | '^')) {
        return false;
    }
    // `?` ends a plain scalar, or is an error, in the flow context of some versions of libyaml.
    let ends = |c: char| matches!(c, ',' | '[' | ']' | '{' | '}' | '?' | '"' | '\\');
    if value.chars().any(|c| needs_escape(c) || ends(c)) {
        return false;
    }
    if value.ends_with([' ', ':']) || value.contains(": ") || value.contains(" #") {
        return false;
    }
    !is_other_type(value)
}

/// Whether some reader takes the plain scalar for a null, a boolean, a number or a date.
pub(super) fn is_other_type(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    // https://yaml.org/type/bool.html, null.html, merge.html, value.html; any case, to be safe.
    if matches!(
        lower.as_str(),
        "" | "~" | "null" | "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "<<" | "="
    ) {
        return true;
    }
    is_number(&lower) || is_date(&lower)
}

/// The numbers of YAML 1.1 and 1.2 and of go-yaml, read generously: what only looks like one is quoted too.
fn is_number(lower: &str) -> bool {
    let digits = lower.strip_prefix(['-', '+']).unwrap_or(lower);
    if matches!(digits, ".inf" | ".nan" | "inf" | "nan" | "infinity") {
        return true;
    }
    let only = |text: &str, allowed: fn(char) -> bool| !text.is_empty() && text.chars().all(allowed);
    if let Some(hex) = digits.strip_prefix("0x") {
        return only(hex, |c| c.is_ascii_hexdigit() || matches!(c, '_' | '.' | 'p' | '-' | '+'));
    }
    if let Some(rest) = digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0b")) {
        return only(rest, |c| c.is_ascii_digit() || c == '_');
    }
    // Integers, floats with an exponent, base 60: digits with `_`, `.`, `:`, and at most one signed exponent.
    let (mantissa, exponent) = match digits.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let exponent_fits = exponent
        .is_none_or(|e| only(e.strip_prefix(['-', '+']).unwrap_or(e), |c| c.is_ascii_digit() || c == '_'));
    exponent_fits
        && mantissa.contains(|c: char| c.is_ascii_digit())
        && mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && mantissa.matches('.').count() <= 1
        && mantissa.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '.' | ':'))
}

/// <https://yaml.org/type/timestamp.html>: `2001-01-01`, with or without a time.
fn is_date(lower: &str) -> bool {
    let parts: Vec<&str> = lower.splitn(3, '-').collect();
    let numeric = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit())
    };
    match parts.as_slice() {
        [year, month, day] => {
            year.len() == 4
                && numeric(year, 4)
                && numeric(month, 2)
                && day.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    }
}

/// Not printable in YAML 1.1, a line break in it, or not to be seen by a human.
fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn double(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn images_and_tags_stand_plain() {
        for value in [
            "quay.io/org/app:master-0123abc",
            "localhost:5000/app:1.2.3",
            "app@sha256:0123456789abcdef",
            "v1.2.3",
            "1.2.3",
            "1.2.3-rc1",
            "master-12",
            "1.2.x",
            "on-call",
            "2001-release",
        ] {
            assert_eq!(scalar(value, ScalarStyle::Plain), value);
        }
    }

    #[test]
    fn what_a_reader_takes_for_another_type_is_quoted() {
        for value in [
            "1.10",
            "1234567",
            "12e4567",
            "1e3",
            "0777",
            "0o17",
            "0b11",
            "0x1f",
            "1_000",
            "190:20:30",
            "yes",
            "On",
            "n",
            "null",
            "~",
            "",
            ".inf",
            ".5",
            "+1",
            "2001-01-01",
            "2001-1-1T00:00:00Z",
            "<<",
            "=",
            "-",
            "?",
            "a: b",
            "a #b",
            "a,b",
            "{a}",
            "[a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "a:",
            "a:?",
            "a?b",
            "|",
        ] {
            assert_eq!(scalar(value, ScalarStyle::Plain), format!("\"{value}\""));
        }
    }

    #[test]
    fn the_style_of_the_quotes_stays() {
        assert_eq!(scalar("it's", ScalarStyle::SingleQuoted), "'it''s'");
        assert_eq!(scalar("a\"b\\", ScalarStyle::DoubleQuoted), "\"a\\\"b\\\\\"");
        assert_eq!(scalar("a\nb", ScalarStyle::SingleQuoted), "\"a\\nb\"");
        assert_eq!(scalar("\u{7}\u{2028}", ScalarStyle::Plain), "\"\\u0007\\u2028\"");
    }

    fn styles() -> impl Strategy<Value = ScalarStyle> {
        prop_oneof![
            Just(ScalarStyle::Plain),
            Just(ScalarStyle::SingleQuoted),
            Just(ScalarStyle::DoubleQuoted)
        ]
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,12}",
            "[-+]?[0-9._:exobnafi]{0,8}",
            "(?i)(y|n|yes|no|on|off|true|false|null|~|inf|nan|\\.nan)",
            "[0-9]{1,4}-[0-9]{1,2}-[0-9]{1,2}[tT ]?[0-9:]{0,8}",
            any::<String>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_reader_gets_the_text_back(value in texts(), style in styles()) {
            for text in [format!("k: {}\n", scalar(&value, style)), format!("{{k: {}, l: 1}}\n", scalar(&value, style))] {
                let libyaml: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
                prop_assert_eq!(libyaml["k"].as_str(), Some(value.as_str()), "libyaml {}", &text);
                for compat in [oneyaml::Settings::default(), oneyaml::Compat::yaml_1_1()] {
                    let read: oneyaml::Value = oneyaml::from_str_with(&text, &compat).unwrap();
                    prop_assert_eq!(read.get("k").and_then(|v| v.as_str()), Some(value.as_str()), "oneyaml {}", &text);
                }
            }
        }
    }
}
