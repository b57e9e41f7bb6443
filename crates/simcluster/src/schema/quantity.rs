//! Kubernetes quantities: read, and written in the canonical form in which the API server returns them.

/// What is wrong with a quantity, in the API server's words.
pub(crate) const FORMAT_ERROR: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// A parsed quantity: its value in nano units, and how it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// 10^-9 units, rounded up.
    pub nano: i128,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    Binary,
    Exponent,
}

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Reads a quantity such as `500m`, `1.5Gi` or `1e3`.
pub(crate) fn parse(text: &str) -> Option<Quantity> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+' || c == '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (negative, digits) = match number.strip_prefix('-') {
        Some(d) => (true, d),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty()
        || !whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit())
    {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = -i32::try_from(fraction.len()).ok()?;
    let (value, form) = if let Some(power) = BINARY.iter().position(|b| *b == suffix) {
        let factor = 1024_i128.pow(u32::try_from(power).ok()? + 1);
        (scaled(mantissa.checked_mul(factor)?, scale + 9)?, Form::Binary)
    } else if let Some((_, exponent)) = DECIMAL.iter().find(|d| d.0 == suffix) {
        (scaled(mantissa, scale + exponent + 9)?, Form::Decimal)
    } else {
        let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        (scaled(mantissa, scale + exponent + 9)?, Form::Exponent)
    };
    Some(Quantity { nano: if negative { -value } else { value }, form })
}

/// `mantissa * 10^exponent`, rounded up.
fn scaled(mantissa: i128, exponent: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 { mantissa.checked_mul(factor) } else { Some((mantissa + factor - 1) / factor) }
}

const UNIT: i128 = 1_000_000_000;

impl Quantity {
    /// Another amount, written alike.
    pub(crate) fn with(self, nano: i128) -> Self {
        Self { nano, ..self }
    }

    /// The canonical text: the largest suffix that leaves no fraction.
    pub(crate) fn canonical(self) -> String {
        if self.nano == 0 {
            return "0".into();
        }
        let sign = if self.nano < 0 { "-" } else { "" };
        let nano = self.nano.abs();
        if self.form == Form::Binary && nano % UNIT == 0 && nano / UNIT >= 1024 {
            let mut value = nano / UNIT;
            let mut power = 0;
            while value % 1024 == 0 && power < BINARY.len() {
                value /= 1024;
                power += 1;
            }
            let suffix = if power == 0 { "" } else { BINARY[power - 1] };
            return format!("{sign}{value}{suffix}");
        }
        let (mut value, mut index) = (nano, 0);
        while value % 1000 == 0 && index < DECIMAL.len() - 1 {
            value /= 1000;
            index += 1;
        }
        if self.form == Form::Exponent {
            let exponent = DECIMAL[index].1;
            return if exponent == 0 {
                format!("{sign}{value}")
            } else {
                format!("{sign}{value}e{exponent}")
            };
        }
        format!("{sign}{value}{}", DECIMAL[index].0)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quantities_are_written_as_the_api_server_writes_them() {
        for (given, expected) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("100Mi", "100Mi"),
            ("1500m", "1500m"),
            ("2000Ki", "2000Ki"),
            ("512", "512"),
            ("1e3", "1e3"),
            ("0", "0"),
            ("64000m", "64"),
            ("1000Mi", "1000Mi"),
            ("128974848", "128974848"),
            ("1000000", "1M"),
        ] {
            assert_eq!(parse(given).map(super::Quantity::canonical).as_deref(), Some(expected), "{given}");
        }
        for bad in ["", "abc", "1.2.3", "10Qi", "1 Gi", "--1"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
