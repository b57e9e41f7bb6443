//! deploymentizer
fn main() {}
