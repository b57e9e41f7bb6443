//! Moving traffic: the steps before, the wait for everything, all Services or none, who follows, and what is cleaned up.
//!
//! Nothing after the wait is done unless every object of the deploy is there and ready, so that whatever fails leaves traffic
//! where it was.

use std::time::Duration;

use manifest::{ObjectRef, Selector};
use serde_json::Value;
use tokio::time::Instant;

use crate::apply::{self, Mode};
use crate::applying::{Applying, emit};
use crate::connect::CallError;
use crate::discovery::Resource;
use crate::events::Happening;
use crate::outcome::{ObjectResult, Trouble};
use crate::plan::{Action, PlannedObject, conflict_yields, refused};
use crate::strategy::{Step, What, is_ready_pod, pods};
use crate::wait::has_readiness;

/// How long the endpoints of a Service may take to follow its selector.
const ENDPOINTS: Duration = Duration::from_secs(60);

impl Applying<'_> {
    /// The steps before anything is written. `false` if one failed: then nothing else is done.
    pub(crate) async fn prepare_moves(&mut self) -> bool {
        let plan = self.plan;
        if plan.moves.mains.is_empty() && plan.moves.before.is_empty() {
            return true;
        }
        // Traffic could not move in the end: nothing is begun.
        let refused = plan.objects.iter().find(|object| matches!(object.action, Action::Refuse { .. }));
        let refused = refused.map(|object| &object.wanted.object);
        if let Some(object) = refused.or(plan.unplanned.first().map(|object| &object.object)) {
            return self.give_up_before(format!("it waits for {object}, which is refused"));
        }
        for step in &plan.moves.before {
            let result = self.step(step).await;
            let failed = matches!(result, ObjectResult::Failed { .. } | ObjectResult::Skipped { .. });
            self.steps.push(result);
            if failed {
                return self
                    .give_up_before(format!("it waits for {}, which could not be prepared", step.object));
            }
        }
        true
    }

    /// Settles everything that has no result yet.
    fn give_up_before(&mut self, because: String) -> bool {
        for index in 0..self.plan.objects.len() {
            let result = match &self.plan.objects[index].action {
                Action::Unchanged => ObjectResult::Unchanged,
                Action::Skip { because } => ObjectResult::Skipped { because: because.clone() },
                Action::Refuse { trouble } => ObjectResult::Failed { trouble: trouble.clone() },
                Action::Create | Action::Configure | Action::Recreate => {
                    ObjectResult::Skipped { because: because.clone() }
                }
            };
            self.settle(index, result);
        }
        self.skip_steps(&because);
        false
    }

    /// Moves traffic, if the plan has it move.
    pub(crate) async fn move_traffic(&mut self) {
        let moves = &self.plan.moves;
        if moves.mains.is_empty() {
            return;
        }
        for step in &moves.grow {
            let result = match self.blocker() {
                Some(because) => ObjectResult::Skipped { because },
                None => self.step(step).await,
            };
            self.steps.push(result);
        }
        if let Err(because) = self.everything_is_ready().await {
            self.stay(&because);
            return;
        }
        if let Err((index, trouble)) = self.all_or_none().await {
            let name = &self.plan.objects[index].wanted.object;
            let because = format!("it needs {name} to move with it, which failed");
            self.settle(index, ObjectResult::failed(trouble));
            self.stay(&because);
            return;
        }
        self.write(&moves.followers).await;
        let held = moves.followers.iter().find(|index| {
            !matches!(
                self.results[**index],
                Some(
                    ObjectResult::Created
                        | ObjectResult::Configured
                        | ObjectResult::Recreated
                        | ObjectResult::Unchanged
                )
            )
        });
        if let Some(index) = held {
            let because = format!("it needs {} to have followed", self.plan.objects[*index].wanted.object);
            return self.skip_steps(&because);
        }
        if !moves.after.is_empty()
            && let Err(because) = self.endpoints_followed().await
        {
            return self.skip_steps(&because);
        }
        for step in &moves.after {
            let result = match self.run.stop.is_set() {
                true => ObjectResult::Skipped { because: "the run was stopped".into() },
                false => self.step(step).await,
            };
            self.steps.push(result);
        }
    }

    /// Traffic stays where it is: says so of everything that would have moved, and does none of what would have come after.
    fn stay(&mut self, because: &str) {
        let moves = &self.plan.moves;
        for index in &moves.services {
            if self.results[*index].is_none() {
                let because = format!("{because}; it still leads where it led");
                self.settle(*index, ObjectResult::Skipped { because });
            }
        }
        for index in &moves.followers {
            if self.results[*index].is_none() {
                self.settle(*index, ObjectResult::Skipped { because: because.to_owned() });
            }
        }
        self.skip_steps(because);
    }

    /// Settles the steps that were not taken.
    fn skip_steps(&mut self, because: &str) {
        let total = self.plan.moves.steps().count();
        self.steps.resize(total.max(self.steps.len()), ObjectResult::Skipped { because: because.to_owned() });
    }

    /// Something of the deploy that is not as it should be, so that traffic stays.
    fn blocker(&self) -> Option<String> {
        if self.run.stop.is_set() {
            return Some("the run was stopped".into());
        }
        let blocked = |index: usize| {
            let object = &self.plan.objects[index];
            let name = &object.wanted.object;
            match (&self.results[index], &object.action) {
                (_, Action::Refuse { .. }) | (Some(ObjectResult::Failed { .. }), _) => {
                    Some(format!("it waits for {name}, which failed"))
                }
                (
                    Some(ObjectResult::Skipped { .. }),
                    Action::Create | Action::Configure | Action::Recreate,
                ) => Some(format!("it waits for {name}, which was skipped")),
                _ => None,
            }
        };
        let unplanned = self.plan.unplanned.first();
        (0..self.plan.objects.len())
            .find_map(blocked)
            .or_else(|| unplanned.map(|object| format!("it waits for {}, which failed", object.object)))
    }

    async fn everything_is_ready(&mut self) -> Result<(), String> {
        if let Some(because) = self.blocker() {
            return Err(because);
        }
        let scaled: Vec<&ObjectRef> = self.plan.moves.grow.iter().map(|step| &step.object).collect();
        if let Some(step) = self
            .steps
            .iter()
            .zip(self.plan.moves.steps())
            .find_map(|(result, step)| matches!(result, ObjectResult::Failed { .. }).then_some(step))
        {
            return Err(format!("it waits for {}, which failed", step.object));
        }
        // A result about another number of replicas is none.
        let plan = self.plan;
        self.waited.retain(|index, _| !scaled.contains(&&plan.objects[*index].wanted.object));
        let pending: Vec<usize> = (0..self.plan.objects.len())
            .filter(|index| !self.plan.moves.holds(*index))
            .filter(|index| {
                let object = &self.plan.objects[*index];
                let main = self.plan.moves.mains.contains(index);
                has_readiness(&object.wanted.object)
                    && (self.written.contains_key(index)
                        || (main && !self.is_ready(*index))
                        || scaled.contains(&&object.wanted.object))
            })
            .collect();
        self.wait_for(&pending, self.options.available_timeout).await;
        for index in pending {
            if let Some(Some(end)) = self.waited.get(&index) {
                let name = &self.plan.objects[index].wanted.object;
                return Err(format!("it waits for {name}, which is not ready: {}", end.trouble.line()));
            }
        }
        match self.run.stop.is_set() {
            true => Err("the run was stopped".into()),
            false => Ok(()),
        }
    }

    /// Writes all Services that move; if one cannot be, none has moved.
    async fn all_or_none(&mut self) -> Result<(), (usize, Trouble)> {
        let services = &self.plan.moves.services;
        for index in services {
            self.may_move(&self.plan.objects[*index]).await.map_err(|trouble| (*index, trouble))?;
        }
        if !services.is_empty() {
            let phase = "services, switched";
            self.connection.events().emit(Happening::Phase { phase, objects: services.len() });
        }
        let mut moved: Vec<usize> = Vec::new();
        for index in services {
            self.write(&[*index]).await;
            match self.results[*index].take() {
                Some(ObjectResult::Failed { trouble }) => {
                    self.move_back(&moved).await;
                    return Err((*index, *trouble));
                }
                Some(ObjectResult::Skipped { because }) => {
                    self.move_back(&moved).await;
                    return Err((*index, Trouble::new(because)));
                }
                result => self.results[*index] = result,
            }
            moved.push(*index);
        }
        Ok(())
    }

    /// Whether a Service can move now: it is what was planned for, the server would take it, and somebody would serve.
    async fn may_move(&self, service: &PlannedObject) -> Result<(), Trouble> {
        let wanted = &service.wanted;
        let unreadable = |error: &CallError| refused(wanted, error, &self.run.mask);
        let namespace = wanted.object.namespace.as_deref();
        let (_, found) = crate::live::get(self.connection, &wanted.resource, namespace, &wanted.object.name)
            .await
            .map_err(|error| unreadable(&error))?;
        let now = found.first().map(|found| &found["spec"]["selector"]).unwrap_or(&Value::Null);
        let planned = service.live.as_deref().map(|live| &live["spec"]["selector"]).unwrap_or(&Value::Null);
        let pinned = self.plan.moves.before.iter().find_map(|step| match &step.what {
            What::Select { to, .. } if step.object == wanted.object => Some(to),
            What::Select { .. } | What::Scale { .. } | What::Delete => None,
        });
        if now != planned && now.as_object() != pinned {
            return Err(Trouble::new("its selector was changed while this deploy ran")
                .because(format!("it is {now}, planned for was {planned}"))
                .hint("run the deploy again"));
        }
        for force in [service.force, true] {
            match apply::apply(self.connection, wanted, &wanted.value, force, Mode::DryRun).await {
                Ok(_) => break,
                Err(error) if !force && error.refusal().is_some_and(conflict_yields) => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        let serves_now = match now.as_object() {
            Some(selector) => self.ready_pods(wanted.object.namespace.as_deref(), selector).await,
            None => Ok(0),
        };
        let then = wanted.value["spec"]["selector"].as_object().cloned().unwrap_or_default();
        let will_serve = self.ready_pods(wanted.object.namespace.as_deref(), &then).await;
        match (serves_now, will_serve) {
            (Err(error), _) | (_, Err(error)) => Err(unreadable(&error)),
            (Ok(now), Ok(0)) if now > 0 => Err(Trouble::new(format!(
                "no pod that its selector matches is ready, and {now} that it leads to now are: `{}`",
                Selector::of_pairs(&then)
            ))
            .hint("compare the selector with the labels of the pods: kubectl get pods --show-labels")),
            (Ok(_), Ok(_)) => Ok(()),
        }
    }

    async fn ready_pods(
        &self,
        namespace: Option<&str>,
        selector: &serde_json::Map<String, Value>,
    ) -> Result<usize, CallError> {
        let labels = Selector::of_pairs(selector).to_string();
        let (_, found) = crate::live::list(self.connection, &pods(), namespace, Some(&labels)).await?;
        Ok(found.iter().filter(|pod| is_ready_pod(pod)).count())
    }

    /// Takes back what has moved, the last first.
    async fn move_back(&mut self, moved: &[usize]) {
        for index in moved.iter().rev() {
            let object = &self.plan.objects[*index];
            let (Some(live), Some(written)) = (&object.live, self.written.get(index)) else { continue };
            let version = written.resource_version.clone().unwrap_or_default();
            let what = (&object.wanted.object, &*object.wanted.resource);
            let mut before = live.clone();
            // Where it was kept to certain pods for this deploy, it still has to be.
            for step in self.plan.moves.before.iter().filter(|step| step.object == object.wanted.object) {
                if let What::Select { to, .. } = &step.what {
                    before["spec"]["selector"] = Value::Object(to.clone());
                }
            }
            self.results[*index] = match apply::restore(self.connection, what, &before, &version).await {
                Ok(()) => None,
                Err(error) => {
                    let trouble = Trouble::new("it has moved alone, and could not be moved back")
                        .because(self.run.mask.said(&error))
                        .hint("run the deploy again: it goes on from here");
                    Some(ObjectResult::failed(trouble))
                }
            };
        }
    }

    /// Waits until the endpoints of the Services that moved are pods that they select now: what they leave may go then.
    async fn endpoints_followed(&self) -> Result<(), String> {
        let slices = Resource::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true);
        let deadline = (Instant::now() + ENDPOINTS).min(self.connection.deadline());
        for index in &self.plan.moves.traffic {
            let wanted = &self.plan.objects[*index].wanted;
            let namespace = wanted.object.namespace.as_deref();
            let selector = wanted.value["spec"]["selector"].as_object().cloned().unwrap_or_default();
            let labels = Selector::of_pairs(&selector).to_string();
            let named = format!("kubernetes.io/service-name={}", wanted.object.name);
            loop {
                let found = crate::live::list(self.connection, &slices, namespace, Some(&named)).await;
                let ready = crate::live::list(self.connection, &pods(), namespace, Some(&labels)).await;
                let (found, ready) = match (found, ready) {
                    (Ok((_, found)), Ok((_, ready))) => (found, ready),
                    // Who may not look gives them a moment.
                    (Err(error), _) | (_, Err(error)) if error.is(403) => {
                        tokio::time::sleep(Duration::from_secs(5)).await;
                        break;
                    }
                    (Err(error), _) | (_, Err(error)) => {
                        return Err(format!("it needs to know the endpoints of {}: {error}", wanted.object));
                    }
                };
                let ready: Vec<&Value> = ready.iter().filter(|pod| is_ready_pod(pod)).collect();
                let followed = |pod: &&Value| endpoints(&found).any(|name| pod["metadata"]["name"] == *name);
                // One that serves is not enough: the others would carry its load.
                if ready.iter().all(followed) {
                    break;
                }
                if Instant::now() >= deadline || self.run.stop.is_set() {
                    return Err(format!("it needs the endpoints of {} to have followed", wanted.object));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    async fn step(&self, step: &Step) -> ObjectResult {
        if self.run.stop.is_set() {
            return ObjectResult::Skipped { because: "the run was stopped".into() };
        }
        let _permit = self.run.writes.acquire().await;
        let (namespace, name) = (step.object.namespace.as_deref(), step.object.name.as_str());
        let what = (&step.object, &step.resource);
        let uid = step.uid.as_deref();
        let done = match &step.what {
            What::Select { from, to } => {
                let (from, to) = (Value::Object(from.clone()), Value::Object(to.clone()));
                apply::select(self.connection, what, uid.unwrap_or_default(), &from, &to).await
            }
            What::Scale { to, full, .. } => apply::scale(self.connection, what, uid, *to, *full).await,
            What::Delete => {
                let first = self.plan.moves.before.contains(step);
                let how = if first { "Foreground" } else { "Background" };
                let gone = apply::delete(self.connection, &step.resource, namespace, name, uid, how).await;
                match (gone, first) {
                    (Ok(()), true) => self.until_gone(step).await,
                    (gone, _) => gone,
                }
            }
        };
        let result = match (done, &step.what) {
            (Ok(()), What::Delete) => ObjectResult::Deleted,
            (Ok(()), What::Select { .. } | What::Scale { .. }) => ObjectResult::Configured,
            (Err(error), _) => {
                let said = self.run.mask.said(&error);
                let trouble = Trouble::new(format!("we could not {} it ({})", step.word(), step.because));
                let hint = "run the deploy again: it goes on from here";
                ObjectResult::failed(trouble.because(said).hint(hint))
            }
        };
        emit(self.connection, &step.object, &result);
        result
    }

    /// Waits until an object is gone with everything that it owned.
    async fn until_gone(&self, step: &Step) -> Result<(), CallError> {
        let deadline = (Instant::now() + self.options.available_timeout).min(self.connection.deadline());
        loop {
            let namespace = step.object.namespace.as_deref();
            let (_, found) =
                crate::live::get(self.connection, &step.resource, namespace, &step.object.name).await?;
            if found.first().is_none_or(|found| found["metadata"]["uid"].as_str() != step.uid.as_deref()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let last = "it is still being deleted".to_owned();
                return Err(CallError::Late { attempts: 1, last });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The names of the pods that serve.
fn endpoints(slices: &[Value]) -> impl Iterator<Item = &str> {
    slices
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .filter(|endpoint| endpoint["conditions"]["ready"] != false)
        .filter_map(|endpoint| endpoint["targetRef"]["name"].as_str())
}
