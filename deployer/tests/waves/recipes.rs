//! The recipes of `docs/waves.md`, run as far as a shell can: the shell lines of every job, in the order of the jobs, with the
//! variables that the CI sets.

use std::collections::BTreeMap;
use std::process::Output;

use serde_yaml::Value;
use testkit::workspace_root;

use crate::{Fleet, config_map};

/// The blocks of a language below a heading of the page.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(workspace_root().join("docs/waves.md")).unwrap();
    let start = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = &page[start + 1..];
    let section = section[3..].find("\n## ").map_or(section, |end| &section[..end + 3]);
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|rest| rest[..rest.find("```").unwrap()].to_owned()).collect()
}

/// A checkout with everything that the recipes ask for; the third cluster cannot be written to.
fn checkout() -> Fleet {
    let fleet = Fleet::numbered(4);
    let sandbox = &fleet.sandbox;
    for name in &fleet.names {
        sandbox.write(format!("generated/{name}/all.yaml"), config_map("1"));
    }
    std::fs::rename(sandbox.join("configs"), sandbox.join("kubeconfigs")).unwrap();
    sandbox.write("waves.yaml", "waves: [{name: canary, clusters: [c00]}, {name: rest, rest: true}]\n");
    let bin = testkit::built_binary("deployer");
    std::fs::create_dir_all(sandbox.join("bin")).unwrap();
    std::os::unix::fs::symlink(bin, sandbox.join("bin/deployer")).unwrap();
    fleet
}

