//! The report in all its forms, from one sample with everything that a deploy can run into.
#![allow(clippy::unwrap_used)] // a panic in a test's helper is a failed test

use cli::report::{
    ClusterReport, Report, ReportError, ReportFile, SUMMARY_LIMIT, failures, junit, markdown, table, waves,
};

mod sample;

#[test]
fn the_table_has_a_line_per_cluster_and_the_sum() {
    insta::assert_snapshot!(table(&sample::report()));
}

#[test]
fn failures_read_like_a_persons_answer_and_are_told_once_for_equal_clusters() {
    insta::assert_snapshot!(failures(&sample::report()));
}

#[test]
fn junit_has_a_suite_per_cluster_and_a_case_per_object() {
    insta::assert_snapshot!(junit(&sample::report()));
}

#[test]
fn markdown_tells_failures_first() {
    insta::assert_snapshot!(markdown(&sample::report(), SUMMARY_LIMIT));
}

#[test]
fn markdown_stays_within_its_size_and_counts_what_it_leaves_out() {
    let mut report = sample::report();
    let eu = report.clusters[2].clone();
    // Each cluster with a cause of its own: what is alike is told once.
    report.clusters = (0..3000)
        .map(|n| {
            let mut cluster = ClusterReport { name: format!("eu-{n}"), ..eu.clone() };
            for object in &mut cluster.objects {
                object.trouble.iter_mut().for_each(|trouble| trouble.causes.push(format!("number {n}")));
            }
            cluster
        })
        .collect();
    let text = markdown(&report, SUMMARY_LIMIT);
    assert!(text.len() <= SUMMARY_LIMIT, "{}", text.len());
    assert!(text.len() > SUMMARY_LIMIT / 2);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("_Left out to stay within the size limit: ") && last.contains("of 6000 failures"),
        "{last}"
    );
}

#[test]
fn a_hundred_clusters_that_fail_alike_are_one_answer() {
    let mut report = sample::report();
    let eu = report.clusters[2].clone();
    report.clusters = (1..=100)
        .map(|n| {
            let mut cluster = ClusterReport { name: format!("eu-{n}"), ..eu.clone() };
            // Other pods, other counts, another moment.
            for diagnosis in cluster.objects.iter_mut().flat_map(|object| &mut object.diagnoses) {
                diagnosis.pods = vec![format!("web-{n}")];
                diagnosis.restarts = n;
                diagnosis.since = None;
                diagnosis.summary = format!("pod `web-{n}`: keeps crashing ({n} restarts)");
            }
            let failed = cluster.objects.iter_mut().filter(|object| !object.diagnoses.is_empty());
            for object in failed {
                let summary = object.diagnoses[0].summary.clone();
                object.trouble.iter_mut().for_each(|trouble| trouble.message.clone_from(&summary));
            }
            cluster
        })
        .collect();
    let text = failures(&report);
    let starts = "eu-1, eu-2, eu-3, eu-4, eu-5 and 95 more: ";
    assert_eq!(text.matches(starts).count(), 3, "{text}");
    assert!(text.contains("pod `web-1`: keeps crashing") && !text.contains("web-2"), "{text}");
    assert!(text.contains("\n    pods, times and logs are those of eu-1\n"), "{text}");
    let text = markdown(&report, SUMMARY_LIMIT);
    assert_eq!(text.matches("- **eu-1, eu-2").count(), 2, "{text}");
    // Another exit code is another failure.
    report.clusters[7].objects[1].diagnoses[0].exit_code = Some(137);
    assert!(failures(&report).contains("\neu-8: Deployment/shop/web not ready"));
}

fn schema() -> jsonschema::Validator {
    let schema = include_str!("../schema/report.v1.json");
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
}

#[test]
fn json_is_read_back_as_it_was_and_holds_to_its_schema() {
    let report = sample::report();
    assert_eq!(Report::read(&report.json()).unwrap(), report);
    let schema = schema();
    let mut value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    // The schema says something: a wrong word and a missing field are seen.
    value["clusters"][0]["state"] = "fine".into();
    value["totals"].as_object_mut().unwrap().remove("created");
    assert_eq!(schema.iter_errors(&value).count(), 2);
}

#[test]
fn a_report_of_another_version_is_refused() {
    let text = sample::report().json().replacen("\"version\": 1", "\"version\": 7", 1);
    assert!(matches!(Report::read(&text), Err(ReportError::Version { found: 7, known: 1 })));
}

#[test]
fn the_format_follows_from_the_name_and_the_file_is_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    for (name, start) in
        [("r.json", "{"), ("r.xml", "<?xml"), ("r.md", "## Deploy"), ("sub/r.html", "<!doctype html>")]
    {
        let path = dir.path().join(name);
        let file: ReportFile = path.to_str().unwrap().parse().unwrap();
        file.write(&sample::report()).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(start), "{name}");
    }
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let error = "r.pdf".parse::<ReportFile>().unwrap_err();
    assert_eq!(error.to_string(), "a report file ends in .json, .xml, .md or .html: `r.pdf`");
}

#[test]
fn waves_are_told_in_every_form() {
    let report = sample::in_waves();
    let text = format!("{}{}", waves(&report), table(&report));
    assert!(text.contains("stopped in wave `europe`: 1 of 6 clusters"), "{text}");
    assert!(text.contains("quarantined") && text.contains("done before"), "{text}");
    let markdown = markdown(&report, SUMMARY_LIMIT);
    assert!(markdown.contains("| europe | stopped |"), "{markdown}");
    assert!(markdown.contains("| ap-1 | asia | **quarantined** |"), "{markdown}");
    let xml = junit(&report);
    assert!(xml.contains("<property name=\"wave\" value=\"europe\"/>"), "{xml}");
    assert!(xml.contains("<testsuite name=\"waves\" tests=\"1\""), "{xml}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.html");
    path.to_str().unwrap().parse::<ReportFile>().unwrap().write(&report).unwrap();
    let html = std::fs::read_to_string(path).unwrap();
    assert!(html.contains("<details id=\"waves\" open>"), "{html}");
    assert!(html.contains("stopped in wave <code>europe</code>"), "{html}");
}

#[test]
fn the_schema_knows_waves() {
    let report = sample::in_waves();
    assert_eq!(Report::read(&report.json()).unwrap(), report);
    let schema = schema();
    let mut value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    value["rollout"]["waves"][0]["state"] = "fine".into();
    value["rollout"]["stopped"].as_object_mut().unwrap().remove("because");
    assert_eq!(schema.iter_errors(&value).count(), 2);
}
