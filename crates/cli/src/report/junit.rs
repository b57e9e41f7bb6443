//! `JUnit` XML: a suite per cluster, a case per object.

use std::fmt::Write as _;

use super::text::{event_line, printable};
use super::{ClusterReport, Diagnosis, ObjectReport, ObjectResult, Report, Trouble};

/// The report as `JUnit` XML, which every CI can show.
#[must_use]
pub fn junit(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let suites: Vec<Suite<'_>> = report.clusters.iter().map(Suite::of).collect();
    let sum = |count: fn(&Suite<'_>) -> usize| suites.iter().map(count).sum::<usize>();
    let stopped = report.rollout.as_ref().and_then(|rollout| rollout.stopped.as_ref());
    let extra = usize::from(stopped.is_some());
    let (tests, failures, errors, skipped) =
        (sum(|s| s.tests()) + extra, sum(|s| s.failures), sum(|s| s.errors) + extra, sum(|s| s.skipped));
    let name = escape(&report.program);
    let time = report.seconds;
    let _ = writeln!(
        xml,
        "<testsuites name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{time:.3}\">"
    );
    if let Some(stopped) = stopped {
        let _ = writeln!(
            xml,
            "  <testsuite name=\"waves\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0.000\">\n    \
             <testcase classname=\"waves\" name=\"{}\">\n      <error message=\"{}\"/>\n    </testcase>\n  </testsuite>",
            escape(&stopped.wave),
            escape(&stopped.because)
        );
    }
    for suite in &suites {
        suite.write(&mut xml, &report.started);
    }
    xml.push_str("</testsuites>\n");
    xml
}

struct Suite<'a> {
    cluster: &'a ClusterReport,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl<'a> Suite<'a> {
    fn of(cluster: &'a ClusterReport) -> Self {
        let with =
            |result: ObjectResult| cluster.objects.iter().filter(|object| object.result == result).count();
        Self {
            cluster,
            failures: with(ObjectResult::NotReady) + with(ObjectResult::Failed),
            // A cluster that failed as a whole is a case of its own.
            errors: usize::from(
                cluster.trouble.is_some() || !cluster.state.is_good() && cluster.objects.is_empty(),
            ),
            skipped: with(ObjectResult::Skipped),
        }
    }

    fn tests(&self) -> usize {
        self.cluster.objects.len() + self.errors
    }

    fn write(&self, xml: &mut String, started: &str) {
        let cluster = self.cluster;
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\" timestamp=\"{}\">",
            escape(&cluster.name),
            self.tests(),
            self.failures,
            self.errors,
            self.skipped,
            cluster.seconds,
            escape(started),
        );
        if let Some(wave) = &cluster.wave {
            let _ = writeln!(
                xml,
                "    <properties><property name=\"wave\" value=\"{}\"/></properties>",
                escape(wave)
            );
        }
        if self.errors > 0 {
            let trouble = cluster.trouble.clone().unwrap_or_else(|| Trouble {
                message: cluster.state.word().to_owned(),
                causes: Vec::new(),
                hints: Vec::new(),
            });
            let _ = writeln!(xml, "    <testcase classname=\"{}\" name=\"cluster\">", escape(&cluster.name));
            let _ = writeln!(
                xml,
                "      <error message=\"{}\">{}</error>",
                escape(&trouble.message),
                escape(&details(&trouble, &[]))
            );
            xml.push_str("    </testcase>\n");
        }
        for object in &cluster.objects {
            case(xml, &cluster.name, object);
        }
        xml.push_str("  </testsuite>\n");
    }
}

fn case(xml: &mut String, cluster: &str, object: &ObjectReport) {
    let file = object.place.as_deref().and_then(|place| place.split(':').next());
    let file = file.map(|file| format!(" file=\"{}\"", escape(file))).unwrap_or_default();
    let _ = write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{}\"{file}",
        escape(cluster),
        escape(&object.object)
    );
    let trouble = object.trouble.as_ref();
    let because = object.because.as_deref().unwrap_or_default();
    let message = trouble.map(|trouble| trouble.message.as_str()).unwrap_or_default();
    match object.result {
        ObjectResult::Failed | ObjectResult::NotReady => {
            let text = trouble.map(|trouble| details(trouble, &object.diagnoses)).unwrap_or_default();
            let _ = writeln!(
                xml,
                ">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>",
                object.result.word(),
                escape(message),
                escape(&text)
            );
        }
        ObjectResult::Skipped => {
            let _ = writeln!(xml, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escape(because));
        }
        ObjectResult::Created
        | ObjectResult::Configured
        | ObjectResult::Recreated
        | ObjectResult::Unchanged
        | ObjectResult::Deleted => xml.push_str("/>\n"),
    }
}

fn details(trouble: &Trouble, diagnoses: &[Diagnosis]) -> String {
    let mut lines = vec![trouble.message.clone()];
    lines.extend(trouble.causes.iter().map(|cause| format!("caused by: {cause}")));
    for diagnosis in diagnoses {
        if diagnosis.summary != trouble.message {
            lines.push(diagnosis.summary.clone());
        }
        lines.extend(diagnosis.since.iter().map(|since| format!("since {since}")));
        lines.extend(diagnosis.events.iter().map(|event| format!("event: {}", event_line(event))));
        if let Some(log) = &diagnosis.log {
            lines.push(format!("log of {}:", log.pod));
            lines.extend(log.lines.iter().map(|line| format!("| {line}")));
        }
    }
    lines.extend(trouble.hints.iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}

/// Text that is safe in an attribute and in an element, and has no character that XML 1.0 forbids.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        for c in printable(line).chars() {
            match c {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
                c => safe.push(c),
            }
        }
        safe.push_str(end);
    }
    safe
}
