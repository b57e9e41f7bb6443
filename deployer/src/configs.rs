//! Which kubeconfigs `--configs` means, and which clusters of them are asked for.

use std::path::{Path, PathBuf};

use cli::{Failure, Problem};
use cluster::connect::{Contexts, Target, read_kubeconfigs};
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use manifest::ClusterName;

use crate::args::ReachArgs;

/// The clusters to deploy to, sorted by name.
pub(crate) fn targets(reach: &ReachArgs) -> Result<Vec<Target>, Failure> {
    let mut targets = match (&reach.configs, &reach.in_cluster) {
        (None, None) => {
            return Err(Failure::invalid(
                Problem::new("there is nothing to deploy to: `--configs` is missing")
                    .hint("--configs DIR, a directory of kubeconfigs (or set `CONFIGS`)"),
            ));
        }
        (Some(pattern), _) => {
            let files = kubeconfig_files(pattern)?;
            let contexts = if reach.all_contexts { Contexts::All } else { Contexts::Current };
            read_kubeconfigs(&files, contexts).map_err(|errors| {
                let problem = |error: cluster::connect::KubeconfigError| {
                    Problem::from_error(&error).maybe_hint(error.hint())
                };
                Failure::all(cli::Exit::Invalid, errors.into_iter().map(problem).collect())
            })?
        }
        (None, Some(_)) => Vec::new(),
    };
    if let Some(name) = &reach.in_cluster {
        let pod = in_cluster(name, &reach.service_account_dir)?;
        if let Some(other) = targets.iter().find(|other| other.name == pod.name) {
            return Err(Failure::invalid(
                Problem::new(format!("`--in-cluster` gives a name that a kubeconfig has: `{name}`"))
                    .hint(format!("give it another one, or leave out {}", other.origin())),
            ));
        }
        targets.push(pod);
        targets.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let filter = ClusterFilter::new(&reach.cluster)?;
    let all: Vec<ClusterName> = targets.iter().map(|target| target.name.clone()).collect();
    filter.check(&all)?;
    targets.retain(|target| filter.takes(&target.name));
    Ok(targets)
}

fn in_cluster(name: &str, mount: &Path) -> Result<Target, Failure> {
    let invalid = |error: &(dyn std::error::Error + 'static), hint| {
        Failure::invalid(Problem::from_error(error).maybe_hint(hint))
    };
    let name: ClusterName = name.parse().map_err(|error| invalid(&error, None))?;
    let host = std::env::var("KUBERNETES_SERVICE_HOST").ok();
    let port = std::env::var("KUBERNETES_SERVICE_PORT").ok();
    Target::in_cluster(name, host.as_deref(), port.as_deref(), mount)
        .map_err(|error| invalid(&error, error.hint()))
}

/// `--cluster`: names and globs.
pub(crate) struct ClusterFilter {
    patterns: Vec<(String, Glob)>,
    set: GlobSet,
}

impl ClusterFilter {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, Failure> {
        let mut set = GlobSetBuilder::new();
        let mut globs = Vec::new();
        let patterns = patterns.iter().flat_map(|text| split(text)).map(str::trim);
        for pattern in patterns.filter(|pattern| !pattern.is_empty()) {
            let glob = Glob::new(pattern).map_err(|error| {
                Failure::invalid(
                    Problem::from_error(&error)
                        .context(format!("`--cluster` is not a name or glob: `{pattern}`")),
                )
            })?;
            set.add(glob.clone());
            globs.push((pattern.to_owned(), glob));
        }
        let set = set.build().map_err(|error| Failure::invalid(Problem::from_error(&error)))?;
        Ok(Self { patterns: globs, set })
    }

    pub(crate) fn takes(&self, name: &ClusterName) -> bool {
        self.patterns.is_empty() || self.set.is_match(name.as_str())
    }

    /// A pattern that means nothing is a mistake, most likely a spelling one.
    fn check(&self, names: &[ClusterName]) -> Result<(), Failure> {
        let problems: Vec<Problem> = self
            .patterns
            .iter()
            .filter(|(_, glob)| {
                let matcher = glob.compile_matcher();
                !names.iter().any(|name| matcher.is_match(name.as_str()))
            })
            .map(|(pattern, _)| {
                let problem = Problem::new(format!("no kubeconfig names this cluster: `{pattern}`"));
                match nearest(pattern, names) {
                    Some(name) => problem.hint(format!("did you mean `{name}`?")),
                    None => problem.hint("deployer clusters --configs ... lists those that there are"),
                }
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(Failure::all(cli::Exit::Invalid, problems)) }
    }
}

/// What commas separate; those inside of `{a,b}` belong to a glob.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
}

/// The name that differs least, if it differs little.
fn nearest<'a>(wanted: &str, names: &'a [ClusterName]) -> Option<&'a ClusterName> {
    let distance = |name: &ClusterName| {
        let (a, b): (Vec<char>, Vec<char>) = (wanted.chars().collect(), name.as_str().chars().collect());
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let replaced = diagonal + usize::from(x != y);
                diagonal = row[j + 1];
                row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
            }
        }
        row[b.len()]
    };
    names.iter().map(|name| (distance(name), name)).filter(|(d, _)| *d <= 2).min().map(|(_, name)| name)
}

