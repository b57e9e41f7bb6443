//! A waves file: read, checked, and applied to the clusters that there are.
//!
//! ```yaml
//! waves:
//!   - name: canary
//!     clusters: [dev-*, eu-1]        # names and globs
//!     bake: 10m                      # must stay healthy so long before the next wave
//!   - name: europe
//!     labels: region=eu              # a label selector over the clusters' labels
//!     concurrency: 20
//!     gate: {exec: [./error-rate.sh, "--below", "1%"], timeout: 5m}
//!                                    # or {http: https://..., tokenEnv: NAME}
//!   - name: half
//!     percent: 50                    # of the clusters that no earlier wave has taken
//!   - name: rest
//!     rest: true
//! budget: 5%                         # failed clusters of the whole fleet, or a count; a wave may have its own
//! unreachable: 50%                   # clusters of a wave that may be out of reach
//! bake: 2m                           # of waves that do not say
//! ```

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::Glob;
use manifest::ClusterName;
use manifest::selector::Selector;
use manifest::yaml::{self, Schema};
use serde::Deserialize;

use super::budget::{Budget, RawBudget};
use super::gate::{Gate, RawGate};
use super::shard::stable_number;
use super::waves::{Defaults, Member, Rollout, Wave};

/// A waves file, validated.
#[derive(Clone, Debug)]
pub struct WavesFile {
    path: PathBuf,
    waves: Vec<Rule>,
    budget: Option<Budget>,
    unreachable: Option<Budget>,
    bake: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    takes: Takes,
    concurrency: Option<usize>,
    bake: Option<Duration>,
    gate: Option<Gate>,
    budget: Option<Budget>,
    unreachable: Option<Budget>,
}

#[derive(Clone, Debug)]
enum Takes {
    Clusters(Vec<String>),
    Labels(Selector),
    Percent(u8),
    Rest,
}

/// Why a waves file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WavesError {
    /// It is not valid.
    #[error("{}{}: {message}", path.display(), location.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line and column, counted from 1, where they are known.
        location: Option<(usize, usize)>,
        /// What is wrong.
        message: String,
    },
    /// Clusters that no wave takes.
    #[error("{}: no wave takes {} of the clusters: {}", path.display(), clusters.len(), names(clusters))]
    Unassigned {
        /// The file.
        path: PathBuf,
        /// The clusters.
        clusters: Vec<ClusterName>,
    },
    /// A name that is none of the clusters: a typo, or a cluster that has gone.
    #[error("{}: wave `{wave}` names a cluster that is not there: `{cluster}`", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The wave.
        wave: String,
        /// The name or glob.
        cluster: String,
    },
}

impl WavesError {
    /// What gets the user on.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { .. } => None,
            Self::Unassigned { .. } => Some("end the file with a wave `{name: rest, rest: true}`".to_owned()),
            Self::Unknown { .. } => Some(
                "see the names with `deployer --dry-run --output json | jq -r '.clusters[].cluster'`"
                    .to_owned(),
            ),
        }
    }
}

