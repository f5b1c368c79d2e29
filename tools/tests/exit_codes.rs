//! Goal: every command ends with 0 if all is well, 1 if something wrong was found, 2 if it was
//! misused, and says so in its help.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{fine, import, line, quipu, text};

/// One call for each exit code that the command can have, by what stands behind its name. Words in
/// capitals stand for directories and files: see `place`.
struct Row {
    command: &'static str,
    fine: &'static [&'static str],
    wrong: &'static [&'static [&'static str]],
    misused: &'static [&'static [&'static str]],
}

const TABLE: &[Row] = &[
    Row {
        command: "demo",
        fine: &["--rounds", "1", "--json"],
        wrong: &[&["--dir", "FILE/log"]],
        misused: &[&["--dir", "LOG"], &["--rounds", "0"], &["--threads", "many"]],
    },
    Row {
        command: "import",
        fine: &["LINES", "--dir", "NEW", "--json"],
        wrong: &[
            &["NOWHERE", "--dir", "NEW"],
            &["FILE", "--dir", "NEW"],
            &["LINES", "--dir", "BAD"],
        ],
        misused: &[&["LINES"], &["LINES", "--dir", "OTHER", "--segment-bytes", "5"]],
    },
    Row {
        command: "append",
        fine: &["NEW", "LINES", "--json"],
        wrong: &[&["LOG", "LINES", "--expect", "99"], &["LOG", "FILE"], &["BAD", "LINES"]],
        misused: &[&[], &["LOG", "LINES", "--expect", "-1"], &["LOG", "--durable", "--buffered"]],
    },
    Row {
        command: "export",
        fine: &["LOG"],
        wrong: &[&["BAD"], &["NOWHERE"], &["LOG", "--output", "NOWHERE/x"]],
        misused: &[&[], &["LOG", "--dir", "LOG"]],
    },
    Row {
        command: "info",
        fine: &["LOG", "--json"],
        wrong: &[&["BAD"], &["NOWHERE"]],
        misused: &[&[], &["LOG", "--brief"]],
    },
    Row {
        command: "inspect",
        fine: &["LOG", "--json"],
        wrong: &[&["BAD"], &["NOWHERE"], &["LOG", "--segment", "9"]],
        misused: &[&[], &["LOG", "--hex", "--json"]],
    },
    Row {
        command: "streams",
        fine: &["LOG", "--json"],
        wrong: &[&["BAD"], &["NOWHERE"]],
        misused: &[&[], &["LOG", "LOG"]],
    },
    Row {
        command: "read",
        fine: &["LOG", "--json"],
        wrong: &[&["BAD"], &["NOWHERE"]],
        misused: &[&[], &["LOG", "--from", "x"], &["LOG", "--since", "yesterday"]],
    },
    Row {
        command: "tail",
        fine: &["LOG", "--json"],
        wrong: &[&["BAD"], &["BAD", "-f"], &["NOWHERE"]],
        misused: &[&[], &["LOG", "-n", "x"], &["LOG", "--stream", "s", "--prefix", "t"]],
    },
    Row {
        command: "verify",
        fine: &["LOG", "--json"],
        wrong: &[&["BAD"], &["NOWHERE"]],
        misused: &[&[], &["LOG", "--dir", "LOG"]],
    },
    Row {
        command: "repair",
        fine: &["LOG", "--json"],
        wrong: &[&["BAD"], &["BAD", "--apply"], &["NOWHERE"]],
        misused: &[&[], &["LOG", "--force"]],
    },
    Row {
        command: "salvage",
        fine: &["LOG", "--dry-run", "--json"],
        wrong: &[&["BAD", "--dry-run"], &["NOWHERE", "--dry-run"]],
        misused: &[&[], &["LOG"], &["LOG", "--to", "LOG"], &["LOG", "--to", "BAD"]],
    },
    Row {
        command: "backup",
        fine: &["LOG", "NEW", "--json"],
        wrong: &[&["BAD", "NEW"], &["NOWHERE", "NEW"]],
        misused: &[&[], &["LOG"], &["LOG", "LOG"]],
    },
    Row {
        command: "restore",
        fine: &["COPY", "NEW", "--json"],
        wrong: &[&["NOWHERE", "OTHER"]],
        misused: &[&[], &["COPY"], &["COPY", "LOG"], &["COPY", "OTHER", "--to-time", "yesterday"]],
    },
    Row {
        command: "truncate",
        fine: &["LOG", "--before", "3", "--json"],
        wrong: &[&["NOWHERE", "--before", "3"], &["BAD", "--before", "3", "--apply"]],
        misused: &[&[], &["LOG"], &["LOG", "--before", "x"]],
    },
    Row {
        command: "bench",
        fine: &["--seconds", "1", "--json", "PLACE"],
        wrong: &[&["NOWHERE"]],
        misused: &[&["--seconds", "0"]],
    },
    Row { command: "completions", fine: &["bash"], wrong: &[], misused: &[&[], &["dos"]] },
    Row {
        command: "man",
        fine: &["--out", "NEW", "--json"],
        wrong: &[&["--out", "FILE/pages"]],
        misused: &[&[]],
    },
    Row {
        command: "crash sim",
        fine: &["--seeds", "1", "--seed", "1", "--json"],
        wrong: &[],
        misused: &[&["--seeds", "0"]],
    },
    Row {
        command: "crash exhaust",
        fine: &["--every", "40000", "--json"],
        wrong: &[],
        misused: &[&["--every", "0"]],
    },
    Row {
        command: "crash sites",
        fine: &["--scripts", "1", "--calls", "1", "--json"],
        wrong: &[&["--scripts", "1", "--calls", "1", "--table", "NOWHERE/x"]],
        misused: &[&["--scripts", "x"]],
    },
    Row {
        command: "crash kill",
        fine: &["--kills", "1", "--json"],
        wrong: &[&["--kills", "1", "--dir", "FILE/x"]],
        misused: &[&["--kills", "0"], &["--dir", "LOG"]],
    },
    Row {
        command: "crash fault",
        fine: &["--part", "calls", "--call", "rename", "--json"],
        wrong: &[&["--dir", "FILE/x"]],
        misused: &[&["--part", "some"], &["--dir", "LOG"]],
    },
];

/// What the words in capitals stand for.
fn place(word: &str, directory: &Path) -> String {
    let path = |name: &str| text(&directory.join(name)).to_owned();
    match word.split_once('/') {
        Some((first @ ("FILE" | "NOWHERE"), rest)) => format!("{}/{rest}", path(first)),
        _ if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()) => path(word),
        _ => word.to_owned(),
    }
}

