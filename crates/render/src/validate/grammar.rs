//! Small languages inside strings: quantities, names, labels, times.

use manifest::names::is_name_part;
pub(super) use manifest::names::{is_label, is_subdomain};

/// Whether `text` is a quantity (`resource.ParseQuantity`): a number and one of `n u m k M G T P E Ki Mi Gi Ti Pi Ei`, or
/// an exponent.
pub(super) fn is_quantity(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (mut count, mut rest) = (digits, &rest[digits..]);
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        count += digits;
        rest = &fraction[digits..];
    }
    if count == 0 {
        return false;
    }
    match rest {
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" => true,
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => true,
        _ => rest.strip_prefix(['e', 'E']).is_some_and(|exponent| {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !digits.is_empty() && digits.len() < 10 && digits.bytes().all(|byte| byte.is_ascii_digit())
        }),
    }
}

/// The number that a quantity stands for, near enough to compare two that differ by more than a billionth part.
pub(super) fn quantity_value(text: &str) -> Option<f64> {
    if !is_quantity(text) {
        return None;
    }
    if let Ok(number) = text.parse::<f64>() {
        return Some(number);
    }
    let at = text.rfind(|character: char| character.is_ascii_digit() || character == '.')? + 1;
    let factor = match &text[at..] {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024f64,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => return None,
    };
    Some(text[..at].parse::<f64>().ok()? * factor)
}

/// Whether `text` can be a segment of a URL path, the rule for names of RBAC objects.
pub(super) fn is_path_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '%'])
}

/// Whether `text` is the value of a label: empty, or as the name of a key.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

/// Whether `text` is the key of a label: `name` or `example.com/name`.
pub(super) fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
        None => is_name_part(text),
    }
}

/// Whether `text` is the name of a port (IANA): 15 characters at most of `a-z0-9-`, one letter at least, no `--`.
pub(super) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_label(text)
        && !text.contains("--")
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Whether `text` is the key of a ConfigMap or Secret.
pub(super) fn is_data_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text != "."
        && !text.starts_with("..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether `text` is a time of RFC 3339, `2026-01-02T15:04:05Z`.
pub(super) fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize, least: u32, most: u32| {
        bytes.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
            && text[from..to].parse::<u32>().is_ok_and(|number| (least..=most).contains(&number))
    };
    let marks = |list: &[(usize, u8)]| list.iter().all(|(at, mark)| bytes.get(*at) == Some(mark));
    if !(text.is_ascii()
        && marks(&[(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')])
        && digits(0, 4, 0, 9999)
        && digits(5, 7, 1, 12)
        && digits(8, 10, 1, 31)
        && digits(11, 13, 0, 23)
        && digits(14, 16, 0, 59)
        && digits(17, 19, 0, 59))
    {
        return false;
    }
    let mut zone = &text[19..];
    if let Some(fraction) = zone.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return false;
        }
        zone = &fraction[digits..];
    }
    let at = text.len() - zone.len();
    zone == "Z"
        || (zone.len() == 6
            && zone.starts_with(['+', '-'])
            && bytes[at + 3] == b':'
            && digits(at + 1, at + 3, 0, 24)
            && digits(at + 4, at + 6, 0, 60))
}

/// Whether Go's standard base64 decoder takes `text`: padding is a must, line breaks are ignored.
pub(super) fn is_base64(text: &str) -> bool {
    let (mut count, mut padding) = (0usize, 0usize);
    for byte in text.bytes() {
        match byte {
            b'\r' | b'\n' => continue,
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
        count += 1;
    }
    count % 4 == 0 && padding <= 2
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let limit = match word.len() {
        0..=2 => 1,
        3..=7 => 2,
        _ => 3,
    };
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters differ (optimal string alignment: a swap of neighbours is one).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j - 1] + same).min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for good in [
            "0", "1", "-1", "+1", "1.5", ".5", "1.", "100m", "1k", "1Ki", "2Gi", "1e3", "1E3", "1e-3", "1E",
            "1n",
        ] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", " 1", "1 ", "1gb", "1GB", "1K", "1ki", "m", ".", "1e", "1.5.5", "--1", "0x10", "one"]
        {
            assert!(!is_quantity(bad), "{bad}");
        }
        assert_eq!(quantity_value("500m"), Some(0.5));
        assert_eq!(quantity_value("1.5Gi"), Some(1.5 * 1024.0 * 1024.0 * 1024.0));
        assert_eq!(quantity_value("1E"), Some(1e18));
        assert_eq!(quantity_value("1e3"), Some(1000.0));
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        for good in ["2026-01-02T15:04:05Z", "2026-01-02T15:04:05.123456Z", "2026-01-02T15:04:05+02:00"] {
            assert!(is_time(good), "{good}");
        }
        for bad in
            ["2026-01-02", "2026-01-02 15:04:05Z", "2026-13-02T15:04:05Z", "2026-01-02T15:04:05", "", "ä"]
        {
            assert!(!is_time(bad), "{bad}");
        }
    }

    #[test]
    fn base64_needs_its_padding() {
        for good in ["", "YQ==", "YWI=", "YWJj", "YW\nJj\n"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in ["YQ", "YQ=", "YQ===", "Y Q=", "=YQ=", "YWJj-_=="] {
            assert!(!is_base64(bad), "{bad}");
        }
    }

    #[test]
    fn names_follow_their_rules() {
        assert!(
            is_label("a-1")
                && !is_label("A")
                && !is_label("-a")
                && !is_label("a.b")
                && !is_label(&"a".repeat(64))
        );
        assert!(is_subdomain("a.b-c.d") && !is_subdomain("a..b") && !is_subdomain("a_b"));
        assert!(
            is_qualified_name("app.kubernetes.io/name")
                && is_qualified_name("My_name")
                && !is_qualified_name("a/b/c")
        );
        assert!(
            is_port_name("http")
                && !is_port_name("80")
                && !is_port_name("a-name-too-long-")
                && !is_port_name("a--b")
        );
        assert!(
            is_label_value("") && is_label_value("v1.2_3") && !is_label_value("a b") && !is_label_value("-")
        );
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("container", ["containers", "initContainers", "nodeName"]), Some("containers"));
        assert_eq!(nearest("imgae", ["image", "imagePullPolicy"]), Some("image"));
        assert_eq!(nearest("replicas", ["selector", "template"]), None);
        assert_eq!(nearest("Replicas", ["replicas"]), Some("replicas"));
    }
}