fn names(clusters: &[ClusterName]) -> String {
    let mut text = clusters.iter().take(10).map(ClusterName::as_str).collect::<Vec<_>>().join(", ");
    if clusters.len() > 10 {
        text.push_str(", …");
    }
    text
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    waves: Vec<RawWave>,
    budget: Option<RawBudget>,
    unreachable: Option<RawBudget>,
    bake: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWave {
    name: String,
    clusters: Option<Vec<String>>,
    labels: Option<String>,
    percent: Option<u8>,
    rest: Option<bool>,
    concurrency: Option<usize>,
    bake: Option<String>,
    gate: Option<RawGate>,
    budget: Option<RawBudget>,
    unreachable: Option<RawBudget>,
}

impl WavesFile {
    /// Validates the text of a waves file; `path` is its name in messages.
    ///
    /// # Errors
    /// With every wave that is wrong, or the one place where the text is not YAML.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<WavesError>> {
        // For places, which serde does not keep: read only where something is wrong.
        let document =
            LazyCell::new(|| yaml::read_one(text, &path.display().to_string(), Schema::Kubernetes).ok());
        let invalid = |at: &[Step<'_>], message: String| {
            let location = document.as_ref().map(|document| place(&document.root, at));
            WavesError::Invalid { path: path.to_owned(), location, message }
        };
        let raw: RawFile = serde_yaml::from_str(text).map_err(|error| {
            let message = error.to_string();
            vec![WavesError::Invalid {
                path: path.to_owned(),
                location: error.location().map(|at| (at.line(), at.column())),
                message: message
                    .rsplit_once(" at line ")
                    .map_or(message.clone(), |(what, _)| what.to_owned()),
            }]
        })?;
        let mut problems = Vec::new();
        let mut waves = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, wave) in raw.waves.into_iter().enumerate() {
            let here = [Step::Key("waves"), Step::Item(index)];
            let name = wave.name.clone();
            if !seen.insert(name.clone()) {
                let message = format!("two waves have one name: `{name}`");
                problems.push(invalid(&[&here[..], &[Step::Key("name")]].concat(), message));
            }
            match Rule::validate(wave) {
                Ok(rule) => waves.push(rule),
                Err((field, message)) => {
                    let at = [&here[..], &[Step::Key(field)]].concat();
                    problems.push(invalid(&at, format!("wave `{name}`: {message}")));
                }
            }
        }
        if waves.is_empty() && problems.is_empty() {
            let message = "`waves` is empty: expected at least one wave".to_owned();
            problems.push(invalid(&[Step::Key("waves")], message));
        }
        let mut budget = |field: &str, raw: Option<RawBudget>| {
            let checked = raw.map(Budget::validate).transpose();
            checked.unwrap_or_else(|message| {
                problems.push(invalid(&[Step::Key(field)], format!("`{field}`: {message}")));
                None
            })
        };
        let (budget, unreachable) = (budget("budget", raw.budget), budget("unreachable", raw.unreachable));
        let bake = raw.bake.as_deref().map(|text| duration("bake", text)).transpose();
        let bake = bake.unwrap_or_else(|message| {
            problems.push(invalid(&[Step::Key("bake")], message));
            None
        });
        match problems.is_empty() {
            true => Ok(Self { path: path.to_owned(), waves, budget, unreachable, bake }),
            false => Err(problems),
        }
    }

    /// Which cluster goes in which wave. A cluster belongs to the first wave that takes it; a wave that takes none is left out.
    ///
    /// A percentage takes clusters in an order that depends on their names alone, so that a cluster that comes or goes
    /// does not shuffle the others.
    ///
    /// # Errors
    /// With every name that is no cluster, and with the clusters that no wave takes: neither is silently skipped.
    pub fn assign(&self, members: &[Member], defaults: Defaults) -> Result<Rollout, Vec<WavesError>> {
        let mut left: Vec<&Member> = members.iter().collect();
        left.sort_by(|a, b| a.name.cmp(&b.name));
        let mut problems = Vec::new();
        let mut waves = Vec::new();
        for rule in &self.waves {
            let taken: BTreeSet<ClusterName> = match &rule.takes {
                Takes::Clusters(patterns) => {
                    let mut taken = BTreeSet::new();
                    for pattern in patterns {
                        let glob =
                            Glob::new(pattern).expect("validated when the file was read").compile_matcher();
                        if !members.iter().any(|member| glob.is_match(member.name.as_str())) {
                            let (path, wave) = (self.path.clone(), rule.name.clone());
                            problems.push(WavesError::Unknown { path, wave, cluster: pattern.clone() });
                        }
                        let matches = left.iter().filter(|member| glob.is_match(member.name.as_str()));
                        taken.extend(matches.map(|member| member.name.clone()));
                    }
                    taken
                }
                Takes::Labels(selector) => {
                    let matches = left.iter().filter(|member| selector.matches(Some(&member.labels)));
                    matches.map(|member| member.name.clone()).collect()
                }
                Takes::Percent(percent) => {
                    let mut order: Vec<&&Member> = left.iter().collect();
                    order.sort_by_key(|member| (stable_number(member.name.as_str()), &member.name));
                    let count = (left.len() * usize::from(*percent)).div_ceil(100);
                    order.into_iter().take(count).map(|member| member.name.clone()).collect()
                }
                Takes::Rest => left.iter().map(|member| member.name.clone()).collect(),
            };
            left.retain(|member| !taken.contains(&member.name));
            if !taken.is_empty() {
                waves.push(Wave {
                    name: rule.name.clone(),
                    clusters: taken.into_iter().collect(),
                    concurrency: rule.concurrency,
                    bake: rule.bake.or(self.bake).unwrap_or(defaults.bake),
                    gate: rule.gate.clone(),
                    budget: rule.budget,
                    unreachable: rule.unreachable,
                });
            }
        }
        if !left.is_empty() {
            let clusters = left.iter().map(|member| member.name.clone()).collect();
            problems.push(WavesError::Unassigned { path: self.path.clone(), clusters });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Rollout {
            waves,
            budget: self.budget.unwrap_or(defaults.budget),
            unreachable: self.unreachable.unwrap_or(defaults.unreachable),
        })
    }
}

impl Rule {
    /// Or the field that is wrong, and how; no field where it is the wave as a whole.
    fn validate(raw: RawWave) -> Result<Self, (&'static str, String)> {
        let of = |field: &'static str| move |message: String| (field, message);
        let takes = match (raw.clusters, raw.labels, raw.percent, raw.rest) {
            (Some(patterns), None, None, None) if !patterns.is_empty() => {
                for pattern in &patterns {
                    Glob::new(pattern)
                        .map_err(|error| format!("`{pattern}` is not a glob: {}", error.kind()))
                        .map_err(of("clusters"))?;
                }
                Takes::Clusters(patterns)
            }
            (None, Some(labels), None, None) => {
                Takes::Labels(labels.parse().map_err(|error| format!("{error}")).map_err(of("labels"))?)
            }
            (None, None, Some(percent @ 1..=100), None) => Takes::Percent(percent),
            (None, None, Some(percent), None) => {
                return Err(("percent", format!("`percent` is from 1 to 100: {percent}")));
            }
            (None, None, None, Some(true)) => Takes::Rest,
            _ => {
                let message = "expected exactly one of `clusters`, `labels`, `percent` and `rest: true`";
                return Err(("", message.to_owned()));
            }
        };
        if raw.concurrency == Some(0) {
            return Err(("concurrency", "`concurrency` is at least 1".to_owned()));
        }
        Ok(Self {
            name: raw.name,
            takes,
            concurrency: raw.concurrency,
            bake: raw.bake.as_deref().map(|text| duration("bake", text)).transpose().map_err(of("bake"))?,
            gate: raw.gate.map(Gate::validate).transpose().map_err(of("gate"))?,
            budget: raw.budget.map(Budget::validate).transpose().map_err(of("budget"))?,
            unreachable: raw.unreachable.map(Budget::validate).transpose().map_err(of("unreachable"))?,
        })
    }
}

