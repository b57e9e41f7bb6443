//! What the command line refuses before anything is touched.

use testkit::{Sandbox, program};

fn refused(flags: &[&str]) -> String {
    let sandbox = Sandbox::new();
    let call =
        program("deployer").args(["--strategy", "fast-rollback", "--manifests-dir", "none"]).args(flags);
    let answer = sandbox.run(call);
    assert_eq!(answer.exit_code, 2, "{answer}");
    answer.stderr
}

#[test]
fn an_id_is_needed_and_has_to_fit_into_names() {
    assert_eq!(
        refused(&[]),
        "error: `--strategy fast-rollback` needs the id of the deploy\n  hint: --deploy-id \"$CI_PIPELINE_ID\", or anything else that is another one for every deploy\n"
    );
    assert_eq!(
        refused(&["--deploy-id", "V1.2"]),
        "error: `--deploy-id` becomes part of names and labels, and cannot be: `V1.2`\n  hint: at most 40 of a-z, 0-9 and `-`, neither first nor last a `-`\n"
    );
}

#[test]
fn a_sync_has_no_id_for_each_deploy() {
    let call = program("deployer").args(["sync", "--repo", "https://git.example.org/m", "--once"]).args([
        "--strategy",
        "fast-rollback",
        "--deploy-id",
        "d1",
    ]);
    let answer = Sandbox::new().run(call);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(
        answer.stderr.contains("needs another id for every deploy, and `sync` deploys by itself"),
        "{answer}"
    );
}

#[test]
fn flags_that_contradict_the_strategy_are_refused() {
    assert!(refused(&["--deploy-id", "d1", "--raw"]).contains("`--raw` sends manifests as they are"));
    assert!(refused(&["--deploy-id", "d1", "--create-only"]).contains("`--create-only` leaves Services"));
}
