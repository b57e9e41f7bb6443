//! Writing YAML that every reader understands the same way.

/// A value that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("value cannot be written as YAML")]
pub struct EmitError(#[source] serde_saphyr::ser_error::Error);

/// `value` as block YAML, two spaces per level, a newline at the end. Text that a YAML 1.1 or 1.2
/// reader would take for something else (`yes`, `1e3`, `0777`, `1:30`, `2020-01-01`, …) is quoted;
/// text of several lines becomes a `|` block; long lines are never folded.
///
/// # Errors
/// What serde or YAML cannot represent, such as a mapping with mappings as keys.
pub fn emit<T: serde::Serialize>(value: &T) -> Result<String, EmitError> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: 1_000_000 };
    serde_saphyr::to_string_with_options(value, options).map_err(EmitError)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Schema, read_one};
    use super::emit;

    #[test]
    fn awkward_strings_come_back_as_strings_under_every_schema() {
        let words = [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "N",
            "true",
            "null",
            "~",
            "",
            "010",
            "0o17",
            "1e3",
            "1_000",
            "1:30",
            "0x1F",
            "-0",
            "+1",
            ".5",
            ".inf",
            "2020-01-01",
            "=",
            "<<",
            "- a",
            "a: b",
            "# c",
            "'",
            "\"",
            "\\",
            "{{ x }}",
            "*a",
            "&a",
            "!t",
            "%",
            "@",
            "`",
            " lead",
            "trail ",
            "a\nb",
            "a\n\nb\n",
            "\ttab",
            "é🚀",
            "a #b",
            "[",
            "]",
            "1.",
            "12e4567",
            "0b1",
            "|",
            ">",
            "?",
            "- ",
            ":",
            "key:",
            "a\u{7f}",
            "a\u{85}b",
            "a\r\nb",
        ];
        for schema in [Schema::Kubernetes, Schema::JsYaml3, Schema::Core] {
            for word in words {
                let value = json!({ word: [word, { "k": word }] });
                let text = emit(&value).unwrap();
                let back = read_one(&text, "x", schema).unwrap_or_else(|error| panic!("{error}: {text}"));
                assert_eq!(back.root.to_json().unwrap(), value, "{schema:?}\n{text}");
            }
        }
    }
}