fn shell(fleet: &Fleet, script: &str, variables: &BTreeMap<String, String>) -> Output {
    let path = format!("{}:{}", fleet.sandbox.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = fleet.sandbox.command("sh");
    command.args(["-e", "-c", script]).env("PATH", path).env("BACKOFF_FAIL_AFTER", "1").envs(variables);
    command.output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
}

fn is_complete(fleet: &Fleet, journal: &str) {
    assert!(fleet.sandbox.read(journal).ends_with("{\"entry\":\"complete\"}\n"));
}

fn merged(fleet: &Fleet) {
    assert!(
        fleet.sandbox.read("all.html").contains("4 clusters: 4 done"),
        "{}",
        fleet.sandbox.read("all.html")
    );
}

#[test]
fn the_plain_shell() {
    let recipes = blocks("Plain shell", "sh");
    assert_eq!(recipes.len(), 2);
    let fleet = checkout();
    let commit = BTreeMap::from([("COMMIT".to_owned(), "abc".to_owned())]);
    for script in ["approve", "repair"] {
        let path = fleet.sandbox.write(script, "#!/bin/sh\nexit 0\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    fleet.refuse_writes("c02", &[]);
    let output = shell(&fleet, &recipes[0], &commit);
    assert_eq!(output.status.code(), Some(4), "nobody has repaired it: {output:?}");
    fleet.repair("c02");
    let resume = format!(
        "{}deployer --sha abc --resume",
        "export CONFIGS=kubeconfigs MANIFESTS_DIR=generated KIT_WAVES=waves.yaml; "
    );
    succeeds(&shell(&fleet, &resume, &commit));
    is_complete(&fleet, "kit-rollout.journal");
    succeeds(&shell(&fleet, &recipes[1], &commit));
    merged(&fleet);
}

/// The jobs of a workflow in their order, each as its shell lines, once for each value of its matrix.
#[allow(clippy::type_complexity, reason = "the environment, and the jobs with their commands")]
fn github(recipe: &str) -> (BTreeMap<String, String>, Vec<(String, Vec<String>)>) {
    let workflow: Value = serde_yaml::from_str(recipe).unwrap();
    let mut jobs = Vec::new();
    for (name, job) in workflow["jobs"].as_mapping().unwrap() {
        let steps = job["steps"].as_sequence().unwrap();
        let script: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
        let script = script.join("\n");
        let runs = match job["strategy"]["matrix"]["shard"].as_sequence() {
            None => vec![script],
            Some(values) => values
                .iter()
                .map(|value| script.replace("${{ matrix.shard }}", &value.as_i64().unwrap().to_string()))
                .collect(),
        };
        jobs.push((name.as_str().unwrap().to_owned(), runs));
    }
    (variables(&workflow["env"]), jobs)
}

fn variables(map: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    map.as_mapping().unwrap().iter().map(|(key, value)| (text(key), text(value))).collect()
}

#[test]
fn github_actions() {
    let recipes = blocks("GitHub Actions", "yaml");
    let fleet = checkout();
    let (mut env, jobs) = github(&recipes[0]);
    env.insert("GITHUB_SHA".to_owned(), "abc".to_owned());
    env.insert("GITHUB_ACTIONS".to_owned(), "true".to_owned());
    let names: Vec<&str> = jobs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["canary", "rest"]);
    fleet.refuse_writes("c02", &[]);
    succeeds(&shell(&fleet, &jobs[0].1[0], &env));
    assert_eq!(shell(&fleet, &jobs[1].1[0], &env).status.code(), Some(4));
    fleet.repair("c02");
    succeeds(&shell(&fleet, &jobs[1].1[0], &env));
    is_complete(&fleet, "rollout/journal");

    let (mut env, jobs) = github(&recipes[1]);
    env.insert("GITHUB_SHA".to_owned(), "abc".to_owned());
    assert_eq!(jobs[0].1.len(), 4);
    for script in jobs.iter().flat_map(|(_, scripts)| scripts) {
        succeeds(&shell(&fleet, script, &env));
    }
    merged(&fleet);
}

#[test]
fn gitlab_ci() {
    let recipes = blocks("GitLab CI", "yaml");
    let fleet = checkout();
    let script = |job: &Value| {
        let lines: Vec<&str> =
            job["script"].as_sequence().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        lines.join("\n")
    };
    let pipeline: Value = serde_yaml::from_str(&recipes[0]).unwrap();
    let mut env = variables(&pipeline["variables"]);
    env.insert("CI_COMMIT_SHA".to_owned(), "abc".to_owned());
    env.insert("GITLAB_CI".to_owned(), "true".to_owned());
    fleet.refuse_writes("c02", &[]);
    succeeds(&shell(&fleet, &script(&pipeline["canary"]), &env));
    assert_eq!(shell(&fleet, &script(&pipeline["rest"]), &env).status.code(), Some(4));
    fleet.repair("c02");
    succeeds(&shell(&fleet, &script(&pipeline["rest"]), &env));
    is_complete(&fleet, "rollout/journal");

    let pipeline: Value = serde_yaml::from_str(&recipes[1]).unwrap();
    let mut env = variables(&pipeline["variables"]);
    env.insert("CI_COMMIT_SHA".to_owned(), "abc".to_owned());
    let total = pipeline["deploy"]["parallel"].as_i64().unwrap();
    for index in 1..=total {
        env.insert("CI_NODE_INDEX".to_owned(), index.to_string());
        env.insert("CI_NODE_TOTAL".to_owned(), total.to_string());
        succeeds(&shell(&fleet, &script(&pipeline["deploy"]), &env));
    }
    succeeds(&shell(&fleet, &script(&pipeline["report"]), &env));
    merged(&fleet);
}

/// What a Jenkinsfile gives to `sh`, in order, and its environment.
fn jenkins(recipe: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let quoted = |text: &str| text.split('\'').nth(1).unwrap().to_owned();
    let calls = recipe.lines().filter_map(|line| {
        let at = line.find("sh '").or_else(|| line.find("script: '"))?;
        Some(quoted(&line[at..]))
    });
    let block = recipe.split("environment {").nth(1).unwrap().split('}').next().unwrap();
    let env = block.split(';').map(|pair| (pair.split('=').next().unwrap().trim().to_owned(), quoted(pair)));
    (env.collect(), calls.collect())
}

#[test]
fn a_jenkinsfile() {
    let recipes = blocks("Jenkins", "groovy");
    let fleet = checkout();
    let (mut env, calls) = jenkins(&recipes[0]);
    env.insert("GIT_COMMIT".to_owned(), "abc".to_owned());
    assert_eq!(calls.len(), 2);
    fleet.refuse_writes("c02", &[]);
    succeeds(&shell(&fleet, &calls[0], &env));
    assert_eq!(shell(&fleet, &calls[1], &env).status.code(), Some(4));
    fleet.repair("c02");
    succeeds(&shell(&fleet, &calls[1], &env));
    is_complete(&fleet, "kit-rollout.journal");

    let (mut env, calls) = jenkins(&recipes[1]);
    env.insert("GIT_COMMIT".to_owned(), "abc".to_owned());
    for shard in 1..=4 {
        env.insert("SHARD".to_owned(), shard.to_string());
        succeeds(&shell(&fleet, &calls[0], &env));
    }
    succeeds(&shell(&fleet, &calls[1], &env));
    merged(&fleet);
}