/// A step into a document.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// Line and column of what `steps` lead to, as far as they lead.
fn place(root: &yaml::Node, steps: &[Step<'_>]) -> (usize, usize) {
    let mut node = root;
    for step in steps {
        let next = match step {
            Step::Key(key) => node.get(key),
            Step::Item(index) => node.as_list().and_then(|items| items.get(*index)),
        };
        let Some(next) = next else { break };
        node = next;
    }
    (node.span.line as usize, node.span.column as usize)
}

pub(super) fn duration(field: &str, text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed.ok_or_else(|| format!("`{field}` is a duration such as `90s`, `10m` or `1h 30m`: `{text}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn member(name: &str, region: &str) -> Member {
        let labels = Map::from_iter([("region".to_owned(), Value::from(region))]);
        Member { name: name.parse().unwrap(), labels }
    }

    fn fleet() -> Vec<Member> {
        let mut fleet = vec![member("dev-1", "eu"), member("dev-2", "us")];
        fleet.extend(
            (0..10).map(|number| member(&format!("prod-{number}"), if number < 4 { "eu" } else { "us" })),
        );
        fleet
    }

    fn assign(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
        let said =
            |problems: Vec<WavesError>| problems.iter().map(|p| p.to_string()).collect::<Vec<_>>().join("\n");
        let waves = WavesFile::parse(text, Path::new("waves.yaml"))
            .and_then(|file| file.assign(&fleet(), Defaults::default()))
            .map_err(said)?;
        let names = |wave: Wave| (wave.name, wave.clusters.into_iter().map(String::from).collect());
        Ok(waves.waves.into_iter().map(names).collect())
    }

    #[test]
    fn a_cluster_goes_in_the_first_wave_that_takes_it() {
        let waves = assign(
            "waves:\n- {name: canary, clusters: [dev-*, prod-0]}\n- {name: eu, labels: region=eu}\n- {name: rest, rest: true}\n",
        )
        .unwrap();
        let sizes: Vec<(&str, usize)> = waves.iter().map(|(name, all)| (name.as_str(), all.len())).collect();
        assert_eq!(sizes, [("canary", 3), ("eu", 3), ("rest", 6)]);
        assert_eq!(waves[1].1, ["prod-1", "prod-2", "prod-3"]);
    }

    #[test]
    fn a_percentage_is_of_what_is_left_and_never_nothing() {
        let waves = assign(
            "waves:\n- {name: one, percent: 1}\n- {name: half, percent: 50}\n- {name: all, percent: 100}\n",
        );
        let sizes: Vec<usize> = waves.unwrap().iter().map(|(_, clusters)| clusters.len()).collect();
        assert_eq!(sizes, [1, 6, 5]);
    }

    #[test]
    fn no_cluster_is_left_out_and_no_name_is_ignored() {
        assert_eq!(
            assign("waves: [{name: a, clusters: [dev-1, nope, prod-*]}]").unwrap_err(),
            "waves.yaml: wave `a` names a cluster that is not there: `nope`\nwaves.yaml: no wave takes 1 of the clusters: dev-2"
        );
    }

    #[test]
    fn what_is_wrong_is_said_for_every_wave() {
        let text = "\
waves:
- {name: a, rest: true, percent: 5}
- {name: a, percent: 0}
- {name: b, rest: true, bake: soon}
- {name: c, rest: true, gate: {http: ftp://x}}
- {name: d, rest: true, concurrency: 0}
- {name: e, labels: 'a=b=c'}
budget: 5 percent
";
        let said = assign(text).unwrap_err();
        let places =
            said.lines().map(|line| line.split(": ").next().unwrap().trim_start_matches("waves.yaml:"));
        assert_eq!(
            places.collect::<Vec<_>>(),
            ["2:3", "3:10", "3:22", "4:31", "5:31", "6:38", "7:21", "8:9"]
        );
        assert!(
            said.contains(
                "waves.yaml:4:31: wave `b`: `bake` is a duration such as `90s`, `10m` or `1h 30m`: `soon`"
            ),
            "{said}"
        );
        let said = assign("waves: [{name: a, clutsers: [x]}]").unwrap_err();
        assert!(said.starts_with("waves.yaml:1:19: waves[0]: unknown field `clutsers`"), "{said}");
    }
}
