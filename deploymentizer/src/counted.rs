//! Names in a sentence: all of a few, the first of many.

/// `cluster eu-1`, `37 clusters: a, b, c, …`.
pub(crate) fn counted(names: &[&str], noun: &str) -> String {
    match names {
        [one] => format!("{noun} {one}"),
        _ if names.len() <= 4 => format!("{} {noun}s: {}", names.len(), names.join(", ")),
        _ => format!("{} {noun}s: {}, …", names.len(), names[..4].join(", ")),
    }
}
