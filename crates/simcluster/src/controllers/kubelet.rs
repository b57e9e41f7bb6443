//! The fake kubelet. What a pod does is chosen by a word in an image or by the annotation `fake/behavior`:
//!
//! | word | what happens |
//! |---|---|
//! | `bad` | ErrImagePull, then ImagePullBackOff |
//! | `crash` | runs, exits 1, CrashLoopBackOff with a growing restart count |
//! | `oom` | as crash, but OOMKilled with 137 |
//! | `notready` | runs, never ready, Unhealthy events |
//! | `flaky` | crashes twice, then runs |
//! | `relapse` | gets ready, crashes once later, and is ready again |
//! | `slow` | ready only after [`crate::Timing::slow`] |
//! | `fail` | a pod that runs to completion exits 1 |
//!
//! A missing Secret or ConfigMap gives CreateContainerConfigError or FailedMount and heals when it appears.

use std::time::Duration;

use serde_json::{Value, json};

use super::events::Event;
use super::pod::{self, Phase, PodRun};
use super::references;
use super::{Context, Task};
use crate::cluster::now;
use crate::store::Key;

/// What happens next to a pod.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Schedule,
    Start,
    Ready,
    Unhealthy,
    Crash,
    /// With the state of the container that ended.
    Restart(Box<Value>),
    Finish(i64),
    Kill,
}

const BEHAVIORS: &[&str] = &["bad", "crash", "oom", "notready", "flaky", "relapse", "slow", "fail"];

/// How a pod behaves; empty: well.
pub(crate) fn behavior(pod: &Value) -> String {
    if let Some(word) = pod["metadata"]["annotations"]["fake/behavior"].as_str() {
        return word.to_owned();
    }
    for list in ["initContainers", "containers"] {
        for c in pod["spec"][list].as_array().into_iter().flatten() {
            let image = c["image"].as_str().unwrap_or_default();
            if let Some(word) = BEHAVIORS.iter().find(|b| image.contains(**b)) {
                return (*word).to_owned();
            }
        }
    }
    String::new()
}

/// The log of a container.
pub(crate) fn log_lines(pod: &Value, container: &str) -> Vec<String> {
    let mut lines = vec![format!("{container} starting (fake)")];
    lines.extend(
        match behavior(pod).as_str() {
            "crash" | "oom" | "flaky" | "fail" => ["panic: something went wrong", "exit status 1"].as_slice(),
            "notready" => &["waiting for database"],
            _ => &["listening on :8080", "ready"],
        }
        .iter()
        .map(|s| (*s).to_owned()),
    );
    lines
}

/// Runs one step of a pod's life, if it still is the same pod and not being deleted.
pub(crate) fn step(context: &mut Context<'_>, key: &Key, uid: &str, step: Step) {
    let Some(object) = context.state.store.get(key).filter(|p| p["metadata"]["uid"] == uid) else { return };
    if matches!(step, Step::Kill) {
        if object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty()) {
            let mut object = object;
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            context.state.store.put(key, &mut object);
        } else {
            context.state.store.remove(key);
        }
        return;
    }
    if object["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    let Some(run) = context.state.pods.get(uid).cloned() else { return };
    let mut life = Life { context, key, uid, pod: object, run };
    match step {
        Step::Schedule => pod::schedule(life.context, key, uid),
        Step::Start => life.start(),
        Step::Ready => life.ready(),
        Step::Unhealthy => life.unhealthy(),
        Step::Crash => life.crash(),
        Step::Restart(last) => life.restart(*last),
        Step::Finish(code) => life.finish(code),
        Step::Kill => {}
    }
}

struct Life<'a, 'b> {
    context: &'a mut Context<'b>,
    key: &'a Key,
    uid: &'a str,
    pod: Value,
    run: PodRun,
}

/// A container's state, as a function of the container.
type States<'a> = &'a dyn Fn(&Value) -> Value;

impl Life<'_, '_> {
    fn remember(&mut self, phase: Phase) {
        self.run.phase = phase;
        if let Some(run) = self.context.state.pods.get_mut(self.uid) {
            *run = self.run.clone();
        }
    }

    fn later(&mut self, delay: Duration, step: Step) {
        self.context.after(delay, Task::Pod(self.key.clone(), self.uid.to_owned(), step));
    }

