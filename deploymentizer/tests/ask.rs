//! `explain`, `reach`, `list`, `diff` and `migrate`, through the binary.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use testkit::{Answer, Sandbox, copy_tree, program, read_tree, workspace_root, write_tree};

/// Four clusters of two types, two services.
fn fleet() -> Sandbox {
    let sandbox = Sandbox::new();
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ name }}\ndata:\n  level: \"{{ level }}\"\n\
                    {% if debug %}\n  debug: \"on\"\n{% endif %}\n  image: {{ container.image }}\n\
                    {% for variable in container.env %}\n  {{ variable.name }}: {{ variable.value | quote }}\n{% endfor %}\n";
    write_tree(
        sandbox.path(),
        [
            (
                "kit.yaml",
                "base: {path: .}\ntype: {path: type}\ncluster: {path: clusters}\nresources: {path: resources}\n\
                 images: {path: images}\noutput: {path: generated}\n",
            ),
            (
                "base-cluster.yaml",
                "kind: ClusterNamespace\nmetadata:\n  branch: main\nresources:\n  cart:\n    file: cart.yaml.j2\n\
                 \x20   image_tag: shop/cart\n    env:\n      - name: A\n        value: one\n      - name: B\n        value: two\n\
                 \x20 search:\n    file: search.yaml.j2\n    image_tag: shop/search\n    env:\n      - name: A\n        value: three\n",
            ),
            ("base-var.yaml", "kind: ResourceConfig\nlevel: info\ndebug: false\n"),
            ("type/prod-var.yaml", "kind: ResourceConfig\nmetadata:\n  type: prod\nlevel: warn\n"),
            ("type/test-var.yaml", "kind: ResourceConfig\nmetadata:\n  type: test\ndebug: true\n"),
            ("images/shop/cart/main.yaml", "image: registry.example.com/shop/cart:main-1\n"),
            ("images/shop/cart/next.yaml", "image: registry.example.com/shop/cart:next-2\n"),
            ("images/shop/search/main.yaml", "image: registry.example.com/shop/search:main-3\n"),
            ("resources/cart.yaml.j2", template),
            ("resources/search.yaml.j2", template),
        ],
    );
    for (name, kind, more) in [
        ("eu-1", "prod", "resources:\n  cart:\n    env:\n      - name: B\n        value: eu\n"),
        ("eu-2", "prod", "resources:\n  cart:\n    branch: next\n"),
        ("us-1", "prod", "resources:\n  search:\n    disable: true\n"),
        ("dev-1", "test", ""),
    ] {
        sandbox.write(
            format!("clusters/{name}/cluster.yaml"),
            format!("kind: ClusterNamespace\nmetadata:\n  name: {name}\n  type: {kind}\n{more}"),
        );
    }
    sandbox
}

fn ask(sandbox: &Sandbox, args: &[&str]) -> Answer {
    sandbox.run(program("deploymentizer").args(args)).success()
}

/// Lines of every rendered file.
fn rendered(sandbox: &Sandbox) -> BTreeMap<String, Vec<String>> {
    ask(sandbox, &["--quiet"]);
    read_tree(&sandbox.join("generated"), false)
        .into_iter()
        .map(|(name, bytes)| {
            let text = String::from_utf8(bytes).expect("text");
            (name, text.lines().map(str::to_owned).collect())
        })
        .collect()
}

/// `cluster/file` and line of all that differs.
fn differences(a: &BTreeMap<String, Vec<String>>, b: &BTreeMap<String, Vec<String>>) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for (name, lines) in a {
        for (at, line) in lines.iter().enumerate() {
            if b.get(name).and_then(|other| other.get(at)) != Some(line) {
                found.push((name.clone(), at as u64 + 1));
            }
        }
    }
    found
}

#[test]
fn explain_names_the_winner_the_losers_and_the_lines() {
    let sandbox = fleet();
    let answer = ask(&sandbox, &["explain", "eu-1", "cart", "level"]);
    assert_eq!(
        answer.stdout,
        "level = warn\n  set by   type/prod-var.yaml:4 (type)\n  over     base-var.yaml:2 (base): info\n\
         \x20 used at  resources/cart.yaml.j2:6\n  written  cart.yaml:6\n"
    );
    let answer = ask(&sandbox, &["explain", "eu-2", "cart", "cart.image"]);
    assert!(answer.stdout.contains("set by   images/shop/cart/next.yaml:1 (image file)"), "{answer}");
    assert!(answer.stdout.contains("chosen by clusters/eu-2/cluster.yaml:7 (cluster) = next"), "{answer}");
}

