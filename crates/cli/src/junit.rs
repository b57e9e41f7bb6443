//! JUnit XML, which every CI can show: suites of cases.

use std::fmt::Write as _;

/// Cases that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suite {
    /// The name.
    pub name: String,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// The name.
    pub name: String,
    /// The file that it came from.
    pub file: Option<String>,
    /// The line in that file, from 1.
    pub line: Option<u32>,
    /// What came out.
    pub outcome: Outcome,
}

/// What came out of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    #[default]
    Passed,
    /// Not looked at, and why.
    Skipped(String),
    /// What is wrong: a line for a list, and everything.
    Failed {
        /// A line.
        message: String,
        /// The text below it.
        details: String,
    },
}

/// The suites as XML.
pub fn junit(program: &str, suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let cases = || suites.iter().flat_map(|suite| &suite.cases);
    let _ = writeln!(xml, "<testsuites name=\"{}\" {}>", escape(program), counts(cases()));
    for suite in suites {
        let _ =
            writeln!(xml, "  <testsuite name=\"{}\" {}>", escape(&suite.name), counts(suite.cases.iter()));
        for case in &suite.cases {
            write_case(&mut xml, &suite.name, case);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts<'c>(cases: impl Iterator<Item = &'c Case>) -> String {
    let (mut tests, mut failures, mut skipped) = (0, 0, 0);
    for case in cases {
        tests += 1;
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Skipped(_) => skipped += 1,
            Outcome::Failed { .. } => failures += 1,
        }
    }
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"")
}

fn write_case(xml: &mut String, suite: &str, case: &Case) {
    let _ = write!(xml, "    <testcase classname=\"{}\" name=\"{}\"", escape(suite), escape(&case.name));
    if let Some(file) = &case.file {
        let _ = write!(xml, " file=\"{}\"", escape(file));
    }
    if let Some(line) = case.line {
        let _ = write!(xml, " line=\"{line}\"");
    }
    match &case.outcome {
        Outcome::Passed => xml.push_str("/>\n"),
        Outcome::Skipped(why) => {
            let _ = writeln!(xml, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escape(why));
        }
        Outcome::Failed { message, details } => {
            let _ = writeln!(
                xml,
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escape(message),
                escape(details)
            );
        }
    }
}

/// Text that is safe in an attribute and in an element; characters that XML 1.0 forbids become `U+FFFD`.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_and_every_character_is_safe() {
        let case = |name: &str, outcome| Case { name: name.to_owned(), outcome, ..Case::default() };
        let failed = Outcome::Failed { message: "a < \"b\"".to_owned(), details: "x\u{1}\n& y".to_owned() };
        let suite = Suite {
            name: "eu".to_owned(),
            cases: vec![
                case("ok", Outcome::Passed),
                case("unknown", Outcome::Skipped("why".to_owned())),
                Case { file: Some("a.yaml".to_owned()), line: Some(3), ..case("bad", failed) },
            ],
        };
        assert_eq!(
            junit("check", &[suite]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"check\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\">\n  \
             <testsuite name=\"eu\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\">\n    \
             <testcase classname=\"eu\" name=\"ok\"/>\n    \
             <testcase classname=\"eu\" name=\"unknown\">\n      <skipped message=\"why\"/>\n    </testcase>\n    \
             <testcase classname=\"eu\" name=\"bad\" file=\"a.yaml\" line=\"3\">\n      \
             <failure message=\"a &lt; &quot;b&quot;\">x\u{fffd}\n&amp; y</failure>\n    </testcase>\n  \
             </testsuite>\n</testsuites>\n"
        );
    }
}