    fn event(&mut self, event: Event<'_>) {
        self.context.event(&self.pod, event);
    }

    fn containers(&self) -> Vec<Value> {
        self.pod["spec"]["containers"].as_array().cloned().unwrap_or_default()
    }

    fn start(&mut self) {
        let timing = self.context.cluster.timing.clone();
        let behavior = behavior(&self.pod);
        self.run.behavior.clone_from(&behavior);
        if self.run.started.is_empty() {
            self.run.started = now();
        }
        if self.wait_for_references() {
            return;
        }
        let containers = self.containers();
        let image_of = |c: &Value| c["image"].as_str().unwrap_or_default().to_owned();
        let chosen = containers.iter().find(|c| !behavior.is_empty() && image_of(c).contains(&behavior));
        let image = chosen.or(containers.first()).map(image_of).unwrap_or_default();
        if behavior == "bad" {
            self.pull_in_vain(&containers, &image);
            return;
        }
        if self.run.ip.is_empty() {
            let k = self.context.state.next_pod_ip;
            self.context.state.next_pod_ip += 1;
            self.run.ip =
                format!("10.{}.{}.{}", 100 + self.context.cluster.index % 100, k / 250 % 250, k % 250 + 1);
        }
        let first = containers.first().and_then(|c| c["name"].as_str()).unwrap_or_default().to_owned();
        self.event(Event::normal(
            "kubelet",
            "Pulled",
            &format!("Container image \"{image}\" already present on machine"),
        ));
        self.event(Event::normal("kubelet", "Started", &format!("Started container {first}")));
        self.remember(Phase::Running);
        if self.pod["spec"]["restartPolicy"].as_str().unwrap_or("Always") != "Always" {
            self.running(true, None);
            let failing = matches!(behavior.as_str(), "crash" | "fail" | "oom");
            let delay = if behavior == "slow" { timing.slow } else { timing.job };
            self.later(delay, Step::Finish(i64::from(failing)));
            return;
        }
        match behavior.as_str() {
            "crash" | "oom" => {
                self.running(false, None);
                self.later(timing.crash.min(Duration::from_millis(500)), Step::Crash);
            }
            "flaky" if self.run.restarts < 2 => {
                self.running(false, None);
                self.later(timing.crash.min(Duration::from_millis(500)), Step::Crash);
            }
            "relapse" if self.run.restarts == 0 => {
                self.ready();
                self.later(timing.crash, Step::Crash);
            }
            "slow" => {
                self.running(false, None);
                self.later(timing.slow, Step::Ready);
            }
            "notready" => {
                self.running(false, None);
                self.later(Duration::from_secs(1), Step::Unhealthy);
            }
            _ => self.ready(),
        }
    }

