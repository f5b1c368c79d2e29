//! Goal: completions and manual pages know every command.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::fs;

use common::{fine, json_lines, text};

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = fine(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

#[test]
fn completions_of_every_shell_know_every_command() {
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = fine(&["completions", shell]);
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
        assert!(script.contains("expect") && script.contains("follow"), "{shell}");
    }
}

#[test]
fn every_command_has_a_page_with_its_exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("share/man1");
    let said = json_lines(&fine(&["man", "--out", text(&out), "--json"]));
    let pages: Vec<&str> =
        said[0]["pages"].as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect();
    assert_eq!(fs::read_dir(&out).unwrap().count(), pages.len());
    let wanted = commands().into_iter().map(|name| format!("quipu-{name}.1"));
    for page in wanted.chain(["quipu.1".to_owned(), "quipu-crash-sim.1".to_owned()]) {
        assert!(pages.contains(&page.as_str()), "{page}");
        let page = fs::read_to_string(out.join(page)).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains("Exit codes"), "{page}");
    }
    assert!(!pages.contains(&"quipu-demo-writer.1"), "what is hidden has none");
}
