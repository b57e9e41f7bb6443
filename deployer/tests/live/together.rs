//! Many wait while few work.

use std::time::Duration;

use cluster::busy::Busy;
use cluster::connect::{Contexts, Plugins, read_kubeconfigs};
use cluster::events::{Events, Happening, Stage};
use cluster::inventory::{Manifests, SetOptions};
use cluster::outcome::ClusterState;
use cluster::plan::Mask;
use cluster::rollout::{RolloutOptions, Run, deploy};
use cluster::stop::Stop;
use futures::future::join_all;
use testkit::{Clusters, fresh_name};

#[tokio::test]
#[allow(clippy::wildcard_enum_match_arm, reason = "of all that happens three things are of interest here")]
async fn clusters_are_waited_for_together_though_only_one_at_a_time_is_planned_and_written_to() {
    let names = ["together-1", "together-2", "together-3"];
    let mut clusters = Clusters::start_with(&names, &["--slow", "5s"]);
    let namespace = fresh_name("together");
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: web, image: 'registry.example.com/web-slow:1'}}]}}\n"
    );
    let files: Vec<_> = names.iter().map(|name| clusters.config(name)).collect();
    names.iter().for_each(|name| clusters.remove_namespace_at_end(name, &namespace));
    let targets = read_kubeconfigs(&files, Contexts::Current).unwrap();
    let (_, stop) = Stop::new();
    let run = Run { busy: Busy::at_most(1), ..Run::new(Mask::new(), stop, 16) };
    let set = SetOptions {
        name: namespace.parse().unwrap(),
        namespace: Some(namespace.clone()),
        ..SetOptions::default()
    };
    let options = RolloutOptions { set, ..RolloutOptions::default() };
    let plugins = Plugins::new(Duration::from_secs(5));
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let deploys = targets.iter().map(async |target| {
        let run = run.of_cluster();
        run.busy.begin().await;
        let objects = manifest::load::parse_objects(&text, "web.yaml").unwrap();
        let manifests = Manifests { objects, left_out: Vec::new() };
        let events = Events::new(target.name.clone(), events.clone());
        deploy(target, manifests, &options, &plugins, &run, events).await
    });
    for outcome in join_all(deploys).await {
        assert_eq!(outcome.state, ClusterState::Done, "{outcome:?}");
    }
    drop(events);
    // One after the other up to its pods, and all of them before the first pod was ready.
    let mut working = None;
    let mut waiting = 0;
    while let Some(event) = heard.recv().await {
        match event.what {
            Happening::Started => assert_eq!(working.replace(event.cluster), None, "two at a time"),
            Happening::Object { object, .. } if object.kind == "Deployment" => {
                working = None;
                waiting += 1;
            }
            Happening::Rollout { object, stage: Stage::Ready, .. } if object.kind == "Deployment" => {
                assert_eq!(waiting, names.len(), "one was ready before the last was written");
            }
            _ => {}
        }
    }
    assert_eq!(waiting, names.len());
}
