//! The manifests of a fleet: everything is parsed and checked before the first connection, and nothing of it is kept; a cluster's
//! objects are read again when its turn comes, so that memory grows with what is in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cli::{Exit, Failure, Problem};
use cluster::connect::Target;
use cluster::inventory::Manifests as Loaded;
use manifest::index::{Index, IndexError};
use manifest::{ClusterName, LoadError, Object, Selector};

/// Where the manifests are and which of them are meant.
#[derive(Clone, Debug)]
pub(crate) struct Manifests {
    pub(crate) dir: PathBuf,
    pub(crate) namespaces: Option<PathBuf>,
    pub(crate) selector: Selector,
    /// `--resource`.
    pub(crate) resource: Option<String>,
}

impl Manifests {
    /// No manifests at all: what is deployed comes from elsewhere.
    pub(crate) fn none() -> Self {
        // A path below which there is no directory.
        Self {
            dir: PathBuf::from("/dev/null"),
            namespaces: None,
            selector: Selector::default(),
            resource: None,
        }
    }

    /// The objects for `cluster`, Namespaces of `--namespaces-dir` first.
    pub(crate) fn load(&self, cluster: &ClusterName) -> Result<Loaded, Vec<LoadError>> {
        let mut objects: Vec<Object> = Vec::new();
        let mut known = BTreeMap::new();
        let mut left_out = Vec::new();
        let mut errors = Vec::new();
        let namespaces = self.namespaces.as_ref().map(|dir| dir.join(cluster.as_str()));
        let own = self.dir.join(cluster.as_str());
        // The namespaces are there for whatever is chosen.
        let dirs = [(namespaces, false), (Some(own.clone()), true)];
        let dirs = dirs.into_iter().filter_map(|(dir, choose)| Some((dir?, choose)));
        for (dir, choose) in dirs.filter(|(dir, _)| dir.is_dir()) {
            match manifest::load_dir(&dir) {
                Ok(mut found) => {
                    if choose {
                        let files = self.resources_of_files(&own);
                        let (chosen, others): (Vec<Object>, Vec<Object>) =
                            found.into_iter().partition(|object| self.chooses(object, &own, &files));
                        left_out.extend(others.iter().map(Object::reference));
                        found = chosen;
                    }
                    for object in found {
                        let reference = object.reference();
                        match known.get(&reference).map(|index: &usize| &objects[*index]) {
                            // A Namespace may be in both directories, as long as they agree.
                            Some(other) if other.value == object.value => {}
                            Some(other) => errors.push(LoadError::Duplicate {
                                object: reference,
                                first: other.place.clone(),
                                second: object.place,
                            }),
                            None => {
                                known.insert(reference, objects.len());
                                objects.push(object);
                            }
                        }
                    }
                }
                Err(found) => errors.extend(found),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Loaded { objects, left_out })
    }

    /// The resource of each file that deploymentizer wrote; nothing where that is not asked for. An index that cannot be read is
    /// reported with the secrets.
    fn resources_of_files(&self, dir: &Path) -> BTreeMap<String, String> {
        if self.resource.is_none() {
            return BTreeMap::new();
        }
        let files = Index::read(dir).ok().flatten().map(|index| index.files).unwrap_or_default();
        files.into_iter().map(|(file, entry)| (file, entry.resource)).collect()
    }

    /// Whether `--selector` and `--resource` take an object.
    fn chooses(&self, object: &Object, dir: &Path, files: &BTreeMap<String, String>) -> bool {
        let of_resource = self.resource.as_ref().is_none_or(|wanted| {
            let file = Path::new(&*object.place.file).strip_prefix(dir).unwrap_or(Path::new(""));
            let recorded = files.get(&*file.to_string_lossy()).map(String::as_str);
            let labelled = || object.labels()?.get("resource")?.as_str();
            recorded.or_else(labelled).is_none_or(|resource| resource == wanted)
        });
        of_resource && self.selector.matches(object.labels())
    }

    /// The values that deploymentizer has marked secret.
    pub(crate) fn secrets(&self, cluster: &ClusterName) -> Result<Vec<String>, IndexError> {
        manifest::load::secret_values(&self.dir.join(cluster.as_str()))
    }

    /// Checks the manifests of all `targets`, on all cores; problems are in the order of the targets.
    pub(crate) fn check(&self, targets: &[Target]) -> Result<(), Failure> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = targets.len().div_ceil(cores).max(1);
        let chosen = AtomicBool::new(false);
        let problems: Vec<Problem> = std::thread::scope(|scope| {
            let chosen = &chosen;
            let workers: Vec<_> = targets
                .chunks(share)
                .map(|share| {
                    scope.spawn(move || {
                        share.iter().flat_map(|target| self.problems(target, chosen)).collect::<Vec<_>>()
                    })
                })
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| {
                    worker.join().unwrap_or_else(|_| {
                        vec![Problem::new("this is a bug in deployer: a check has panicked")]
                    })
                })
                .collect()
        });
        if !problems.is_empty() {
            return Err(Failure::all(Exit::Invalid, problems));
        }
        if chosen.into_inner() { Ok(()) } else { self.nothing_chosen(targets) }
    }

    /// A filter that takes nothing on any cluster is a mistake; manifests that are empty are not.
    fn nothing_chosen(&self, targets: &[Target]) -> Result<(), Failure> {
        let problem = match &self.resource {
            Some(resource) => {
                let files = targets
                    .iter()
                    .flat_map(|target| self.resources_of_files(&self.dir.join(target.name.as_str())));
                let known: BTreeSet<String> = files.map(|(_, resource)| resource).collect();
                let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
                Problem::new(format!("no cluster has manifests of this resource: `{resource}`")).hint(
                    match known.is_empty() {
                        true => "it is the label `resource`, or what deploymentizer records".to_owned(),
                        false => format!("there are {}", known.join(", ")),
                    },
                )
            }
            None if self.selector.is_empty() => return Ok(()),
            None => Problem::new(format!("no manifest has such labels: `--selector {}`", self.selector))
                .hint(format!("grep -rA5 labels: {}", self.dir.display())),
        };
        Err(Failure::invalid(problem))
    }

    fn problems(&self, target: &Target, chosen: &AtomicBool) -> Vec<Problem> {
        let own = self.dir.join(target.name.as_str());
        let mut problems = match self.load(&target.name) {
            Ok(objects) => {
                if objects.objects.iter().any(|object| Path::new(&*object.place.file).starts_with(&own)) {
                    chosen.store(true, Ordering::Relaxed);
                }
                Vec::new()
            }
            Err(errors) => errors.iter().map(problem).collect(),
        };
        // An index that cannot be read would leave secrets unmasked.
        if let Err(error) = self.secrets(&target.name) {
            problems.push(Problem::from_error(&error));
        }
        problems
    }
}

