//! The program as its callers meet it.

use std::process::Command;

/// What it says where it does not start.
fn refusal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper-example"));
    command.args(arguments).env_remove("NEXT").env_remove("PORT").envs(variables.iter().copied());
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{arguments:?} {variables:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn what_is_wrong_is_said() {
    assert!(refusal(&[], &[]).contains("say which role"));
    assert!(refusal(&["paint"], &[]).contains("there is no role 'paint'"));
    assert!(refusal(&["process"], &[]).contains("NEXT is where the next stage is"));
    assert!(refusal(&["tasks"], &[("PORT", "high")]).contains("PORT: 'high'"));
    assert!(refusal(&["orchestrate", "127.0.0.1:1", "many"], &[]).contains("'many' is no number of images"));
}
