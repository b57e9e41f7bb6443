//! The demo of the README, as `cargo demo` runs it once everything is built.

use std::process::Command;

#[test]
fn the_demo_goes_from_a_tag_to_running_pods_and_shows_what_failure_looks_like() {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--built").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["$ image-deployer ", "$ deployer ", "the image cannot be pulled", "(exit code 4:"] {
        assert!(said.contains(expected), "`{expected}` is missing\n{said}");
    }
}
