//! Block scalars as js-yaml 3.5.2 reads them (`readBlockScalar`), bugs included: `|+` loses its
//! last newline, and after an explicit indentation (`|2`) the text starts with an empty line.

/// What a block scalar stands in; its indentation counts from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// Nothing: it is the document.
    Document,
    /// A mapping whose keys stand in this column, counted from 0.
    Map(i64),
    /// A list; its dash stands in the same line.
    List,
}

/// The text of the first block scalar behind the offset `from`. `None` if there is no `|` or `>`.
pub(super) fn read(text: &str, from: usize, parent: Parent) -> Option<String> {
    let start = from + header(text.get(from..)?)?;
    let mut rest = &text[start..];
    let parent = match parent {
        Parent::Document => -1,
        Parent::Map(column) => column,
        Parent::List => {
            let line_start = text[..start].rfind(['\n', '\r']).map_or(0, |at| at + 1);
            text[line_start..start].trim_start_matches('\u{feff}').rfind("- ")? as i64
        }
    };
    let folding = rest.starts_with('>');
    let (mut chomping, mut indent, mut detected) = (Chomping::Clip, parent + 1, false);
    rest = &rest[1..];
    loop {
        match rest.as_bytes().first() {
            Some(b'+') => chomping = Chomping::Keep,
            Some(b'-') => chomping = Chomping::Strip,
            Some(digit @ b'1'..=b'9') => {
                indent = parent + i64::from(digit - b'0');
                detected = true;
            }
            _ => break,
        }
        rest = &rest[1..];
    }
    let (mut result, mut empty_lines, mut more_indented) = (String::new(), 0, false);
    let mut lines = Lines(rest);
    // The rest of the header: white space and a comment.
    lines.next();
    loop {
        // At the end of the input js-yaml finds one more line, empty but without a line end.
        let (line, at_end) = match lines.next() {
            Some(line) => (line, false),
            None => ("", true),
        };
        let spaces = line.bytes().take_while(|&byte| byte == b' ').count() as i64;
        let own = if detected { spaces.min(indent.max(0)) } else { spaces };
        if !detected && own > indent {
            indent = own;
        }
        let content = &line[own as usize..];
        if content.is_empty() && !at_end {
            empty_lines += 1;
            continue;
        }
        if own < indent || at_end {
            match chomping {
                // With indentation 0 js-yaml runs off the end of the input before it gets here.
                _ if own >= indent => {}
                Chomping::Keep => newlines(&mut result, empty_lines),
                Chomping::Clip if detected => result.push('\n'),
                Chomping::Clip | Chomping::Strip => {}
            }
            return Some(result);
        }
        if folding {
            let blank_first = content.starts_with([' ', '\t']);
            if blank_first || more_indented {
                more_indented = blank_first;
                newlines(&mut result, empty_lines + 1);
            } else if empty_lines > 0 {
                newlines(&mut result, empty_lines);
            } else if detected {
                result.push(' ');
            }
        } else {
            newlines(&mut result, empty_lines + usize::from(detected));
        }
        detected = true;
        empty_lines = 0;
        result.push_str(content);
    }
}

/// Where the `|` or `>` stands, past white space, anchors, tags, indicators and comments.
fn header(text: &str) -> Option<usize> {
    let mut blank = false;
    let mut comment = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\n' | b'\r' => (comment, blank) = (false, true),
            b'|' | b'>' if !comment => return Some(at),
            b'#' if blank => comment = true,
            _ => blank = matches!(byte, b' ' | b'\t'),
        }
    }
    None
}

enum Chomping {
    Clip,
    Keep,
    Strip,
}

fn newlines(result: &mut String, count: usize) {
    result.extend(std::iter::repeat_n('\n', count));
}

/// Lines without their ends, which are LF, CR or CR LF. A last line without an end counts too.
struct Lines<'t>(&'t str);

impl<'t> Iterator for Lines<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.find(['\n', '\r']).unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix("\r\n").or_else(|| rest.get(1..)).unwrap_or("");
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use crate::yaml::{Schema, read_one};

    #[test]
    fn block_scalars_read_as_js_yaml_reads_them() {
        // Each expectation is what `yaml.safeLoad(text).k` gives in js-yaml 3.5.2.
        for (text, expected) in [
            ("k: |\n  a\n  b\n", "a\nb\n"),
            ("k: |\n  a\n\n\nx: 1\n", "a\n"),
            ("k: |-\n  a\n\n", "a"),
            // Kept empty lines lose the line end of the text itself.
            ("k: |+\n  a\n", "a"),
            ("k: |+\n  a\n\n\nx: 1\n", "a\n\n"),
            // An explicit indentation puts an empty line in front.
            ("k: |2\n   a\n", "\n a\n"),
            ("k: >1-\n  a\n  b", "\n a\n b"),
            ("k: >\n  a\n  b\n\n  c\n   d\n  e\n", "a b\nc\n d\ne\n"),
            ("k: > # note\r\n  a\r\n  b\r\n", "a b\n"),
            ("k:\n- |1\n   a\n", "\n  a\n"),
            ("k: &x !!str |\n  a", "a\n"),
            ("k: |\nx: 1\n", ""),
        ] {
            let document = read_one(text, "values.yaml", Schema::JsYaml3).expect(text);
            let value = document.root.get("k").expect("k");
            let value = value.as_list().map_or(value, |items| &items[0]);
            assert_eq!(value.as_str().unwrap_or_default(), expected, "{text:?}");
        }
    }
}