pub(crate) fn problem(error: &LoadError) -> Problem {
    Problem::from_error(error).maybe_hint(error.hint())
}

/// The targets that there are manifests for. What has no counterpart is an error, unless `allow_missing`.
pub(crate) fn pair(
    targets: Vec<Target>,
    manifests: &Path,
    only: impl Fn(&ClusterName) -> bool,
    allow_missing: bool,
) -> Result<Vec<Target>, Failure> {
    let dirs = cluster_dirs(manifests)?;
    let names: BTreeSet<String> = targets.iter().map(|target| target.name.to_string()).collect();
    let mut problems = Vec::new();
    for dir in dirs.iter().filter(|dir| !names.contains(*dir)) {
        if dir.parse().is_ok_and(|name| only(&name)) {
            problems.push(
                Problem::new(format!("there are manifests for a cluster that no kubeconfig names: `{dir}`"))
                    .hint(format!(
                        "add its kubeconfig, or remove {}, or `--allow-missing`",
                        manifests.join(dir).display()
                    )),
            );
        }
    }
    for target in targets.iter().filter(|target| !dirs.contains(target.name.as_str())) {
        problems.push(Problem::new(format!("there are no manifests for a cluster: `{}`", target.name)).hint(
            format!(
                "expected a directory {}, for the kubeconfig {}; or `--allow-missing`",
                manifests.join(target.name.as_str()).display(),
                target.origin()
            ),
        ));
    }
    if !problems.is_empty() && !allow_missing {
        return Err(Failure::all(Exit::Invalid, problems));
    }
    let paired: Vec<Target> =
        targets.into_iter().filter(|target| dirs.contains(target.name.as_str())).collect();
    if paired.is_empty() {
        return Err(Failure::invalid(
            Problem::new("no cluster has both a kubeconfig and manifests")
                .hint(format!("ls {}", manifests.display())),
        ));
    }
    Ok(paired)
}

fn cluster_dirs(manifests: &Path) -> Result<BTreeSet<String>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::invalid(
            Problem::from_error(&error)
                .context(format!("cannot read the manifests: `{}`", manifests.display())),
        )
    };
    let mut dirs = BTreeSet::new();
    for entry in std::fs::read_dir(manifests).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            dirs.insert(name);
        }
    }
    Ok(dirs)
}

/// The clusters that a document of `deploymentizer --output json` names: `{"clusters": [{"name": "eu-1"}, ...]}`, or a list of
/// names.
pub(crate) fn clusters_from(path: &Path) -> Result<BTreeSet<ClusterName>, Failure> {
    let shown = path.display();
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(path).map(|found| text = found)
    };
    read.map_err(|error| {
        Failure::invalid(
            Problem::from_error(&error).context(format!("cannot read the list of clusters: `{shown}`")),
        )
    })?;
    let invalid = |problem: String| {
        Failure::invalid(
            Problem::new(format!("not a list of clusters: `{shown}`: {problem}"))
                .hint("deploymentizer --output json | deployer --clusters-from -"),
        )
    };
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    let list = document.get("clusters").unwrap_or(&document);
    let failed: Vec<Problem> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter(|item| item["status"] == "failed")
        .map(|item| {
            let name = item["name"].as_str().unwrap_or_default();
            Problem::new(format!("deploymentizer could not render the manifests of a cluster: `{name}`"))
                .hint("repair it, or deploy to the others with `--cluster`")
        })
        .collect();
    if !failed.is_empty() {
        return Err(Failure::all(Exit::Invalid, failed));
    }
    let names = match list {
        serde_json::Value::Array(items) => items
            .iter()
            .filter(|item| item["status"] != "removed")
            .map(|item| item.as_str().or_else(|| item["name"].as_str()).map(str::to_owned))
            .collect::<Option<Vec<_>>>(),
        serde_json::Value::Object(map) => Some(map.keys().cloned().collect()),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => None,
    };
    names
        .ok_or_else(|| invalid("expected `clusters`, a list of names".into()))?
        .iter()
        .map(|name| name.parse().map_err(|error: manifest::ClusterNameError| invalid(error.to_string())))
        .collect()
}
