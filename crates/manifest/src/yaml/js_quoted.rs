//! Quoted text over several lines as js-yaml 3.5.2 reads it: white space at the end of a line stays, where YAML drops
//! it (`readDoubleQuotedScalar`, `readSingleQuotedScalar`).

use super::Schema;

/// The text of the quoted scalar `written`, quotes included. `None` if it is the same for everybody.
pub(super) fn read(written: &str) -> Option<String> {
    if !written.contains([' ', '\t']) || !written.contains(['\n', '\r']) {
        return None;
    }
    let escaped = keep_trailing_space(&as_double(written))?;
    let document = super::read_one(&escaped, "", Schema::Core).ok()?;
    document.root.as_str().map(str::to_owned)
}

/// Escapes white space at the ends of lines. `None` if there is none.
fn keep_trailing_space(double: &str) -> Option<String> {
    let mut out = String::with_capacity(double.len() + 8);
    let mut changed = false;
    for (at, line) in double.split_inclusive(['\n', '\r']).enumerate() {
        let content = line.trim_end_matches(['\n', '\r']);
        let text = content.trim_end_matches([' ', '\t']);
        // A line of nothing but white space is an empty one.
        let blank = text.is_empty() && at > 0;
        let escape = text.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2;
        let (kept, space) = content.split_at((text.len() + escape).min(content.len()));
        if blank || space.is_empty() || content.len() == line.len() {
            out.push_str(line);
            continue;
        }
        changed = true;
        out.push_str(kept);
        out.extend(space.chars().map(|space| if space == '\t' { "\\t" } else { "\\x20" }));
        out.push_str(&line[content.len()..]);
    }
    changed.then_some(out)
}

/// Single quotes as double ones.
fn as_double(written: &str) -> String {
    match written.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        None => written.to_owned(),
        Some(inner) => {
            let inner = inner.replace("''", "'").replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{inner}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::yaml::{Schema, read_one};

    #[test]
    fn white_space_before_a_line_end_stays_in_quotes() {
        // Each expectation is what `yaml.safeLoad(text).k` gives in js-yaml 3.5.2.
        for (text, expected) in [
            ("k: \"a \n  b\"\n", "a  b"),
            ("k: 'a  \n  b\t\n\n  c'\n", "a   b\t\nc"),
            ("k: \"\\\\ \n  \t \n  b\"\n", "\\ \nb"),
            ("k: \"a\\ \n  b\"\n", "a  b"),
            ("k: 'it''s \\ \"x\" \n  b'\n", "it's \\ \"x\"  b"),
            ("k: \"  \n  b\"\n", "   b"),
            ("k: \"a\n  b \"\n", "a b "),
            ("k: \"a \r\n  b\"\r\n", "a  b"),
        ] {
            let document = read_one(text, "values.yaml", Schema::JsYaml3).expect(text);
            assert_eq!(document.root.get("k").and_then(|k| k.as_str()), Some(expected), "{text:?}");
        }
        let document = read_one("k: \"a \n  b\"\n", "values.yaml", Schema::Core).expect("YAML");
        assert_eq!(document.root.get("k").and_then(|k| k.as_str()), Some("a b"));
    }
}
