//! The rules of the house that a machine can check: floors, registry, lints, one version of what must be
//! one, and that every promise and every fault has a test by name.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use overlock_tests::house::{files, root};
use serde_json::Value;

/// Floor of each crate, by folder; architecture section 2. A crate imports from lower floors only.
fn floor(folder: &str) -> Option<u32> {
    match folder {
        "crates/core" => Some(0),
        "crates/kit" | "crates/package" | "crates/sandbox" => Some(1),
        "crates/local" | "crates/snowflake" => Some(2),
        connector if connector.starts_with("connectors/") => Some(2),
        "crates/engine" => Some(3),
        "crates/cli" => Some(4),
        "tests" => Some(5),
        _ => None,
    }
}

/// Folder and metadata of every member.
fn members() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = root().canonicalize().unwrap();
    let members: BTreeMap<_, _> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let manifest = std::path::Path::new(package["manifest_path"].as_str().unwrap());
            let folder = manifest.parent().unwrap().strip_prefix(&root).unwrap();
            (folder.to_str().unwrap().to_owned(), package.clone())
        })
        .collect();
    assert!(members.len() >= 9, "found only {:?}", members.keys());
    members
}

#[test]
fn every_crate_imports_from_lower_floors_only() {
    let members = members();
    let folders: BTreeMap<String, String> = members
        .iter()
        .map(|(folder, package)| (package["name"].as_str().unwrap().to_owned(), folder.clone()))
        .collect();
    let mut edges = 0;
    for (folder, package) in &members {
        let own =
            floor(folder).unwrap_or_else(|| panic!("{folder} has no floor: give it one here"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(target) = folders.get(dependency["name"].as_str().unwrap()) else {
                continue;
            };
            if dependency["kind"] == "dev" {
                continue; // Tests may look at anything.
            }
            edges += 1;
            let theirs = floor(target).unwrap();
            assert!(
                theirs < own,
                "{folder} (floor {own}) imports {target} (floor {theirs})"
            );
        }
    }
    assert!(
        edges > 10,
        "only {edges} imports seen: the check has lost its eyes"
    );
}

#[test]
fn every_connector_is_registered() {
    let registry = std::fs::read_to_string(root().join("crates/cli/src/registry.rs")).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("connectors")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let line = format!("overlock_{name}::");
        assert!(
            registry.contains(&line),
            "connectors/{name} is not in crates/cli/src/registry.rs"
        );
        seen += 1;
    }
    assert!(seen >= 1);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for folder in members().keys() {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{folder}/Cargo.toml"
        );
    }
}

#[test]
fn the_lock_file_holds_one_of_each_and_no_openssl() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let count = |name: &str| lock.matches(&format!("\nname = \"{name}\"\n")).count();
    for name in [
        "arrow",
        "arrow-array",
        "arrow-schema",
        "parquet",
        "reqwest",
        "object_store",
    ] {
        assert_eq!(count(name), 1, "{name}");
    }
    for name in ["openssl", "openssl-sys", "native-tls"] {
        assert_eq!(count(name), 0, "{name}");
    }
}

#[test]
fn nothing_in_the_binary_can_unpack_an_archive() {
    // covers: I19
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "overlock-cli",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--offline",
        ])
        .args(["--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8_lossy(&output.stdout);
    let crates: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        crates.contains("flate2"),
        "the check has lost its eyes: {crates:?}"
    );
    for name in [
        "zip",
        "async_zip",
        "rc-zip",
        "rawzip",
        "tar",
        "async-tar",
        "tokio-tar",
        "sevenz-rust",
        "unrar",
    ] {
        assert!(!crates.contains(name), "{name}");
    }
}

#[test]
fn only_the_command_line_reads_the_environment_prints_and_exits() {
    for file in files(&root().join("crates"), "rs")
        .into_iter()
        .chain(files(&root().join("connectors"), "rs"))
    {
        let path = file.strip_prefix(root()).unwrap().display().to_string();
        if path.starts_with("crates/cli/")
            || path.contains("/tests/")
            || path.contains("/examples/")
            || path.contains("/benches/")
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["println!(", "eprintln!(", "std::env::var", "process::exit"] {
            assert!(!code.contains(word), "{path} has {word}");
        }
    }
}

/// Ids that some test names in a comment `covers: N5, I17`.
fn covered() -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for folder in ["crates", "connectors", "tests"] {
        for file in files(&root().join(folder), "rs")
            .into_iter()
            .chain(files(&root().join(folder), "py"))
        {
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text.lines() {
                if let Some((_, list)) = line.split_once("covers: ") {
                    ids.extend(list.split([',', ' ']).map(|id| id.trim().to_owned()));
                }
            }
        }
    }
    ids
}

#[test]
fn every_fault_and_every_hostile_input_has_a_test_that_names_it() {
    let covered = covered();
    let rows = [
        ("N", 21),
        ("L", 16),
        ("R", 11),
        ("K", 8),
        ("T", 5),
        ("I", 25),
        ("W", 18),
    ];
    let missing: Vec<String> = rows
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")))
        .filter(|id| !covered.contains(id))
        .collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let mut promises = 0;
    for line in text.lines().filter(|line| line.starts_with("| G")) {
        let tests: Vec<&str> = line
            .split('`')
            .filter(|piece| piece.contains(".rs::") || piece.contains(".py::"))
            .collect();
        assert!(!tests.is_empty(), "a promise without a test: {line}");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(root().join(file))
                .unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(
                source.contains(&format!("fn {name}(")) || source.contains(&format!("def {name}(")),
                "{test} is gone, but docs/guarantees.md names it"
            );
        }
        promises += 1;
    }
    assert!(promises >= 10, "only {promises} promises found");
}
