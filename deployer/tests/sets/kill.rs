//! A deploy that is killed between any two writes: the next one gets to the same end, and nothing is lost track of.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simcluster::{Action, Fault, Options, Simulation};
use testkit::{Call, Sandbox, program};

/// All writes are tried with this variable set; otherwise every third.
const ALL: &str = "KIT_KILL_ALL";

const WRITES: [&str; 5] = ["create", "update", "patch", "apply", "delete"];

fn config(name: &str, data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{x: '{data}'}}\n---\n"
    )
}

fn manifests(sandbox: &Sandbox, cluster: &str, version: &str) {
    let mut text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n".to_owned();
    text += &config("both", version);
    text += &config(&format!("only-{version}"), version);
    text += &format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  \
         template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: web, image: 'registry.example.com/web:{version}'}}]}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\nspec: {{selector: {{app: web}}, ports: [{{name: p{version}, port: 80}}]}}\n"
    );
    sandbox.write(format!("manifests/{cluster}/all.yaml"), text);
}

fn deploy(sandbox: &Sandbox, cluster: &str) -> Call {
    program("deployer").args(["-m", "manifests", "--configs"]).arg(sandbox.join("kubeconfigs")).args([
        "--cluster",
        cluster,
        "--allow-missing",
        "--resource-set",
        "shop",
        "--prune",
        "--lease-duration",
        "4",
    ])
}

/// What is on a cluster, without what differs in every run.
fn state(sandbox: &Sandbox, cluster: &str) -> Value {
    let output = std::process::Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(sandbox.join(format!("kubeconfigs/{cluster}.yaml")))
        .args(["get", "configmaps,services,deployments,leases,secrets", "-A", "-o", "json"])
        .output()
        .unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut state = serde_json::Map::new();
    for object in list["items"].as_array().unwrap() {
        let metadata = &object["metadata"];
        let (kind, name) = (object["kind"].as_str().unwrap(), metadata["name"].as_str().unwrap());
        if ["kube-system", "kube-node-lease", "kube-public"]
            .contains(&metadata["namespace"].as_str().unwrap())
        {
            continue;
        }
        let content = match (kind, name) {
            ("ConfigMap", "kit-set-shop") => object["data"]["objects.json"].clone(),
            // The lease of the dead expires; a deploy that finds nothing to write does not take it, and so does not remove it.
            ("Lease", _) => continue,
            // How many deploys it took is another matter.
            ("Secret", name) if name.starts_with("kit-set-shop.") => continue,
            ("ConfigMap", _) => object["data"].clone(),
            ("Deployment", _) => object["spec"]["template"]["spec"]["containers"][0]["image"].clone(),
            ("Service", _) => object["spec"]["ports"][0]["name"].clone(),
            _ => json!("is there"),
        };
        state.insert(format!("{kind}/{name}"), content);
    }
    Value::Object(state)
}

#[test]
fn a_deploy_killed_at_any_write_is_completed_by_the_next_one() {
    if !testkit::kubectl_is_there() {
        return;
    }
    const MOST: usize = 24;
    let names: Vec<String> = (0..=MOST).map(|number| format!("k{number}")).collect();
    let simulation = Simulation::start(Options::named(names.clone())).unwrap();
    let sandbox = Sandbox::new();
    simulation.write_kubeconfigs(&sandbox.join("kubeconfigs")).unwrap();
    let prepare = |cluster: &str| {
        manifests(&sandbox, cluster, "1");
        sandbox.run(deploy(&sandbox, cluster)).success();
        manifests(&sandbox, cluster, "2");
    };
    // Nobody is killed on the first cluster: so many writes, and that end.
    prepare("k0");
    let writes = |cluster: &str| -> u64 {
        let metrics = simulation.metrics(cluster).unwrap();
        WRITES.iter().filter_map(|verb| metrics.by_verb.get(*verb)).sum()
    };
    let before = writes("k0");
    sandbox.run(deploy(&sandbox, "k0")).success();
    let count = usize::try_from(writes("k0") - before).unwrap();
    let expected = state(&sandbox, "k0");
    assert!((8..=MOST).contains(&count), "{count} writes");
    assert!(expected.get("ConfigMap/only-1").is_none());

    let step = if std::env::var_os(ALL).is_some() { 1 } else { 3 };
    let tried: Vec<usize> = (0..count).step_by(step).collect();
    std::thread::scope(|scope| {
        for share in tried.chunks(tried.len().div_ceil(3)) {
            let (simulation, sandbox, expected, prepare) = (&simulation, &sandbox, &expected, &prepare);
            scope.spawn(move || {
                for write in share {
                    let cluster = format!("k{}", write + 1);
                    prepare(&cluster);
                    let fault = Fault {
                        verbs: WRITES.iter().map(ToString::to_string).collect(),
                        after: u64::try_from(*write).unwrap(),
                        ..Fault::every(Action::Hang)
                    };
                    let hits = simulation.metrics(&cluster).unwrap().faults;
                    simulation.set_faults(&cluster, vec![fault], 1);
                    let mut child = sandbox.start(&deploy(sandbox, &cluster));
                    let begun = Instant::now();
                    while simulation.metrics(&cluster).unwrap().faults == hits {
                        assert!(begun.elapsed() < Duration::from_secs(60), "write {write} never came");
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    child.kill().unwrap();
                    child.wait().unwrap();
                    simulation.set_faults(&cluster, Vec::new(), 1);
                    sandbox.run(deploy(sandbox, &cluster)).success();
                    assert_eq!(&state(sandbox, &cluster), expected, "killed at write {write} of {count}");
                }
            });
        }
    });
}
