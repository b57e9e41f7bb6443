//! `init`: what it writes works, and what is there stays.
#![allow(clippy::unwrap_used)]

use testkit::{Answer, Sandbox, copy_tree, program, read_tree, workspace_root};

fn run(sandbox: &Sandbox, args: &[&str]) -> Answer {
    let call = program("deploymentizer").args(args);
    sandbox.run(call.env("PAYMENTS_API_KEY", "key-key-key").env("PAYMENTS_WEBHOOK_TOKEN", "token-token"))
}

#[test]
fn a_new_repository_renders_and_is_valid() {
    let sandbox = Sandbox::new();
    let answer = run(&sandbox, &["init", "my manifests", "--output", "json"]).success();
    let created = answer.json()["created"].as_array().unwrap().len();
    assert_eq!(created, 14);
    assert_eq!(answer.stderr, "next: deploymentizer --conf 'my manifests/kit.yaml' check\n");
    let answer = run(&sandbox, &["--conf", "my manifests", "check"]).success();
    assert!(answer.stdout.ends_with("4 objects checked against Kubernetes 1.37: 0 invalid\n"), "{answer}");
    run(&sandbox, &["--conf", "my manifests/kit.yaml"]).success();
    let (one, two) = ("my manifests/generated/one/hello.yaml", "my manifests/generated/two/hello.yaml");
    assert!(sandbox.read(one).contains("replicas: 2\n") && sandbox.read(one).contains("value: \"info\"\n"));
    assert!(sandbox.read(two).contains("replicas: 3\n") && sandbox.read(two).contains("value: \"debug\"\n"));
}

#[test]
fn without_a_folder_it_is_written_here_and_never_over_what_is_there() {
    let sandbox = Sandbox::new();
    sandbox.write("README.md", "mine\n");
    sandbox.write(".gitignore", "*.log");
    run(&sandbox, &["init", "--ci", "gitlab"]).success();
    assert_eq!(sandbox.read("README.md"), "mine\n");
    assert!(sandbox.read(".gitignore").starts_with("*.log\n"));
    assert!(sandbox.read(".gitignore").contains("\n/generated/\n"));
    assert!(sandbox.join(".gitlab-ci.yml").exists() && !sandbox.join(".github").exists());
    run(&sandbox, &["check"]).success();
    let before = read_tree(sandbox.path(), false);
    let answer = run(&sandbox, &["init", "--ci", "none"]);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("error: kit.yaml: the file is there already\n"), "{answer}");
    assert!(
        answer.stderr.ends_with("hint: nothing was written; name an empty folder, or move the files away\n")
    );
    assert_eq!(read_tree(sandbox.path(), false), before);
}

#[test]
fn nothing_is_written_when_nothing_is_to_be_saved() {
    let sandbox = Sandbox::new();
    let answer = run(&sandbox, &["init", "m", "--save", "false"]).success();
    assert!(answer.stdout.starts_with("would create m/README.md\n"), "{answer}");
    assert!(!sandbox.join("m").exists());
    sandbox.write("m", "a file");
    let answer = run(&sandbox, &["init", "m"]);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert_eq!(sandbox.read("m"), "a file");
}

#[test]
fn a_service_is_added_with_the_port_of_its_dockerfile() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["init", "m"]).success();
    sandbox.write("Dockerfile", "FROM rust\nEXPOSE 1\nFROM scratch\nARG PORT=9090\nEXPOSE $PORT/tcp\n");
    let before = sandbox.read("m/base-cluster.yaml");
    let args = ["--conf", "m/kit.yaml", "init", "service", "cart", "--image", "ghcr.io/shop/cart:1.0"];
    let answer = run(&sandbox, &args).success();
    assert_eq!(
        answer.stdout,
        "created m/resources/cart.yaml.j2\ncreated m/images/shop/cart/main.yaml\nchanged m/base-cluster.yaml\n"
    );
    assert_eq!(
        answer.stderr,
        "port 9090: EXPOSE of Dockerfile\nnext: deploymentizer --conf m/kit.yaml diff --resource cart\n"
    );
    let added = "  cart:\n    file: ./cart.yaml.j2\n    image_tag: shop/cart\n    port: 9090\n    env: []\n";
    assert_eq!(sandbox.read("m/base-cluster.yaml"), before + added);
    run(&sandbox, &["--conf", "m/kit.yaml", "check"]).success();
    let args = ["--conf", "m/kit.yaml", "--cluster-name", "two", "--resource", "cart", "--stdout"];
    let rendered = run(&sandbox, &args).success().stdout;
    assert!(rendered.contains("image: ghcr.io/shop/cart:1.0\n"), "{rendered}");
    assert!(rendered.contains("containerPort: 9090\n"), "{rendered}");
    let answer = run(&sandbox, &["--conf", "m/kit.yaml", "init", "service", "cart"]);
    assert_eq!(answer.exit_code, 2);
    assert_eq!(answer.stderr, "error: m/base-cluster.yaml: there is a resource of this name: `cart`\n");
}

