//! `--plan-out` and `--plan`: the file that a person reviews.

use std::path::Path;

use cli::{Exit, Failure, Problem};
use cluster::outcome::ClusterOutcome;
use cluster::plan::Mask;
use cluster::plan::file::{FleetPlan, RolloutPlan, VERSION};

use crate::args::{DeployArgs, Strategy};

/// The options that decide what is written. What differs on every deploy (`--sha`, `--uuid`) does not count, and neither does what
/// only decides whether it may be (`--prune-budget`): a larger budget is how one goes on.
pub(crate) fn fingerprint(args: &DeployArgs) -> Vec<String> {
    let (change, mark) = (&args.change, &args.mark);
    let mut recreate = change.recreate.clone();
    recreate.sort();
    let mut prune_kinds = args.guard.prune_kinds.clone();
    prune_kinds.sort();
    vec![
        format!("create-only={}", change.create_only),
        // With `rolling-update` the id is a label that is never a reason to write.
        format!(
            "deploy-id={}",
            mark.deploy_id.as_deref().filter(|_| mark.strategy == Strategy::FastRollback).unwrap_or_default()
        ),
        format!("force={}", change.force),
        format!("force-conflicts={}", change.force_conflicts),
        format!("job-history={}", change.job_history),
        format!("prune={}", args.guard.prune),
        format!("prune-kinds={}", prune_kinds.join(",")),
        format!("raw={}", change.raw),
        format!("recreate={}", recreate.join(",")),
        args.reserve.fingerprint(),
        format!("resource={}", args.resource.as_deref().unwrap_or_default()),
        format!("resource-set={}", args.set.resource_set.clone().unwrap_or_default()),
        format!("selector={}", args.selector.as_deref().unwrap_or_default()),
        format!("strategy={}", mark.strategy.name()),
    ]
}

/// A salt for a new plan.
pub(crate) fn salt() -> String {
    // The token of a mask with a fresh random key is as random as its key.
    format!("{}{}", Mask::new().token("salt"), Mask::new().token("salt"))
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect()
}

/// Writes the plan of a fleet; a cluster without a plan makes the whole file worthless, so that there is none then.
pub(crate) fn write(
    path: &Path,
    salt: String,
    options: Vec<String>,
    rollout: Option<RolloutPlan>,
    outcomes: &[ClusterOutcome],
) -> Result<(), Failure> {
    let problems: Vec<Problem> = outcomes
        .iter()
        .filter(|outcome| outcome.plan.is_none())
        .map(|outcome| {
            let problem = Problem::new(format!(
                "there is no plan for cluster `{}`, so none was written",
                outcome.cluster
            ));
            match &outcome.trouble {
                Some(trouble) => problem.hint(trouble.line()),
                None => problem,
            }
        })
        .collect();
    if !problems.is_empty() {
        return Err(Failure::all(Exit::Failed, problems));
    }
    let clusters = outcomes.iter().filter_map(|outcome| outcome.plan.clone()).collect();
    let plan =
        FleetPlan { version: VERSION, created: jiff::Timestamp::now(), salt, options, rollout, clusters };
    let text =
        serde_json::to_string_pretty(&plan).map_err(|error| Failure::failed(Problem::from_error(&error)))?;
    write_whole(path, &text).map_err(|error| {
        Failure::failed(
            Problem::from_error(&error).context(format!("cannot write the plan: `{}`", path.display())),
        )
    })
}

/// Through a file beside it, so that there is never half a plan.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What every plan has, whatever its version.
#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads a plan that is to be carried out with `options`.
pub(crate) fn read(path: &Path, options: &[String]) -> Result<FleetPlan, Failure> {
    let shown = path.display();
    let invalid = |problem: Problem| Failure::invalid(problem.context(format!("not a plan: `{shown}`")));
    let new = "make one with `--plan-out FILE`";
    let text =
        std::fs::read_to_string(path).map_err(|error| invalid(Problem::from_error(&error).hint(new)))?;
    let unreadable = |error: serde_json::Error| invalid(Problem::from_error(&error).hint(new));
    // First of all the version: another one may look different altogether.
    let Versioned { version } = serde_json::from_str(&text).map_err(unreadable)?;
    if version != VERSION {
        let problem = Problem::new(format!("version {version} is not known, {VERSION} is"));
        return Err(invalid(problem.hint(new)));
    }
    let plan: FleetPlan = serde_json::from_str(&text).map_err(unreadable)?;
    let differing: Vec<Problem> = options
        .iter()
        .filter(|option| !plan.options.contains(option))
        .map(|option| Problem::new(format!("the plan was not made with this option: `{option}`")))
        .collect();
    if differing.is_empty() { Ok(plan) } else { Err(Failure::all(Exit::Refused, differing)) }
}

/// Whether the waves are those that were reviewed.
pub(crate) fn same_waves(plan: &FleetPlan, now: Option<&RolloutPlan>) -> Result<(), Failure> {
    let problem = match (&plan.rollout, now) {
        (None, None) => return Ok(()),
        (Some(reviewed), Some(now)) if reviewed == now => return Ok(()),
        (Some(_), Some(_)) => Problem::new("the waves are not those of the plan"),
        (Some(_), None) => Problem::new("the plan was made in waves")
            .hint("give the same `--waves FILE` as when it was made"),
        (None, Some(_)) => Problem::new("the plan was made without waves"),
    };
    Err(Failure::new(
        Exit::Refused,
        problem.hint("make a new plan with `--plan-out FILE`, and have it reviewed"),
    ))
}
