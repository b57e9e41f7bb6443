//! What is rolled out, in which waves: everything that can be known before the first connection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cli::{Exit, Failure, Problem};
use cluster::connect::Target;
use cluster::fleet::waves::Defaults;
use cluster::fleet::{Budget, Member, Rollout, Shard, WavesError, WavesFile, by_number};
use manifest::ClusterName;
use manifest::index::{Index, Placement};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::args::DeployArgs;
use crate::input::Manifests;
use crate::parse;
use crate::planfile;

use super::args::WaveArgs;

/// The journal where the user names none.
const JOURNAL: &str = "kit-rollout.journal";

/// Rounds of the digest of what is rolled out: it covers secrets, and trying some out against it is made expensive.
const ROUNDS: u32 = 20_000;

/// A rollout as asked for.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) rollout: Rollout,
    pub(crate) journal: PathBuf,
    pub(crate) resume: bool,
    /// How many of the waves this run is about.
    pub(crate) extent: usize,
    /// Digest of the manifests.
    pub(crate) digest: String,
    /// The options that decide what is written.
    pub(crate) options: Vec<String>,
    pub(crate) commit: Option<String>,
}

impl Planned {
    /// The waves by name with their clusters, as the journal has them.
    pub(crate) fn waves(&self) -> Vec<(String, Vec<ClusterName>)> {
        self.rollout.waves.iter().map(|wave| (wave.name.clone(), wave.clusters.clone())).collect()
    }

    /// Whether this run is about a cluster.
    pub(crate) fn concerns(&self, cluster: &ClusterName) -> bool {
        self.rollout.waves[..self.extent].iter().any(|wave| wave.clusters.contains(cluster))
    }
}

/// The part of the fleet that `--shard` names.
pub(crate) fn shard(args: &WaveArgs) -> Result<Option<Shard>, Failure> {
    let Some(text) = parse::given(&args.shard) else { return Ok(None) };
    let shard = text.parse().map_err(|error: cluster::fleet::ShardError| {
        Failure::invalid(Problem::from_error(&error).context("`--shard` cannot be read"))
    })?;
    Ok(Some(shard))
}

/// The waves of a deploy to `targets`; nothing where it is to go to all of them at once.
pub(crate) fn plan(
    args: &DeployArgs,
    targets: &[Target],
    manifests: &Manifests,
) -> Result<Option<Planned>, Failure> {
    let flags = &args.waves;
    let defaults = defaults(flags)?;
    let asked = asked_for(flags);
    let invalid = |problem: Problem| Err(Failure::invalid(problem));
    if flags.no_waves {
        return match asked {
            Some(flag) => invalid(Problem::new(format!("`--no-waves` and `{flag}` contradict each other"))),
            None => Ok(None),
        };
    }
    let placements = placements(targets, &manifests.dir)?;
    let numbered = placements.values().any(|placement| placement.wave.is_some());
    if asked.is_none() && !numbered {
        return Ok(None);
    }
    if shard(flags)?.is_some() {
        let why = asked.unwrap_or("`metadata.wave` of the rendered clusters");
        return invalid(
            Problem::new(format!("`--shard` cannot be combined with waves ({why})"))
                .context("a rollout in waves is one job")
                .hint("budgets, bakes and gates are about the whole fleet, and a shard sees a part of it only")
                .hint(
                    "one job for the waves; or a stage of jobs per wave, `--no-waves --cluster GLOB --shard I/N`, with `deployer report merge` between the stages (docs/waves.md)",
                ),
        );
    }
    if !args.wait.available_enabled || !args.wait.available_required {
        return invalid(
            Problem::new("waves need to know whether a cluster is ready, and waiting is switched off").hint(
                "leave out `--available-enabled false` and `--available-required false`, or deploy to all at once with `--no-waves`",
            ),
        );
    }
    let rollout = match &flags.waves {
        Some(path) if !path.as_os_str().is_empty() => from_file(path, targets, &placements, defaults)?,
        Some(_) | None => {
            let members: Vec<_> = placements.iter().map(|(name, p)| (name.clone(), p.wave)).collect();
            by_number(&members, defaults)
        }
    };
    let extent = extent(flags, &rollout)?;
    let journal = flags.journal.clone().filter(|path| !path.as_os_str().is_empty());
    Ok(Some(Planned {
        rollout,
        journal: journal.unwrap_or_else(|| JOURNAL.into()),
        resume: flags.resume,
        extent,
        digest: digest(targets, manifests)?,
        options: planfile::fingerprint(args),
        commit: parse::given(&args.mark.sha),
    }))
}

/// Refuses all of these flags for a command that cannot have them.
pub(crate) fn refuse(flags: &WaveArgs, command: &str) -> Result<(), Failure> {
    let shard = parse::given(&flags.shard).map(|_| "--shard");
    match asked_for(flags).or(shard) {
        None => Ok(()),
        Some(flag) => Err(Failure::invalid(
            Problem::new(format!("`{command}` knows its own cluster only: `{flag}`"))
                .hint("waves and shards are for a deploy to a fleet"),
        )),
    }
}

/// A flag that makes a deploy a rollout.
fn asked_for(flags: &WaveArgs) -> Option<&'static str> {
    let path = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| !path.as_os_str().is_empty());
    let flags = [
        (path(&flags.waves), "--waves"),
        (flags.resume, "--resume"),
        (parse::given(&flags.until_wave).is_some(), "--until-wave"),
        (parse::given(&flags.failure_budget).is_some(), "--failure-budget"),
        (parse::given(&flags.bake).is_some(), "--bake"),
        (path(&flags.journal), "--journal"),
    ];
    flags.into_iter().find(|(asked, _)| *asked).map(|(_, flag)| flag)
}

