//! Load the tip of the branch, plan the edits, commit and push, tell.

use cli::{Exit, Failure, Printer, Problem};
use gitrepo::{Change, CommitSpec, Outcome, PushEvent, RefusalKind, RemoteSpec, TipReader, UpdateError};

use crate::{
    guard,
    message::message,
    plan::{self, Asked, Plan, git_failure},
    registry,
    request::Request,
    signals::Interrupted,
    tell::{self, Ending, Report},
    want::Want,
};

/// Does what was asked for.
pub(crate) fn run(request: &Request, interrupted: &Interrupted, printer: &Printer) -> Result<Exit, Failure> {
    let remote = RemoteSpec { stop: interrupted.stop.clone(), ..request.remote.clone() };
    let wants = match &request.registry {
        Some(check) => registry::checked(check, &request.wants, printer)?,
        None => request.wants.clone(),
    };
    interrupted.begin();
    // The plan of the last tip: what is told is what was decided on the tip that was written.
    let mut last = Decided::default();
    let mut decide = |tip: &mut dyn TipReader| decide(request, &wants, tip, &mut last);
    let mut narrate = |event: PushEvent| {
        if let Some(line) = tell::event(&event) {
            printer.say(&line);
        }
    };
    let ending = if request.dry_run {
        let branch = request.push_branch.as_deref();
        gitrepo::dry_run(&remote, branch, &request.policy, &mut narrate, &mut decide).map(Ending::Planned)
    } else {
        let outcome = match &request.push_branch {
            Some(branch) => gitrepo::push_branch(&remote, branch, &request.policy, &mut narrate, &mut decide),
            None => gitrepo::update(&remote, &request.policy, &mut narrate, &mut decide),
        };
        outcome.map(|outcome| match outcome {
            Outcome::Pushed(pushed) => Ending::Pushed(pushed),
            Outcome::NoChange(unchanged) => Ending::Unchanged(unchanged),
        })
    };
    let ending = ending.map_err(|error| failure(error, interrupted.exit()))?;
    for note in &last.notes {
        printer.say(&format!("note: {note}"));
    }
    let report = Report { request, plan: &last.plan, ending: &ending, message: last.message.as_deref() };
    tell::tell(&report, printer);
    let changed = match &ending {
        Ending::Pushed(_) => true,
        Ending::Planned(planned) => planned.change.is_some(),
        Ending::Unchanged(_) => false,
    };
    Ok(if changed && request.detailed_exitcode { Exit::Changes } else { Exit::Done })
}

/// What was decided on a tip.
#[derive(Default)]
struct Decided {
    plan: Plan,
    message: Option<String>,
    notes: Vec<String>,
}

/// The edits that the tip needs, as a commit; `None` if it needs none.
fn decide(
    request: &Request,
    wants: &[Want],
    tip: &mut dyn TipReader,
    last: &mut Decided,
) -> Result<Option<Change>, Failure> {
    *last = Decided::default();
    let asked =
        Asked { wants, document: &request.document, if_missing: request.if_missing, conf: &request.conf };
    last.plan = plan::plan(&asked, tip)?;
    let files = last.plan.contents();
    if files.is_empty() {
        return Ok(None);
    }
    if !request.ignore_hold {
        guard::respect_holds(&last.plan)?;
    }
    if let Some(guard) = &request.guard {
        last.notes = guard::respect_order(guard, &last.plan, tip)?;
    }
    let text = message(&request.message, &last.plan, &request.build, tip.branch())?;
    last.message = Some(text.clone());
    Ok(Some(Change {
        files,
        commit: CommitSpec {
            author: request.author.clone(),
            committer: request.committer.clone(),
            message: text,
            signer: request.signer.clone().filter(|_| !request.dry_run),
        },
    }))
}

fn failure(error: UpdateError<Failure>, interrupted: Option<Exit>) -> Failure {
    match error {
        UpdateError::Decide(failure) => failure,
        UpdateError::Git(error) => git_failure(&error),
        UpdateError::Refused { branch, kind, reason, server_messages } => {
            let mut problem = Problem::new(format!("the server refuses the push to `{branch}`: {reason}"));
            problem.causes = server_messages;
            Failure::failed(match kind {
                RefusalKind::ProtectedBranch => {
                    problem.hint("push to another branch and open a review: `--push-branch NAME`")
                }
                RefusalKind::Hook | RefusalKind::Other | _ => problem,
            })
        }
        UpdateError::Exhausted { attempts, races, elapsed, last } => {
            let seconds = elapsed.as_secs_f64();
            let plural = if attempts == 1 { "" } else { "s" };
            let problem =
                Problem::new(format!("gave up after {attempts} attempt{plural} in {seconds:.1} s: {last}"));
            Failure::failed(if races > 0 {
                problem.hint("many write at once: allow more with `--retries` and `--deadline`")
            } else {
                problem.hint("nothing was written; run it again")
            })
        }
        UpdateError::Interrupted { sent, branch } => {
            let problem = match sent {
                None => Problem::new("interrupted: nothing was written"),
                Some(commit) => Problem::new(format!(
                    "interrupted: it is not known whether commit {commit} is on `{branch}`"
                ))
                .hint("run it again: it writes nothing if the commit is there"),
            };
            Failure::all(interrupted.unwrap_or(Exit::Interrupted), vec![problem])
        }
        UpdateError::Unknown { commit, branch, reason } => Failure::failed(
            Problem::new(format!("it is not known whether commit {commit} is on `{branch}`: {reason}"))
                .hint("run it again: it writes nothing if the commit is there"),
        ),
    }
}