#[test]
fn explain_of_a_line_names_its_template_line_and_its_values() {
    let sandbox = fleet();
    ask(&sandbox, &["--quiet"]);
    let line =
        sandbox.read("generated/eu-1/cart.yaml").lines().position(|line| line.contains("eu\"")).expect("B")
            + 1;
    let answer = ask(&sandbox, &["explain", "eu-1", "cart", "--line", &format!("cart.yaml:{line}")]);
    assert!(answer.stdout.contains("made by  resources/cart.yaml.j2:12"), "{answer}");
    assert!(
        answer.stdout.contains(
            "set by   clusters/eu-1/cluster.yaml:9 (cluster)\n  over     base-cluster.yaml:12 (base): two"
        ),
        "{answer}"
    );
}

#[test]
fn changing_the_line_that_explain_names_changes_exactly_the_lines_that_it_predicts() {
    let sandbox = fleet();
    let before = rendered(&sandbox);
    let mut tried = 0;
    for (cluster, resource) in [("eu-1", "cart"), ("eu-2", "cart"), ("us-1", "cart"), ("dev-1", "search")] {
        let all = ask(&sandbox, &["explain", cluster, resource, "--output", "json"]).json();
        for value in all["explain"]["values"].as_array().expect("values") {
            let (Some(place), Some(text)) =
                (value["winner"]["place"].as_str(), value["winner"]["value"].as_str())
            else {
                continue;
            };
            let (file, line) = place.rsplit_once(':').expect("file:line");
            let line: usize = line.parse().expect("a line");
            let original = sandbox.read(file);
            let changed = match text {
                "true" => "false",
                "false" => "true",
                _ => "changed",
            };
            // Names decide which entries meet in a merge, and branches which image file is read.
            if value["path"].as_str().is_some_and(|path| path.ends_with(".name") || path.ends_with("branch"))
            {
                continue;
            }
            let mut lines: Vec<String> = original.lines().map(str::to_owned).collect();
            lines[line - 1] = lines[line - 1].replace(&format!(": {text}"), &format!(": {changed}"));
            if lines[line - 1] == original.lines().nth(line - 1).unwrap_or_default() {
                continue;
            }
            sandbox.write(file, lines.join("\n") + "\n");
            let after = rendered(&sandbox);
            let predicted: Vec<(String, u64)> = value["writtenTo"]
                .as_array()
                .expect("files")
                .iter()
                .flat_map(|written| {
                    let name = format!("{cluster}/{}", written["file"].as_str().expect("a name"));
                    let lines: Vec<u64> = written["lines"]
                        .as_array()
                        .expect("lines")
                        .iter()
                        .filter_map(Value::as_u64)
                        .collect();
                    lines.into_iter().map(move |line| (name.clone(), line))
                })
                .collect();
            // A condition adds or drops lines and moves those behind it; the first difference is what is predicted.
            let mut found: Vec<(String, u64)> = differences(&before, &after)
                .into_iter()
                .filter(|(name, _)| name.starts_with(&format!("{cluster}/{resource}.")))
                .collect();
            if matches!(text, "true" | "false") {
                found.truncate(1);
                assert!(
                    found.first().is_none_or(|(_, line)| predicted[0].1.abs_diff(*line) <= 1),
                    "{value:#}\n{found:?}"
                );
            } else {
                assert_eq!(found, predicted, "{value:#}");
            }
            sandbox.write(file, original);
            tried += 1;
        }
        rendered(&sandbox);
    }
    assert!(tried >= 10, "only {tried} values");
}

