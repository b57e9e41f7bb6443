//! How the values of flags and variables are written.

use std::time::Duration;

use cli::{Failure, Problem};
use manifest::Selector;

/// `true` or `false`. The empty text, which CI systems give to variables that are not set, is `false`.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err("expected `true` or `false`".into()),
    }
}

/// The value of a flag, if there is one: CI systems give variables that are not set the empty text.
pub(crate) fn given(value: &Option<String>) -> Option<String> {
    value.as_deref().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Seconds as a number (kit's form), or a number with a unit: `90`, `500ms`, `10m`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected seconds, or a time such as `90s`, `10m`, `1h30m`".to_owned();
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit = match &after[..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        total = u32::try_from(number)
            .ok()
            .and_then(|n| total.checked_add(unit.checked_mul(n)?))
            .ok_or_else(wrong)?;
        rest = &after[unit_end..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Milliseconds as a number (kit's form of the back-off flags), or a time with a unit.
pub(crate) fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.trim().parse::<u64>() {
        Ok(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        Err(_) => duration(text),
    }
}

/// A list as kit takes it: a JSON array, or values separated by commas.
pub(crate) fn list(text: &str) -> Vec<String> {
    let text = text.trim();
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(items) => items,
        Err(_) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
    }
}

/// `--selector`; not given, it takes everything.
pub(crate) fn selector(text: Option<&str>) -> Result<Selector, Failure> {
    let parsed = text.unwrap_or_default().parse();
    parsed.map_err(|error: manifest::SelectorError| {
        Failure::invalid(Problem::from_error(&error).context("`--selector` cannot be read"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_units() {
        for (text, seconds) in [("90", 90.0), ("0.5", 0.5), ("500ms", 0.5), ("1h30m", 5400.0), ("10m", 600.0)]
        {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for text in ["", "x", "-1", "5 m", "m", "10x", "1m5"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_are_json_or_commas() {
        assert_eq!(list("Unhealthy,FailedScheduling"), ["Unhealthy", "FailedScheduling"]);
        assert_eq!(list(r#"["a b"]"#), ["a b"]);
        assert!(list("").is_empty());
    }
}