fn defaults(flags: &WaveArgs) -> Result<Defaults, Failure> {
    let mut defaults = Defaults::default();
    let mut problems = Vec::new();
    if let Some(text) = parse::given(&flags.bake) {
        match parse::duration(&text) {
            Ok(bake) => defaults.bake = bake,
            Err(why) => problems.push(Problem::new(format!("`--bake` cannot be read, {why}: `{text}`"))),
        }
    }
    if let Some(text) = parse::given(&flags.failure_budget) {
        match text.parse::<Budget>() {
            Ok(budget) => defaults.budget = budget,
            Err(why) => problems.push(Problem::new(format!("`--failure-budget`: {why}"))),
        }
    }
    if problems.is_empty() { Ok(defaults) } else { Err(Failure::all(Exit::Invalid, problems)) }
}

/// What deploymentizer says about each cluster; nothing about those that it did not render.
fn placements(targets: &[Target], dir: &Path) -> Result<BTreeMap<ClusterName, Placement>, Failure> {
    let mut placements = BTreeMap::new();
    let mut problems = Vec::new();
    for target in targets {
        match Index::read(&dir.join(target.name.as_str())) {
            Ok(index) => {
                let placement = index.map(|index| index.placement).unwrap_or_default();
                placements.insert(target.name.clone(), placement);
            }
            Err(error) => problems.push(Problem::from_error(&error)),
        }
    }
    if problems.is_empty() { Ok(placements) } else { Err(Failure::all(Exit::Invalid, problems)) }
}

fn from_file(
    path: &Path,
    targets: &[Target],
    placements: &BTreeMap<ClusterName, Placement>,
    defaults: Defaults,
) -> Result<Rollout, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::invalid(
            Problem::from_error(&error).context(format!("cannot read the waves: `{}`", path.display())),
        )
    })?;
    let members: Vec<Member> = targets.iter().map(|target| member(target, placements)).collect();
    let problem = |error: &WavesError| Problem::from_error(error).maybe_hint(error.hint());
    WavesFile::parse(&text, path)
        .and_then(|file| file.assign(&members, defaults))
        .map_err(|errors| Failure::all(Exit::Invalid, errors.iter().map(problem).collect()))
}

/// A cluster with the labels that waves select by: of its kubeconfig, of the manifests repository, its name and its type.
fn member(target: &Target, placements: &BTreeMap<ClusterName, Placement>) -> Member {
    let mut labels: Map<String, Value> = Map::new();
    for (key, value) in &target.labels {
        labels.insert(key.clone(), Value::from(value.as_str()));
    }
    if let Some(placement) = placements.get(&target.name) {
        for (key, value) in &placement.labels {
            labels.insert(key.clone(), Value::from(value.as_str()));
        }
        if let Some(kind) = &placement.kind {
            labels.insert("type".into(), Value::from(kind.as_str()));
        }
    }
    labels.insert("name".into(), Value::from(target.name.as_str()));
    Member { name: target.name.clone(), labels }
}

/// How many of the waves this run is about.
fn extent(flags: &WaveArgs, rollout: &Rollout) -> Result<usize, Failure> {
    let Some(last) = parse::given(&flags.until_wave) else { return Ok(rollout.waves.len()) };
    let at = rollout.waves.iter().position(|wave| wave.name == last);
    at.map(|at| at + 1).ok_or_else(|| {
        let names: Vec<&str> = rollout.waves.iter().map(|wave| wave.name.as_str()).collect();
        Failure::invalid(
            Problem::new(format!("`--until-wave` names no wave: `{last}`"))
                .hint(format!("the waves are: {}", names.join(", "))),
        )
    })
}

/// A digest of every manifest of every cluster, by file name and content.
fn digest(targets: &[Target], manifests: &Manifests) -> Result<String, Failure> {
    let mut sum = Sha256::new();
    let mut part = |bytes: &[u8]| {
        sum.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        sum.update(bytes);
    };
    for target in targets {
        part(target.name.as_str().as_bytes());
        let dirs = [manifests.namespaces.as_ref(), Some(&manifests.dir)];
        for dir in dirs.into_iter().flatten().map(|dir| dir.join(target.name.as_str())) {
            let mut files = Vec::new();
            walk(&dir, &mut files, 0)
                .and_then(|()| {
                    files.sort();
                    for file in &files {
                        let name = file.strip_prefix(&dir).unwrap_or(file);
                        part(name.as_os_str().as_encoded_bytes());
                        part(&std::fs::read(file)?);
                    }
                    Ok(())
                })
                .map_err(|error| {
                    Failure::failed(
                        Problem::from_error(&error)
                            .context(format!("cannot read the manifests: `{}`", dir.display())),
                    )
                })?;
        }
    }
    let mut digest = sum.finalize();
    for _ in 0..ROUNDS {
        digest = Sha256::digest(digest);
    }
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>, depth: usize) -> std::io::Result<()> {
    if !dir.is_dir() || depth > 16 {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // The index says who wrote the files, not what is in them.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        if path.is_dir() { walk(&path, files, depth + 1)? } else { files.push(path) }
    }
    Ok(())
}