#[test]
fn reach_names_what_a_full_render_shows_to_change() {
    let sandbox = fleet();
    let before = rendered(&sandbox);
    for (file, line, old, new) in [
        ("base-var.yaml", 2, "info", "debug"),
        ("type/prod-var.yaml", 4, "warn", "error"),
        ("base-cluster.yaml", 10, "one", "eins"),
        ("base-cluster.yaml", 12, "two", "zwei"),
        ("images/shop/cart/main.yaml", 1, "main-1", "main-9"),
        ("clusters/eu-1/cluster.yaml", 9, "eu", "europe"),
        ("resources/cart.yaml.j2", 6, "level:", "niveau:"),
        ("resources/search.yaml.j2", 10, "image:", "picture:"),
    ] {
        let original = sandbox.read(file);
        let mut lines: Vec<String> = original.lines().map(str::to_owned).collect();
        assert!(lines[line - 1].contains(old), "{file}:{line} is `{}`", lines[line - 1]);
        lines[line - 1] = lines[line - 1].replacen(old, new, 1);
        let answer = ask(&sandbox, &["reach", &format!("{file}:{line}"), "--output", "json"]).json();
        let mut predicted: Vec<(String, u64)> = Vec::new();
        for reached in answer["reached"].as_array().expect("a list") {
            let name = format!(
                "{}/{}",
                reached["cluster"].as_str().expect("c"),
                reached["file"].as_str().expect("f")
            );
            for line in reached["lines"].as_array().expect("lines").iter().filter_map(Value::as_u64) {
                predicted.push((name.clone(), line));
            }
        }
        predicted.sort();
        sandbox.write(file, lines.join("\n") + "\n");
        let after = rendered(&sandbox);
        assert_eq!(predicted, differences(&before, &after), "{file}:{line}");
        sandbox.write(file, original);
    }
}

#[test]
fn list_says_who_runs_what() {
    let sandbox = fleet();
    assert_eq!(
        ask(&sandbox, &["list"]).stdout,
        "CLUSTER  TYPE  BRANCH  RESOURCES  STATE\ndev-1    test  main    2          on\n\
         eu-1     prod  main    2          on\neu-2     prod  main    2          on\nus-1     prod  main    2 (1 off)  on\n"
    );
    assert_eq!(
        ask(&sandbox, &["list", "images"]).stdout,
        "IMAGE                                   RESOURCE  RUNS IN\n\
         registry.example.com/shop/cart:main-1   cart      3 clusters: dev-1, eu-1, us-1\n\
         registry.example.com/shop/cart:next-2   cart      cluster eu-2\n\
         registry.example.com/shop/search:main-3  search    3 clusters: dev-1, eu-1, eu-2\n"
            .replace(
                "IMAGE                                   RES",
                "IMAGE                                    RES"
            )
            .replace("main-1   cart", "main-1    cart")
            .replace("next-2   cart", "next-2    cart")
    );
}

#[test]
fn diff_shows_one_hunk_once_with_the_line_that_caused_it() {
    let sandbox = fleet();
    sandbox.write(".gitignore", "generated/\n");
    sandbox.git_init();
    assert_eq!(ask(&sandbox, &["diff"]).stdout, "no changes, 4 unchanged\n");
    let types = sandbox.read("type/prod-var.yaml");
    sandbox.write("type/prod-var.yaml", types.replace("warn", "error"));
    let answer = ask(&sandbox, &["diff"]);
    assert!(answer.stdout.starts_with("in 3 clusters: eu-1, eu-2, us-1, 2 files: cart.yaml, search.yaml\ncaused by type/prod-var.yaml:4\n"), "{answer}");
    assert!(answer.stdout.contains("-  level: \"warn\"\n+  level: \"error\"\n"), "{answer}");
    assert!(answer.stdout.ends_with("1 change in 3 clusters, 1 unchanged\n"), "{answer}");
    sandbox.git(&["commit", "-qam", "second"]);
    assert_eq!(ask(&sandbox, &["diff"]).stdout, "no changes, 4 unchanged\n");
    let call = program("deploymentizer").args(["diff", "HEAD~1..HEAD", "--code-quality", "quality.json"]);
    let answer =
        sandbox.run(call.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "summary.md")).success();
    assert_eq!(
        answer.stderr,
        "::notice file=type/prod-var.yaml,line=4,title=deploymentizer diff::changes 2 files: cart.yaml, search.yaml in 3 clusters: eu-1, eu-2, us-1\n"
    );
    assert!(sandbox.read("summary.md").contains("1 change in 3 clusters, 1 unchanged"));
    let quality: Value = serde_json::from_str(&sandbox.read("quality.json")).expect("JSON");
    assert_eq!(quality[0]["location"]["path"], "type/prod-var.yaml");
    assert_eq!(quality[0]["location"]["lines"]["begin"], 4);
    let call = program("deploymentizer").args([
        "diff",
        "HEAD~1..HEAD",
        "--detailed-exitcode",
        "--output",
        "markdown",
    ]);
    let answer = sandbox.run(call);
    assert_eq!(answer.exit_code, 3, "{answer}");
    assert!(answer.stdout.contains("```diff\n@@ cart.yaml:4 @@\n"), "{answer}");
}

