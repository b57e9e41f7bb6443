//! Quantities that are written differently and mean the same: `0.5` and `500m`, `1024Mi` and `1Gi`.
//!
//! The server stores its own spelling; without this, an object with `cpu: 0.5` would look changed for ever.

use serde_json::Value;

/// The value in billionths, if `text` is a quantity that fits (Kubernetes' `resource.Quantity`).
fn billionths(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits_end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && (*c == '-' || *c == '+'))))
        .map_or(text.len(), |(at, _)| at);
    let (number, suffix) = text.split_at(digits_end);
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let binary = |power: u32| Some((1_i128 << (10 * power), 0_i32));
    let decimal = |exponent: i32| Some((1_i128, exponent));
    let (factor, exponent) = match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        other => decimal(other.strip_prefix(['e', 'E'])?.parse().ok()?),
    }?;
    let exponent = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(factor)?;
    let value = if exponent >= 0 {
        scaled.checked_mul(10_i128.checked_pow(u32::try_from(exponent).ok()?)?)?
    } else {
        let divisor = 10_i128.checked_pow(u32::try_from(-exponent).ok()?)?;
        if scaled % divisor != 0 {
            return None;
        }
        scaled / divisor
    };
    Some(if negative { -value } else { value })
}

/// Whether two scalars are the same quantity.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    let read = |value: &Value| match value {
        Value::String(text) => billionths(text),
        Value::Number(number) => billionths(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    matches!((read(a), read(b)), (Some(a), Some(b)) if a == b)
}

/// Whether the values of `key`, or of the map that `key` holds, are quantities.
pub(super) fn holds_quantities(key: &str) -> bool {
    matches!(
        key,
        "limits"
            | "requests"
            | "hard"
            | "capacity"
            | "overhead"
            | "podFixed"
            | "default"
            | "defaultRequest"
            | "max"
            | "min"
            | "maxLimitRequestRatio"
            | "sizeLimit"
            | "averageValue"
            | "divisor"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_quantity_are_the_same() {
        for (a, b) in [
            (Value::from(0.5), Value::from("500m")),
            (Value::from(1), Value::from("1000m")),
            (Value::from("1024Mi"), Value::from("1Gi")),
            (Value::from("1e3"), Value::from("1k")),
            (Value::from("0.1"), Value::from("100m")),
            (Value::from("1.5Gi"), Value::from("1536Mi")),
        ] {
            assert!(same(&a, &b), "{a} {b}");
        }
        for (a, b) in [("1", "1m"), ("1Gi", "1G"), ("x", "x"), ("", "0"), ("1Qi", "1")] {
            assert!(!same(&Value::from(a), &Value::from(b)), "{a} {b}");
        }
    }
}