/// The files that a directory or glob means, sorted.
fn kubeconfig_files(pattern: &str) -> Result<Vec<PathBuf>, Failure> {
    let path = Path::new(pattern);
    let is_glob = pattern.contains(['*', '?', '[', '{']) && !path.exists();
    let files = if path.is_file() {
        vec![path.to_owned()]
    } else if is_glob {
        let glob = GlobBuilder::new(pattern.trim_start_matches("./")).literal_separator(true).build();
        let matcher = glob
            .map_err(|error| {
                Failure::invalid(
                    Problem::from_error(&error).context(format!("`--configs` is not a glob: `{pattern}`")),
                )
            })?
            .compile_matcher();
        let mut files = Vec::new();
        walk(&fixed_part(pattern), 0, &mut files)?;
        files.retain(|file| matcher.is_match(file.strip_prefix("./").unwrap_or(file)));
        files
    } else {
        let mut files = Vec::new();
        walk(path, 0, &mut files)?;
        files.retain(|file| looks_like_kubeconfig(file));
        files
    };
    if files.is_empty() {
        return Err(Failure::invalid(
            Problem::new(format!("no kubeconfig found: `{pattern}`")).hint(format!("ls -lR {pattern}")),
        ));
    }
    Ok(files)
}

/// The directory before the first wildcard.
fn fixed_part(pattern: &str) -> PathBuf {
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
        .collect();
    if fixed.as_os_str().is_empty() { PathBuf::from(".") } else { fixed }
}

fn walk(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::invalid(
            Problem::from_error(&error).context(format!("cannot read the kubeconfigs: `{}`", dir.display())),
        )
    };
    let mut entries =
        std::fs::read_dir(dir).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() && depth < 16 {
            walk(&path, depth + 1, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// In a directory, files are taken that are named like a kubeconfig and do not say that they are something else (a `cluster.yaml`
/// of kit lies beside each `kubeconfig.yaml`).
fn looks_like_kubeconfig(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let named = match extension.as_deref() {
        None => true,
        Some(extension) => ["yaml", "yml", "json", "conf", "config", "kubeconfig"].contains(&extension),
    };
    named && !says_another_kind(path)
}

fn says_another_kind(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    text.lines()
        .filter_map(|line| line.strip_prefix("kind:"))
        .map(str::trim)
        .next()
        .is_some_and(|kind| kind != "Config")
        || (!text.contains("clusters") && !text.contains("contexts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<ClusterName> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_misspelled_cluster_is_told_the_right_spelling() {
        let filter = ClusterFilter::new(&["eu-west".into()]).unwrap();
        let failure = filter.check(&names(&["eu-wst", "us"])).unwrap_err();
        assert_eq!(
            failure.problems[0].to_string(),
            "no kubeconfig names this cluster: `eu-west`\n  hint: did you mean `eu-wst`?"
        );
    }

    #[test]
    fn clusters_are_chosen_by_name_and_glob() {
        let filter = ClusterFilter::new(&["eu-*".into(), "us-1".into()]).unwrap();
        let all = names(&["eu-1", "eu-2", "us-1", "us-2"]);
        filter.check(&all).unwrap();
        let taken: Vec<_> = all.iter().filter(|name| filter.takes(name)).map(ClusterName::as_str).collect();
        assert_eq!(taken, ["eu-1", "eu-2", "us-1"]);
    }

    #[test]
    fn the_walk_of_a_glob_starts_where_it_is_certain() {
        assert_eq!(fixed_part("/configs/**/kubeconfig"), Path::new("/configs"));
        assert_eq!(fixed_part("*.yaml"), Path::new("."));
    }
}