/// A fleet of which fourteen lines are not as they were committed.
fn with_fourteen_changes() -> Sandbox {
    let sandbox = fleet();
    let variables = |value: &str| -> String {
        let one = |n| format!("      - name: V{n:02}\n        value: {value}\n");
        (0..14).map(one).collect()
    };
    let base = sandbox.read("base-cluster.yaml");
    let with = |value: &str| {
        let (before, search) = base.split_once("  search:\n").expect("two services");
        format!("{before}{}  search:\n{search}", variables(value))
    };
    sandbox.write("base-cluster.yaml", with("old"));
    sandbox.git_init();
    sandbox.write("base-cluster.yaml", with("new"));
    sandbox
}

#[test]
fn diff_annotates_no_more_lines_than_github_shows_and_counts_the_others() {
    let sandbox = with_fourteen_changes();
    let call = program("deploymentizer").arg("diff").env("GITHUB_ACTIONS", "true");
    let answer = sandbox.run(call).success();
    let notices: Vec<&str> = answer.stderr.lines().filter(|line| line.starts_with("::notice")).collect();
    assert_eq!(notices.len(), 10, "{answer}");
    assert!(notices[..9].iter().all(|notice| notice.contains("file=base-cluster.yaml,line=")), "{answer}");
    assert!(notices[9].contains("5 more lines cause changes"), "{answer}");
}

#[test]
fn diff_adds_to_the_step_summary_only_what_github_still_takes() {
    const LIMIT: usize = 1 << 20;
    let sandbox = with_fourteen_changes();
    let run = |used: usize| {
        sandbox.write("summary.md", "x".repeat(used));
        let call = program("deploymentizer").arg("diff").env("GITHUB_ACTIONS", "true");
        let answer = sandbox.run(call.env("GITHUB_STEP_SUMMARY", "summary.md")).success();
        (answer.stderr, sandbox.read("summary.md")[used..].to_owned())
    };
    let (_, whole) = run(0);
    assert!(whole.contains("+    V13") || whole.contains("V13: \"new\""), "{whole}");
    let (_, cut) = run(LIMIT - whole.len() + 1);
    assert!(cut.ends_with("1 more changes do not fit\n"), "{cut}");
    let (stderr, none) = run(LIMIT - 10);
    assert_eq!(none, "");
    assert!(stderr.contains("the step summary is full"), "{stderr}");
}

#[test]
fn diff_renders_only_the_clusters_that_a_changed_file_reaches() {
    let sandbox = with_fourteen_changes();
    sandbox.git(&["commit", "-qam", "second"]);
    let rendered = || ask(&sandbox, &["diff", "--output", "json"]).json()["clusters"]["rendered"].clone();
    assert_eq!(rendered(), 0);
    let own = sandbox.read("clusters/eu-1/cluster.yaml");
    sandbox.write("clusters/eu-1/cluster.yaml", own.replace("value: eu", "value: europe"));
    assert_eq!(rendered(), 1);
}