/// Makes the places: a log, a damaged one, a backup, lines, a file that is no log and no line, a directory.
fn make(directory: &Path) {
    let lines: String = (0..5).map(|data| line("s", data)).collect();
    for log in ["LOG", "BAD"] {
        assert_eq!(import(&directory.join(log), &lines).code, 0);
    }
    let segment = directory.join("BAD/00000000000000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4096 + 60] ^= 1;
    fs::write(segment, bytes).unwrap();
    let [log, copy] = ["LOG", "COPY"].map(|name| directory.join(name));
    fine(&["backup", text(&log), text(&copy)]);
    fs::write(directory.join("LINES"), lines).unwrap();
    fs::write(directory.join("FILE"), "nothing that anybody could read\n").unwrap();
    fs::create_dir(directory.join("PLACE")).unwrap();
}

/// What a line says again: a cause that stands in the message of what it led to, and behind it.
fn said_twice(printed: &str) -> Option<&str> {
    printed.lines().find_map(|line| {
        let mut said = BTreeSet::new();
        line.split(": ").find(|part| !said.insert(*part))
    })
}

/// The commands that the help of `above` lists.
fn listed(above: &[&str]) -> BTreeSet<String> {
    let help = fine(&[above, &["--help"]].concat());
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_exit_code_of_every_command_says_what_it_came_to() {
    for Row { command, fine, wrong, misused } in TABLE {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let run = |arguments: &[&str]| {
            let places = arguments.iter().map(|word| place(word, directory.path()));
            let all: Vec<String> = command.split(' ').map(str::to_owned).chain(places).collect();
            quipu(&all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let ran = run(fine);
        assert_eq!(ran.code, 0, "{command} {fine:?}: {}", ran.err);
        assert!(!ran.out.is_empty(), "{command} {fine:?}");
        if fine.contains(&"--json") {
            let read = serde_json::Deserializer::from_str(&ran.out).into_iter();
            for value in read {
                let value: serde_json::Value = value.unwrap();
                assert!(value.is_object(), "{command}: {value}");
            }
        }
        for arguments in *wrong {
            let ran = run(arguments);
            assert_eq!(ran.code, 1, "{command} {arguments:?}: {} {}", ran.out, ran.err);
            assert!(!(ran.err.is_empty() && ran.out.is_empty()), "{command} {arguments:?}");
            assert_eq!(said_twice(&ran.err), None, "{command} {arguments:?}: {}", ran.err);
        }
        for arguments in *misused {
            let ran = run(arguments);
            assert_eq!(ran.code, 2, "{command} {arguments:?}: {} {}", ran.out, ran.err);
            assert!(ran.out.is_empty() && ran.err.contains("--help"), "{command} {arguments:?}");
        }
        let left = fs::read_dir(directory.path().join("PLACE")).unwrap().count();
        assert_eq!(left, 0, "{command} has left something");
    }
}

#[test]
fn no_command_is_missing_in_the_table_and_each_explains_its_exit_codes() {
    let mut all: BTreeSet<String> = listed(&[]);
    assert!(all.remove("crash"));
    all.extend(listed(&["crash"]).iter().map(|name| format!("crash {name}")));
    let table: BTreeSet<String> = TABLE.iter().map(|row| row.command.to_owned()).collect();
    assert_eq!(table, all, "the table, and what there is");
    for command in all.iter().map(String::as_str).chain(["crash"]) {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = fine(&words);
        let (_, codes) = help.split_once("Exit codes:\n").expect(command);
        let codes: Vec<&str> = codes.lines().filter_map(|line| line.trim().get(..1)).collect();
        assert_eq!(codes, ["0", "1", "2"], "{command}: {help}");
    }
}