    fn pull_in_vain(&mut self, containers: &[Value], image: &str) {
        let bad = containers.iter().find(|c| c["image"].as_str().is_some_and(|i| i.contains("bad")));
        let name = bad.or(containers.first()).and_then(|c| c["name"].as_str()).unwrap_or_default().to_owned();
        let error = format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": not found"
        );
        let first = self.run.pulls == 0;
        let waiting = if first {
            json!({"waiting": {"reason": "ErrImagePull", "message": error}})
        } else {
            json!({"waiting": {"reason": "ImagePullBackOff",
                "message": format!("Back-off pulling image \"{image}\": ErrImagePull: {error}")}})
        };
        let started = self.run.started.clone();
        let states = |c: &Value| {
            if c["name"] == name.as_str() {
                waiting.clone()
            } else {
                json!({"running": {"startedAt": started}})
            }
        };
        self.status("Pending", &states, false, None, false);
        let field = format!("spec.containers{{{name}}}");
        if first {
            self.event(
                Event::normal("kubelet", "Pulling", &format!("Pulling image \"{image}\"")).at(field.clone()),
            );
            let text = format!("Failed to pull image \"{image}\": {error}");
            self.event(Event::warning("kubelet", "Failed", &text).at(field.clone()));
            self.event(Event::warning("kubelet", "Failed", "Error: ErrImagePull").at(field));
        } else {
            let text = format!("Back-off pulling image \"{image}\"");
            self.event(Event::normal("kubelet", "BackOff", &text).at(field.clone()));
            self.event(Event::warning("kubelet", "Failed", "Error: ImagePullBackOff").at(field));
        }
        self.run.pulls += 1;
        self.remember(Phase::Running);
        if self.run.pulls <= 3 {
            let delay = self.context.cluster.timing.crash;
            self.later(delay, Step::Start);
        }
    }

    /// Whether a Secret, ConfigMap or claim is missing; then it is reported and tried again.
    fn wait_for_references(&mut self) -> bool {
        let Some(missing) = references::missing(self.context, &self.pod) else { return false };
        let what = match missing.kind {
            "secrets" => "secret",
            "configmaps" => "configmap",
            _ => "persistentvolumeclaim",
        };
        match missing.volume {
            None => {
                let message = match &missing.field {
                    Some(field) => {
                        format!("couldn't find key {field} in {what} {}/{}", self.key.ns, missing.name)
                    }
                    None => format!("{what} \"{}\" not found", missing.name),
                };
                if self.run.phase != Phase::ConfigError {
                    self.remember(Phase::ConfigError);
                    let state =
                        json!({"waiting": {"reason": "CreateContainerConfigError", "message": message}});
                    self.status("Pending", &|_| state.clone(), false, None, false);
                }
                self.event(Event::warning("kubelet", "Failed", &format!("Error: {message}")));
            }
            Some(volume) => {
                let message = format!(
                    "MountVolume.SetUp failed for volume \"{volume}\" : {what} \"{}\" not found",
                    missing.name
                );
                if self.run.phase != Phase::MountError {
                    self.remember(Phase::MountError);
                    self.status(
                        "Pending",
                        &|_| json!({"waiting": {"reason": "ContainerCreating"}}),
                        false,
                        None,
                        false,
                    );
                }
                self.event(Event::warning("kubelet", "FailedMount", &message));
            }
        }
        self.later(Duration::from_secs(2), Step::Start);
        true
    }

    fn ready(&mut self) {
        self.running(true, None);
        self.remember(Phase::Ready);
    }

    fn running(&mut self, ready: bool, last: Option<&Value>) {
        let started = self.run.started.clone();
        self.status("Running", &|_| json!({"running": {"startedAt": started}}), ready, last, false);
    }

    fn unhealthy(&mut self) {
        self.event(Event::warning(
            "kubelet",
            "Unhealthy",
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
        ));
        self.later(Duration::from_secs(5), Step::Unhealthy);
    }

    fn terminated(&self, code: i64) -> Value {
        let reason = match (self.run.behavior.as_str(), code) {
            (_, 0) => "Completed",
            ("oom", _) => "OOMKilled",
            _ => "Error",
        };
        let id = format!(
            "fake://{}",
            self.containers().first().and_then(|c| c["name"].as_str()).unwrap_or_default()
        );
        json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": self.run.started, "finishedAt": now(), "containerID": id}})
    }

    fn crash(&mut self) {
        let last = self.terminated(if self.run.behavior == "oom" { 137 } else { 1 });
        self.run.restarts += 1;
        let container =
            self.containers().first().and_then(|c| c["name"].as_str()).unwrap_or_default().to_owned();
        let doublings = u32::try_from((self.run.restarts - 1).clamp(0, 5)).unwrap_or(5);
        let wait = 300.min(10 * 2_i64.pow(doublings));
        let who = format!("{}_{}({})", self.key.name, self.key.ns, self.uid);
        let message = format!("back-off {wait}s restarting failed container={container} pod={who}");
        let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
        self.status("Running", &|_| state.clone(), false, Some(&last), false);
        let text = format!("Back-off restarting failed container {container} in pod {who}");
        self.event(Event::warning("kubelet", "BackOff", &text).at(format!("spec.containers{{{container}}}")));
        self.remember(Phase::Running);
        let factor = u32::try_from(self.run.restarts.min(5)).unwrap_or(5);
        let delay = self.context.cluster.timing.crash * factor;
        self.later(delay, Step::Restart(Box::new(last)));
    }

    fn restart(&mut self, last: Value) {
        let healed = match self.run.behavior.as_str() {
            "flaky" => self.run.restarts >= 2,
            "relapse" => true,
            _ => false,
        };
        if healed {
            self.ready();
            return;
        }
        self.run.started = now();
        self.running(false, Some(&last));
        self.remember(Phase::Running);
        let delay = self.context.cluster.timing.crash.min(Duration::from_secs(1));
        self.later(delay, Step::Crash);
    }

    fn finish(&mut self, code: i64) {
        if code != 0 && self.pod["spec"]["restartPolicy"] == "OnFailure" {
            self.crash();
            return;
        }
        let code = if code != 0 && self.run.behavior == "oom" { 137 } else { code };
        let state = self.terminated(code);
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        self.status(phase, &|_| state.clone(), false, None, code == 0);
        self.remember(Phase::Done);
    }

    /// Writes the pod's status as a kubelet does.
    fn status(
        &mut self,
        phase: &str,
        states: States<'_>,
        ready: bool,
        last: Option<&Value>,
        completed: bool,
    ) {
        let time = now();
        let containers = self.containers();
        let status_of = |c: &Value, state: Value, ready: bool| {
            let fresh = state.get("waiting").is_some() && self.run.restarts == 0;
            let image = c["image"].as_str().unwrap_or_default();
            let mut out = json!({
                "name": c["name"], "image": image,
                "imageID": if fresh { String::new() } else { format!("fake://sha256/{image}") },
                "state": state, "lastState": last.cloned().unwrap_or_else(|| json!({})), "ready": ready,
                "started": state.get("running").is_some(), "restartCount": self.run.restarts,
            });
            if !fresh {
                out["containerID"] = json!(format!("fake://{}", c["name"].as_str().unwrap_or_default()));
            }
            out
        };
        let list: Vec<Value> = containers
            .iter()
            .map(|c| {
                let state = states(c);
                let ready = ready && state.get("running").is_some();
                status_of(c, state, ready)
            })
            .collect();
        let names: Vec<&str> = containers.iter().filter_map(|c| c["name"].as_str()).collect();
        let unready = format!("containers with unready status: [{}]", names.join(" "));
        let (reason, message) = match (ready, completed) {
            (true, _) => ("", ""),
            (_, true) => ("PodCompleted", ""),
            _ => ("ContainersNotReady", unready.as_str()),
        };
        let truth = |b: bool| if b { "True" } else { "False" };
        let old = self.pod["status"]["conditions"].clone();
        let condition = |name: &str, status: &str, reason: &str, message: &str| {
            let before =
                old.as_array().into_iter().flatten().find(|c| c["type"] == name && c["status"] == status);
            let since = before.map_or(json!(time), |c| c["lastTransitionTime"].clone());
            let mut out =
                json!({"type": name, "status": status, "lastProbeTime": null, "lastTransitionTime": since});
            if !reason.is_empty() {
                out["reason"] = json!(reason);
            }
            if !message.is_empty() {
                out["message"] = json!(message);
            }
            out
        };
        let mut status = json!({
            "phase": phase,
            "conditions": [
                condition("PodReadyToStartContainers", "True", "", ""),
                condition("Initialized", "True", if completed { "PodCompleted" } else { "" }, ""),
                condition("Ready", truth(ready), reason, message),
                condition("ContainersReady", truth(ready), reason, ""),
                condition("PodScheduled", "True", "", ""),
            ],
            "hostIP": "127.0.0.1", "hostIPs": [{"ip": "127.0.0.1"}], "startTime": self.run.started,
            "containerStatuses": list, "qosClass": self.pod["status"]["qosClass"],
        });
        if !self.run.ip.is_empty() {
            status["podIP"] = json!(self.run.ip);
            status["podIPs"] = json!([{"ip": self.run.ip}]);
        }
        if let Some(init) = self.pod["spec"]["initContainers"].as_array() {
            status["initContainerStatuses"] = init
                .iter()
                .map(|c| {
                    let state = if c["restartPolicy"] == "Always" && !completed {
                        json!({"running": {"startedAt": self.run.started}})
                    } else {
                        json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": self.run.started, "finishedAt": time}})
                    };
                    let mut out = status_of(c, state, true);
                    out["restartCount"] = json!(0);
                    out["lastState"] = json!({});
                    out
                })
                .collect();
        }
        self.pod["status"] = status;
        self.context.save_status(self.key, &self.pod, "kubelet");
        if let Some(pod) = self.context.state.store.get(self.key) {
            self.pod = pod;
        }
    }
}