#[test]
fn most_cases_of_kit_migrate_with_every_byte_the_same() {
    let entries = std::fs::read_dir(workspace_root().join("testdata/kit-cases")).expect("the cases");
    let mut cases: Vec<_> =
        entries.map(|entry| entry.expect("one").path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    let (mut migrated, mut refused) = (0, String::new());
    for case in cases {
        match migrate(&case) {
            Ok(()) => migrated += 1,
            Err(reason) => refused.push_str(&format!("{}: {reason}\n", case.display())),
        }
    }
    assert!(migrated >= 30, "only {migrated} migrate:\n{refused}");
}

/// Migrates a case and renders it again; the reason if it is refused.
fn migrate(case: &Path) -> Result<(), String> {
    let sandbox = Sandbox::new();
    copy_tree(&case.join("repo"), sandbox.path());
    let env = std::fs::read_to_string(case.join("env")).unwrap_or_default();
    let with_env = |args: &[&str]| {
        let mut call = program("deploymentizer").args(args);
        for (name, value) in env.lines().filter_map(|line| line.split_once('=')) {
            call = call.env(name, value);
        }
        sandbox.run(call)
    };
    with_env(&["--quiet"]).success();
    let before = read_tree(&sandbox.join("generated"), false);
    let answer = with_env(&["migrate", "--write"]);
    if answer.exit_code != 0 {
        assert_eq!(answer.exit_code, 5, "{answer}");
        assert!(
            answer.stderr.contains(".mustache:") || answer.stderr.contains(".yaml:"),
            "no line is named: {answer}"
        );
        return Err(answer.stderr);
    }
    with_env(&["--quiet"]).success();
    assert_eq!(read_tree(&sandbox.join("generated"), false), before, "{}", case.display());
    Ok(())
}

#[test]
fn a_question_is_answered_from_anywhere_or_refused_with_a_way_on() {
    let sandbox = fleet();
    let here = sandbox.path().display().to_string();
    let everywhere = ask(&sandbox, &["reach", "type/prod-var.yaml:4"]).stdout;
    assert!(everywhere.starts_with("reaches 3 of 4 clusters\n"), "{everywhere}");
    // The repository and the file may be named in different ways.
    let conf = format!("{here}/kit.yaml");
    assert_eq!(ask(&sandbox, &["--conf", &conf, "reach", "type/../type/prod-var.yaml:4"]).stdout, everywhere);
    assert_eq!(ask(&sandbox, &["reach", &format!("{here}/type/prod-var.yaml:4")]).stdout, everywhere);
    assert!(ask(&sandbox, &["reach", "kit.yaml"]).stdout.starts_with("reaches 4 of 4 clusters\n"));
    for (args, hint) in [
        (&["explain", "eu-*", "cart"][..], "2 clusters match, name one"),
        (&["explain", "eu-9", "cart"], "did you mean `eu-1`?"),
        (&["explain", "eu-1", "crat"], "did you mean `cart`?"),
        (&["explain", "eu-1", "cart", "levle"], "did you mean `level`?"),
        (&["explain", "eu-1", "cart", "--line", "cart.yaml"], "`--line cart.yaml:27`"),
        (&["explain", "eu-1", "cart", "--line", "cart.yaml:999"], "there is no line 999"),
        (&["reach", "nowhere.yaml"], "cannot read the file"),
        (&["reach", "base-var.yaml:99"], "there is no line 99"),
        (&["diff"], "`diff` compares revisions: `git init`, and commit"),
    ] {
        let answer = sandbox.run(program("deploymentizer").args(args));
        assert!(answer.exit_code == 1 || answer.exit_code == 2, "{args:?} {answer}");
        assert!(answer.stderr.contains(hint), "{args:?} {answer}");
    }
}

#[test]
fn diff_works_wherever_it_is_started_and_says_what_git_lacks() {
    let sandbox = fleet();
    sandbox.git(&["init", "-q"]);
    let refused = |args: &[&str], hint: &str| {
        let answer = sandbox.run(program("deploymentizer").args(args));
        assert_eq!(answer.exit_code, 2, "{answer}");
        assert!(answer.stderr.contains(hint), "{answer}");
    };
    refused(&["diff"], "there is no commit yet");
    sandbox.git_init();
    sandbox.write("base-var.yaml", "kind: ResourceConfig\nlevel: trace\ndebug: false\n");
    sandbox.git(&["commit", "-qam", "second"]);
    sandbox.git(&["checkout", "-q", "--detach"]);
    refused(&["diff", "nowhere"], "cannot read revision `nowhere`");
    refused(&["diff", "HEAD~7"], "git log --oneline");
    let here = sandbox.path().display().to_string();
    let wanted = ask(&sandbox, &["diff", "HEAD~1..HEAD"]).stdout;
    assert!(wanted.contains("caused by base-var.yaml:2\n"), "{wanted}");
    assert_eq!(ask(&sandbox, &["diff", "HEAD~1...HEAD"]).stdout, wanted);
    let other = Sandbox::new();
    let answer = ask(&other, &["--conf", &format!("{here}/kit.yaml"), "diff", "HEAD~1..HEAD"]).stdout;
    assert_eq!(answer.replace(&format!("{here}/"), ""), wanted);
    let answer =
        sandbox.run(program("deploymentizer").args(["diff", "HEAD~1..HEAD", "--output", "json"])).success();
    // Only `dev-1` sees the base's level.
    assert_eq!(answer.json()["clusters"]["changed"], 1, "{answer}");
    let clone = format!("file://{here}");
    other.git(&["clone", "-q", "--depth", "1", &clone, "shallow"]);
    let answer = other.run(program("deploymentizer").args(["--conf", "shallow/kit.yaml", "diff", "HEAD~1"]));
    assert!(answer.exit_code == 2 && answer.stderr.contains("git fetch --unshallow"), "{answer}");
}
