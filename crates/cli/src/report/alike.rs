//! What went wrong, once for all clusters on which it went wrong alike: forty clusters with the same bad image are one answer.

use std::collections::HashMap;

use super::{ClusterReport, Diagnosis, ObjectReport, Report, Trouble};

/// Something that is not well, and where else it is the same.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    /// The first cluster that has it; pods, times, places and logs are those of this one.
    pub(crate) cluster: &'a ClusterReport,
    /// What it is.
    pub(crate) what: What<'a>,
    /// All clusters that have it, the first included.
    pub(crate) names: Vec<&'a str>,
}

/// What is not well.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What<'a> {
    /// The cluster as a whole.
    Cluster(&'a Trouble),
    /// One object.
    Object(&'a ObjectReport),
}

/// Names that are told before the rest is counted.
const NAMES: usize = 6;

impl Failure<'_> {
    /// `eu-1`, or `eu-1, eu-2, eu-3 and 35 more`.
    pub(crate) fn who(&self) -> String {
        let names = &self.names;
        if names.len() <= NAMES {
            return names.join(", ");
        }
        format!("{} and {} more", names[..NAMES - 1].join(", "), names.len() + 1 - NAMES)
    }

    /// What is said of one cluster only, where several have it.
    pub(crate) fn proviso(&self) -> Option<String> {
        let particular = match self.what {
            What::Cluster(_) => false,
            What::Object(object) => !object.diagnoses.is_empty(),
        };
        (particular && self.names.len() > 1)
            .then(|| format!("pods, times and logs are those of {}", self.cluster.name))
    }
}

/// All that is not well, in the order of the clusters and their objects; with `explained` also what was skipped with a reason.
pub(crate) fn failures(report: &Report, explained: bool) -> Vec<Failure<'_>> {
    let mut all: Vec<Failure<'_>> = Vec::new();
    let mut known: HashMap<Key<'_>, usize> = HashMap::new();
    for cluster in &report.clusters {
        let whole = cluster.trouble.iter().map(What::Cluster);
        let told = cluster.objects.iter().filter(|o| o.result.is_bad() || (explained && o.because.is_some()));
        for what in whole.chain(told.map(What::Object)) {
            let index = *known.entry(Key::of(what)).or_insert(all.len());
            match all.get_mut(index) {
                Some(failure) => failure.names.push(&cluster.name),
                None => all.push(Failure { cluster, what, names: vec![&cluster.name] }),
            }
        }
    }
    all
}

/// What makes two failures the same: not the pods, not the times, not how often.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    object: Option<(&'a str, super::ObjectResult)>,
    message: &'a str,
    causes: &'a [String],
    diagnoses: Vec<(&'a str, Option<&'a str>, Option<i64>, &'a str)>,
}

impl<'a> Key<'a> {
    fn of(what: What<'a>) -> Self {
        match what {
            What::Cluster(trouble) => Self {
                object: None,
                message: &trouble.message,
                causes: &trouble.causes,
                diagnoses: Vec::new(),
            },
            What::Object(object) => {
                let trouble = object.trouble.as_ref();
                let message = trouble.map(|trouble| trouble.message.as_str()).or(object.because.as_deref());
                let message = message.unwrap_or_default();
                let is_summary = object.diagnoses.iter().any(|diagnosis| diagnosis.summary == message);
                Self {
                    object: Some((&object.object, object.result)),
                    message: if is_summary { "" } else { message },
                    causes: trouble.map(|trouble| trouble.causes.as_slice()).unwrap_or_default(),
                    diagnoses: object.diagnoses.iter().map(essence).collect(),
                }
            }
        }
    }
}

fn essence(diagnosis: &Diagnosis) -> (&str, Option<&str>, Option<i64>, &str) {
    (&diagnosis.problem, diagnosis.container.as_deref(), diagnosis.exit_code, &diagnosis.message)
}