#[test]
fn a_service_of_an_older_repository_gets_an_image_for_every_branch() {
    let sandbox = Sandbox::new();
    copy_tree(&workspace_root().join("testdata/manifests"), sandbox.path());
    let before = read_tree(sandbox.path(), false);
    let answer =
        run(&sandbox, &["init", "service", "ledger", "--port", "7000", "--output", "json"]).success();
    assert_eq!(
        answer.json()["created"],
        serde_json::json!([
            "resources/ledger.yaml.j2",
            "images/ledger/develop.yaml",
            "images/ledger/main.yaml"
        ])
    );
    assert!(answer.stderr.contains("its image is a placeholder"), "{answer}");
    let after = read_tree(sandbox.path(), false);
    let changed: Vec<&str> = before
        .iter()
        .filter(|(name, bytes)| after.iter().any(|(other, new)| other == *name && new != *bytes))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(changed, ["base-cluster.yaml"]);
    run(&sandbox, &["check"]).success();
}

#[test]
fn a_service_that_cannot_be_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["init"]).success();
    sandbox.write("images/taken/main.yaml", "image: a\n");
    let before = read_tree(sandbox.path(), false);
    let mut told = String::new();
    for args in [
        &["init", "service", "Cart_1"][..],
        &["init", "service", "env"],
        &["init", "service", "cart", "--image", "shop/cart"],
        &["init", "service", "cart", "--image", "shop/Cart:1"],
        &["init", "service", "cart", "--port", "0"],
        &["init", "service", "cart", "--dockerfile", "nowhere/Dockerfile"],
        &["init", "service", "taken", "--image", "x.example/taken:1"],
        &["--conf", "elsewhere.yaml", "init", "service", "cart"],
    ] {
        let answer = run(&sandbox, args);
        assert_eq!(answer.exit_code, 2, "{args:?} {answer}");
        told.push_str(&format!("$ {}\n{}\n", args.join(" "), answer.stderr));
    }
    insta::assert_snapshot!(told);
    let base = sandbox.read("base-cluster.yaml");
    sandbox.write("base-cluster.yaml", base.replace("image_tag: nginx", "image_tag: nowhere/nginx"));
    // What is wrong with other services is not this one's matter.
    run(&sandbox, &["init", "service", "cart", "--save", "false"]).success();
    sandbox.write("base-cluster.yaml", base);
    assert_eq!(read_tree(sandbox.path(), false), before);
}

#[test]
fn the_recipes_are_yaml_and_run_only_commands_that_there_are() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["init", "a"]).success();
    run(&sandbox, &["init", "b", "--ci", "gitlab"]).success();
    let help = run(&sandbox, &["--help"]).success().stdout;
    for file in ["a/.github/workflows/deploy.yml", "b/.gitlab-ci.yml"] {
        let text = sandbox.read(file);
        manifest::yaml::read_one(&text, file, manifest::yaml::Schema::Core).unwrap();
        for command in text.lines().filter_map(|line| line.split("deploymentizer ").nth(1)) {
            let word = command.split(' ').next().unwrap();
            assert!(word == "deployer" || help.contains(&format!("  {word} ")), "{file}: {command}");
        }
    }
}
