//! How JavaScript prints values: what `.mustache` repositories were written against.

use std::fmt::Write;

/// Appends `ECMAScript` `Number::toString(value)` (ECMA-262 §6.1.6.1.20): shortest digits that
/// read back as the same double, plain up to 21 digits, then `1e+21` and `1e-7`.
pub fn write_number(value: f64, out: &mut String) {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        // `as` is exact here, and drops the sign of -0 like JavaScript does.
        push(out, format_args!("{}", value as i64));
        return;
    }
    if !value.is_finite() {
        out.push_str(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return;
    }
    if value < 0.0 {
        out.push('-');
    }
    // `d.ddde-7`: the same shortest digits, in a form that is easy to take apart.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = digits.len() as i32;
    // The decimal point stands after `point` digits: 0.<digits> × 10^point.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    if (1..=21).contains(&point) {
        if count <= point {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', (point - count) as usize));
        } else {
            out.push_str(&digits[..point as usize]);
            out.push('.');
            out.push_str(&digits[point as usize..]);
        }
    } else if (-5..=0).contains(&point) {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', -point as usize));
        out.push_str(&digits);
    } else {
        out.push_str(&digits[..1]);
        if count > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        let exponent = point - 1;
        push(out, format_args!("e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
    }
}

/// Appends what JavaScript's `Date.prototype.toString` prints for `millis` (milliseconds since
/// 1970-01-01T00:00:00Z) on a machine whose time zone is UTC.
///
/// kit printed the local time zone of whoever rendered; we always print UTC, which is what its
/// Docker image printed, so that the same repository gives the same bytes everywhere.
pub fn write_date(millis: i64, out: &mut String) {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = millis.div_euclid(86_400_000);
    let seconds = millis.rem_euclid(86_400_000) / 1000;
    let (year, month, day) = civil(days);
    push(
        out,
        format_args!(
            "{} {} {day:02} {year:04} {:02}:{:02}:{:02} GMT+0000 (Coordinated Universal Time)",
            DAYS[(days + 4).rem_euclid(7) as usize],
            MONTHS[(month - 1) as usize],
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
        ),
    );
}

/// `2020-01-02T03:04:05.006Z`, as `Date.prototype.toISOString` prints `millis` (since 1970-01-01T00:00:00Z).
pub(crate) fn iso_date(millis: i64) -> String {
    let (year, month, day) = civil(millis.div_euclid(86_400_000));
    let rest = millis.rem_euclid(86_400_000);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month (1-12) and day (1-31) of a day counted from 1970-01-01, in the proleptic Gregorian
/// calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// White space as JavaScript's `\s` sees it.
pub fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r'
            | ' '
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
            | '\u{feff}'
    )
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> String {
        let mut out = String::new();
        write_number(value, &mut out);
        out
    }

    #[test]
    fn numbers_print_as_javascript_prints_them() {
        // Each expectation is what `String(n)` gives in Node 20.
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (100.0, "100"),
            (-7.0, "-7"),
            (0.5, "0.5"),
            (1.1, "1.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (123456.789, "123456.789"),
            (9007199254740991.0, "9007199254740991"),
            (9007199254740993.0, "9007199254740992"),
            (1e20, "100000000000000000000"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.2345e25, "1.2345e+25"),
            (-1e21, "-1e+21"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn dates_print_as_javascript_prints_them_in_utc() {
        for (millis, text) in [
            (0, "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)"),
            (-1, "Wed Dec 31 1969 23:59:59 GMT+0000 (Coordinated Universal Time)"),
            (978_307_200_000, "Mon Jan 01 2001 00:00:00 GMT+0000 (Coordinated Universal Time)"),
            (1_709_209_845_999, "Thu Feb 29 2024 12:30:45 GMT+0000 (Coordinated Universal Time)"),
        ] {
            let mut out = String::new();
            write_date(millis, &mut out);
            assert_eq!(out, text);
        }
    }
}
