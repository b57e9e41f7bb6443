//! The bridge between a plan and [`crate::wait`]: which objects to wait for, and what a wait's end means for a deploy.

use kube::core::{ApiResource, GroupVersionKind};
use tokio::time::Instant;

use crate::connect::Connection;
use crate::events::{Happening, Stage};
use crate::health::Diagnosis;
use crate::outcome::Trouble;
use crate::plan::{Mask, PlannedObject};
use crate::rollout::{RolloutOptions, Run};
use crate::wait::{self, WaitEnd, WaitEvent, WaitOptions, WaitTarget};
use crate::writing::Written;

/// An object that is waited for.
pub(crate) struct Await<'a> {
    pub(crate) object: &'a PlannedObject,
    /// None where it was not written.
    pub(crate) written: Option<&'a Written>,
}

/// Why an object does not run.
#[derive(Clone, Debug)]
pub(crate) struct NotReady {
    pub(crate) trouble: Trouble,
    pub(crate) diagnoses: Vec<Diagnosis>,
}

/// Waits for `targets`; for each `None` if it is ready, else why not. A stop of the run ends the wait.
pub(crate) async fn wait(
    connection: &Connection,
    targets: &[Await<'_>],
    deadline: Instant,
    options: &RolloutOptions,
    run: &Run,
) -> Vec<Option<NotReady>> {
    if targets.is_empty() {
        return Vec::new();
    }
    run.busy.rest();
    let wait_targets = targets.iter().map(wait_target).collect();
    let wait_options = WaitOptions {
        health: options.health.clone(),
        log_lines: options.log_lines,
        ..WaitOptions::until(deadline)
    };
    let on_event = |event: WaitEvent| tell(connection, &run.mask, event);
    let ends = wait::until_ready(connection, wait_targets, wait_options, run.stop.set(), on_event).await;
    ends.into_iter().map(|outcome| not_ready(outcome.end, &run.mask)).collect()
}

fn wait_target<'a>(target: &Await<'a>) -> WaitTarget<'a> {
    let wanted = &target.object.wanted;
    let resource = &wanted.resource;
    let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
    WaitTarget {
        object: &wanted.object,
        resource: ApiResource::from_gvk_with_plural(&kind, &resource.plural),
        generation: target.written.and_then(|written| written.generation),
        written: target.written.and_then(|written| written.resource_version.clone()),
    }
}

fn tell(connection: &Connection, mask: &Mask, event: WaitEvent) {
    let mut brief = None;
    let (object, stage, message) = match event {
        WaitEvent::Progress { object, message } | WaitEvent::Lost { object, message } => {
            (object, Stage::Progressing, message)
        }
        WaitEvent::Ready { object, message } => (object, Stage::Ready, message),
        WaitEvent::Troubled { object, diagnosis } => (object, Stage::Troubled, diagnosis.to_string()),
        WaitEvent::Failed { object, message, brief: known } => {
            brief = known.map(|known| mask.text(&known));
            (object, Stage::Failed, message)
        }
        WaitEvent::Recovered { object } => (object, Stage::Ready, "recovered".to_owned()),
        WaitEvent::Retrying { what, because } => {
            let what = format!("watch {what}");
            let because = mask.text(&because);
            return connection.events().emit(Happening::Retrying { what, attempt: 1, pause_ms: 0, because });
        }
    };
    let message = mask.text(&message);
    connection.events().emit(Happening::Rollout { object, stage, message, brief });
}

fn not_ready(end: WaitEnd, mask: &Mask) -> Option<NotReady> {
    let (trouble, diagnoses) = match end {
        WaitEnd::Ready { .. } | WaitEnd::Unjudged { .. } => return None,
        WaitEnd::Failed { message, diagnoses, .. } => (Trouble::new(mask.text(&message)), diagnoses),
        WaitEnd::Stopped { message, diagnoses } => {
            let trouble = Trouble::new("the run was stopped while it was waited for");
            (trouble.because(mask.text(&message)), diagnoses)
        }
        WaitEnd::Late { message, diagnoses } => {
            (Trouble::new(mask.text(&format!("not ready in time: {message}"))), diagnoses)
        }
    };
    let diagnoses = diagnoses.into_iter().map(|diagnosis| hidden(diagnosis, mask)).collect();
    Some(NotReady { trouble, diagnoses })
}

/// A diagnosis without secrets: what an application logs, and what a kubelet quotes, may hold some.
fn hidden(mut diagnosis: Diagnosis, mask: &Mask) -> Diagnosis {
    diagnosis.message = mask.text(&diagnosis.message);
    for event in &mut diagnosis.events {
        event.message = mask.text(&event.message);
    }
    if let Some(log) = &mut diagnosis.log {
        log.lines.iter_mut().for_each(|line| *line = mask.text(line));
    }
    if let Some(exit) = &mut diagnosis.exit {
        exit.message = mask.text(&exit.message);
    }
    diagnosis
}
