//! What is wanted, fitted to what is there, before it is compared: labels that keep two strategies' pods apart, replicas that are
//! an autoscaler's.

use serde_json::Value;

use super::cast::set;
use super::{
    Cast, PREVIOUS_ID, ROLLING_UPDATE, fast_id, is_deployment, is_service, is_usable, selects,
    service_selector, template_labels, text,
};
use crate::plan::{ID_LABEL, Marks, PlanOptions, STRATEGY_LABEL, Wanted, owns_replicas};

/// Fits `wanted`. `live_of` gives the live form of an object, where it has one.
pub(crate) fn prepare<'a>(
    wanted: &mut [Wanted],
    cast: &Cast,
    live_of: &dyn Fn(&Wanted) -> Option<&'a Value>,
    marks: &Marks,
    options: &PlanOptions,
) {
    if marks.raw {
        return;
    }
    match fast_id(marks) {
        Some(id) => {
            for index in cast.traffic.keys() {
                remember(&mut wanted[*index], live_of, id);
            }
        }
        None if marks.strategy == ROLLING_UPDATE => {
            apart(wanted, cast, live_of);
        }
        None => {}
    }
    for index in &cast.mains {
        let autoscaled = is_scaled(|index| &wanted[index], cast, *index);
        let main = &mut wanted[*index];
        let live = live_of(main);
        // A Deployment that is there under this id is used as it is; `--force` applies the manifest.
        let kept =
            live.filter(|live| (fast_id(marks).is_some() && !options.force && is_usable(live)) || autoscaled);
        let Some(spec) = main.value["spec"].as_object_mut() else { continue };
        match kept {
            Some(live) if owns_replicas(live) => {
                spec.insert("replicas".into(), live["spec"]["replicas"].clone());
            }
            Some(_) => {
                spec.remove("replicas");
            }
            None if autoscaled => {
                spec.remove("replicas");
            }
            None => {}
        }
    }
}

/// Whether the replicas of a main are an autoscaler's of the same deploy.
pub(super) fn is_scaled<'a>(wanted: impl Fn(usize) -> &'a Wanted, cast: &Cast, main: usize) -> bool {
    let main = &wanted(main).object;
    cast.followers.iter().map(|follower| wanted(*follower)).any(|follower| {
        follower.object.namespace == main.namespace
            && text(&follower.value, "/spec/scaleTargetRef/name") == Some(main.name.as_str())
    })
}

/// A Service says to which deploy it led before.
fn remember<'a>(service: &mut Wanted, live_of: &dyn Fn(&Wanted) -> Option<&'a Value>, id: &str) {
    let Some(live) = live_of(service) else { return };
    let before = match text(live, "/spec/selector/id") {
        Some(now) if now == id => manifest::object::annotation(live, PREVIOUS_ID),
        other => other,
    };
    if let Some(before) = before {
        set(&mut service.value, "/metadata/annotations", PREVIOUS_ID, before);
    }
}

/// Rolling-update's pods are told from those that `fast-rollback` left, by the original's label `strategy`; once there, it stays.
fn apart<'a>(wanted: &mut [Wanted], cast: &Cast, live_of: &dyn Fn(&Wanted) -> Option<&'a Value>) {
    for (index, main) in wanted.iter_mut().enumerate() {
        if !is_deployment(main) {
            continue;
        }
        let live = live_of(main);
        let was_apart = live.and_then(|live| text(live, "/spec/template/metadata/labels/strategy"))
            == Some(ROLLING_UPDATE);
        if cast.mains.contains(&index) || was_apart {
            set(&mut main.value, "/spec/template/metadata/labels", STRATEGY_LABEL, ROLLING_UPDATE);
            // The selector of what is there cannot change; the labels of its pods can.
            if live.is_none() {
                set(&mut main.value, "/spec/selector/matchLabels", STRATEGY_LABEL, ROLLING_UPDATE);
            }
        }
    }
    for index in 0..wanted.len() {
        let service = &wanted[index];
        let Some(selector) = is_service(service).then(|| service_selector(&service.value)).flatten() else {
            continue;
        };
        let live = live_of(service).and_then(service_selector);
        let told_apart = cast.traffic.contains_key(&index)
            || live.is_some_and(|live| live.contains_key(STRATEGY_LABEL) || live.contains_key(ID_LABEL));
        if !told_apart {
            continue;
        }
        let mut led_to = wanted
            .iter()
            .filter(|other| other.object.namespace == service.object.namespace)
            .filter_map(|other| template_labels(&other.value))
            .filter(|labels| selects(selector, Some(labels)))
            .peekable();
        let any = led_to.peek().is_some();
        let all =
            led_to.all(|labels| labels.get(STRATEGY_LABEL).and_then(Value::as_str) == Some(ROLLING_UPDATE));
        if any && all {
            set(&mut wanted[index].value, "/spec/selector", STRATEGY_LABEL, ROLLING_UPDATE);
        }
    }
}
