//! Mistakes in configuration: each with file, line, column, caret line and suggestion, exit 2.

use std::path::Path;

use crate::bench::{overlock, run, write};

const SOURCE: &str = "[source.sfdc]\nconnector = \"salesforce\"\n\
    login_url = \"https://login.salesforce.com\"\n\
    auth = { kind = \"client_credentials\", client_id = \"app\", client_secret = \"env:SECRET\" }\n";
const PIPELINE: &str = "source = \"sfdc\"\n[streams.Account]\n";

/// Name, more lines of overlock.toml, the pipeline file.
const CASES: &[(&str, &str, &str)] = &[
    (
        "unknown_key",
        "[destination.lake]\nkind = \"local\"\npaht = \"x\"\n",
        PIPELINE,
    ),
    ("unknown_section", "[sorce.x]\n", PIPELINE),
    (
        "unknown_source_key",
        "[source.b]\nconnector = \"salesforce\"\nlogn_url = \"https://x.example\"\nauth = { kind = \"jwt\" }\n",
        PIPELINE,
    ),
    (
        "unknown_connector",
        "[source.b]\nconnector = \"salesfroce\"\n",
        PIPELINE,
    ),
    (
        "no_connector",
        "[source.b]\nlogin_url = \"https://x.example\"\n",
        PIPELINE,
    ),
    (
        "duplicate_key",
        "[run]\ngrace = \"1s\"\ngrace = \"2s\"\n",
        PIPELINE,
    ),
    (
        "wrong_type",
        "[run]\nmax_concurrent_streams = \"four\"\n",
        PIPELINE,
    ),
    (
        "out_of_range",
        "[run]\nmax_concurrent_streams = 0\n",
        PIPELINE,
    ),
    ("bad_duration", "[run]\ngrace = \"soon\"\n", PIPELINE),
    ("not_a_table", "run = 7\n", PIPELINE),
    ("broken_syntax", "[run\n", PIPELINE),
    ("newer_version", "version = 2\n", PIPELINE),
    (
        "plain_http",
        "[env.dev]\nsource.sfdc.login_url = \"http://login.salesforce.com\"\n",
        PIPELINE,
    ),
    (
        "user_in_url",
        "[env.dev]\nsource.sfdc.login_url = \"https://me:hunter22secret@x.example\"\n",
        PIPELINE,
    ),
    (
        "file_url",
        "[env.dev]\nsource.sfdc.login_url = \"file:///etc/passwd\"\n",
        PIPELINE,
    ),
    (
        "unknown_overlay",
        "[env.dev]\nsource.sfcd.login_url = \"https://x.example\"\n",
        PIPELINE,
    ),
    (
        "bad_name",
        "[destination.\"../x\"]\nkind = \"local\"\n",
        PIPELINE,
    ),
    (
        "misspelt_secret",
        "[source.b]\nconnector = \"salesforce\"\nauth = { kind = \"client_credentials\", client_id = \"x\", client_secert = \"hunter22secret\" }\n",
        PIPELINE,
    ),
    (
        "secret_of_wrong_type",
        "[source.b]\nconnector = \"salesforce\"\nauth = { kind = \"client_credentials\", client_id = \"x\", client_secret = [\"hunter22secret\"] }\n",
        PIPELINE,
    ),
    (
        "unknown_mode",
        "",
        "source = \"sfdc\"\n[streams.Account]\nwrite_mode = \"mrege\"\n",
    ),
    (
        "unknown_stream_key",
        "",
        "source = \"sfdc\"\n[streams.Account]\nprimary_kee = \"Id\"\n",
    ),
    (
        "unknown_source",
        "",
        "source = \"sfcd\"\n[streams.Account]\n",
    ),
    (
        "unknown_destination",
        "[destination.lake]\nkind = \"local\"\n",
        "source = \"sfdc\"\ndestination = \"lkae\"\n[streams.Account]\n",
    ),
    ("no_streams", "", "source = \"sfdc\"\n"),
    (
        "bad_stream_name",
        "",
        "source = \"sfdc\"\n[streams.\"a; DROP\"]\n",
    ),
    (
        "bad_cron",
        "",
        "source = \"sfdc\"\nschedule = { cron = \"7 * * *\" }\n[streams.Account]\n",
    ),
    (
        "bad_zone",
        "",
        "source = \"sfdc\"\nschedule = { cron = \"7 * * * *\", timezone = \"Europe/Berln\" }\n[streams.Account]\n",
    ),
    (
        "bad_since",
        "",
        "source = \"sfdc\"\n[streams.Account]\nsince = \"yesterday\"\n",
    ),
];

#[test]
fn every_mistake_has_a_position_and_a_suggestion() {
    // covers: I22, I23
    for (name, more, pipeline) in CASES {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "overlock.toml", &format!("{more}{SOURCE}"));
        write(folder.path(), "pipelines/crm.toml", pipeline);
        let ran = run(folder.path(), &["config", "validate"]).expect(2);
        assert_eq!(ran.stdout, "", "{name}");
        assert!(!ran.stderr.contains("hunter22"), "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(".toml:"),
            "{name} has no position: {}",
            ran.stderr
        );
        insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("config_{name}"), ran.stderr);
        });
        let json = run(folder.path(), &["config", "validate", "--json"])
            .expect(2)
            .json();
        assert_eq!(json["exit_code"], 2, "{name}");
        assert!(json["problems"][0]["line"].is_u64(), "{name}: {json}");
    }
}

#[test]
fn a_file_that_is_too_long_or_no_text_or_no_file_is_refused_in_bounded_time() {
    // covers: I22
    let folder = tempfile::tempdir().unwrap();
    let long = format!("# {}\n", "x".repeat(1024 * 1024));
    write(folder.path(), "overlock.toml", &long);
    let ran = run(folder.path(), &["config", "validate"]).expect(2);
    assert!(ran.stderr.contains("more than 1 MiB"), "{}", ran.stderr);
    for (bytes, expected) in [
        (&b"a = \"\xff\"\n"[..], "not UTF-8"),
        (b"a = \"\x00\"\n", "overlock.toml:1:"),
        (b"a = \"\\u0000\"\n", "unknown key `a`"),
    ] {
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no care")]
        std::fs::write(folder.path().join("overlock.toml"), bytes).unwrap();
        let ran = run(folder.path(), &["config", "validate"]).expect(2);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    let ran = run(folder.path(), &["config", "validate", "-c", "/dev/zero"]).expect(2);
    assert!(ran.stderr.contains("not a regular file"), "{}", ran.stderr);
    let empty = tempfile::tempdir().unwrap();
    let ran = run(empty.path(), &["run"]).expect(2);
    assert!(ran.stderr.contains("overlock init"), "{}", ran.stderr);
}

fn offline(folder: &Path, variables: &[(&str, &str)]) -> crate::bench::Ran {
    let mut command = overlock(folder);
    command
        .args(["check", "--offline"])
        .envs(variables.iter().copied());
    crate::bench::Ran::of(&command.output().unwrap())
}

#[test]
fn secrets_come_by_reference_only_and_are_checked() {
    // covers: I23
    let folder = tempfile::tempdir().unwrap();
    let project = |secret: &str, more: &str| {
        let text = format!(
            "{more}[source.sfdc]\nconnector = \"salesforce\"\n\
             login_url = \"${{LOGIN:-https://login.salesforce.com}}\"\n\
             auth = {{ kind = \"client_credentials\", client_id = \"app\", client_secret = {secret} }}\n"
        );
        write(folder.path(), "overlock.toml", &text);
    };
    write(folder.path(), "open-to-all", "from-a-file-1");
    let mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(folder.path().join("open-to-all"), permissions).unwrap();
    };
    mode(0o644);
    for (secret, more, variables, expected) in [
        (
            "\"env:SECRET\"",
            "",
            &[("SECRET", "canary-value-1")][..],
            None,
        ),
        (
            "{ env = \"SECRET\" }",
            "",
            &[("SECRET", "canary-value-1")],
            None,
        ),
        ("\"cmd:echo canary-value-1\"", "", &[], None),
        (
            "\"canary-value-1\"",
            "allow_plain_secrets = true\n",
            &[],
            None,
        ),
        ("\"canary-value-1\"", "", &[], Some("written into the file")),
        (
            "\"${SECRET}\"",
            "",
            &[("SECRET", "canary-value-1")],
            Some("written into the file"),
        ),
        (
            "\"env:SECERT\"",
            "",
            &[("SECRET", "canary-value-1")],
            Some("did you mean `env:SECRET`?"),
        ),
        (
            "\"env:SECRET\"",
            "",
            &[("SECRET", "canary-value-1\nX-Evil: 1")],
            Some("control characters"),
        ),
        (
            "\"env:SECRET\"",
            "",
            &[("SECRET", "ab")],
            Some("at least 6"),
        ),
        ("\"file:open-to-all\"", "", &[], Some("chmod 600")),
        ("\"file:/dev/zero\"", "", &[], Some("not a regular file")),
        ("\"cmd:exit 1\"", "", &[], Some("from its command")),
        (
            "\"env:SECRET\"",
            "",
            &[("SECRET", "canary-value-1"), ("LOGIN", "http://10.0.0.1")],
            Some("127.0.0.1 only"),
        ),
    ] {
        project(secret, more);
        let ran = offline(folder.path(), variables);
        let code = if expected.is_some() { 2 } else { 0 };
        let ran = ran.expect(code);
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!shown.contains("canary-value-1"), "{secret}: {shown}");
        assert!(
            shown.contains(expected.unwrap_or("ok")),
            "{secret}: {shown}"
        );
    }
    mode(0o600);
    project("\"file:open-to-all\"", "");
    offline(folder.path(), &[]).expect(0);
}

#[test]
fn a_later_layer_wins_and_show_tells_which_and_masks_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let text = "allow_plain_secrets = true\n[source.sfdc]\nconnector = \"salesforce\"\n\
        lookback = \"1m\"\nsettle = \"1s\"\napi_version = \"60.0\"\nwindow = \"1d\"\n\
        auth = { kind = \"client_credentials\", client_id = \"app\", client_secret = \"canary-plain\" }\n\
        [env.dev]\nsource.sfdc.settle = \"2s\"\nsource.sfdc.api_version = \"61.0\"\nsource.sfdc.window = \"2d\"\n";
    write(folder.path(), "overlock.toml", text);
    let show = |format: &str| {
        let mut command = overlock(folder.path());
        command
            .args(["config", "show", "--origin", "--env", "dev", format])
            .args(["--set", "source.sfdc.window=4d"])
            .env("OVERLOCK__SOURCE__SFDC__API_VERSION", "62.0")
            .env("OVERLOCK__SOURCE__SFDC__WINDOW", "3d");
        crate::bench::Ran::of(&command.output().unwrap()).expect(0)
    };
    let ran = show("--color=never");
    assert!(!ran.stdout.contains("canary"), "{}", ran.stdout);
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("config_show", ran.stdout);
    });
    let json = show("--json").json();
    let row = json
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["key"] == "source.sfdc.window");
    assert_eq!(row.unwrap()["origin"], "flag --set source.sfdc.window");
    for set in [
        "source.sfdc.max_records=many",
        "source.sfcd.window=1d",
        "run.garce=1s",
        "run.lock=none",
        "nonsense",
    ] {
        let ran = run(folder.path(), &["config", "validate", "--set", set]).expect(2);
        assert!(ran.stderr.contains("--set"), "{set}: {}", ran.stderr);
    }
    run(
        folder.path(),
        &[
            "config",
            "validate",
            "--set",
            "run.max_concurrent_streams=2",
        ],
    )
    .expect(0);
    for set in ["run.lock=head-only", "run.lock=file"] {
        run(folder.path(), &["config", "validate", "--set", set]).expect(0);
    }
    let ran = run(folder.path(), &["config", "validate", "--env", "dve"]).expect(2);
    assert!(ran.stderr.contains("did you mean `dev`?"), "{}", ran.stderr);
}

#[test]
fn a_new_project_is_valid_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init", "new"]).expect(0);
    let new = folder.path().join("new");
    for name in [
        "overlock.toml",
        "pipelines/crm.toml",
        ".gitignore",
        ".env.example",
    ] {
        let metadata = std::fs::metadata(new.join(name)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        assert_eq!(
            (metadata.is_file(), mode & 0o077),
            (true, 0),
            "{name}: {mode:o}"
        );
    }
    run(&new, &["config", "validate"]).expect(0);
    let ran = run(&new, &["init"]).expect(2);
    assert!(ran.stderr.contains("is there already"), "{}", ran.stderr);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    run(&root, &["config", "validate"]).expect(0);
}

#[test]
fn the_schema_is_json_and_knows_every_connector() {
    let folder = tempfile::tempdir().unwrap();
    for (of, key) in [("project", "source"), ("pipeline", "streams")] {
        let schema = run(folder.path(), &["config", "schema", of])
            .expect(0)
            .json();
        assert!(schema["properties"][key].is_object(), "{of}");
    }
    let ran = run(folder.path(), &["config", "schema"]).expect(0);
    assert!(ran.stdout.contains("client_secret"));
}

#[test]
fn the_corpus_of_the_fuzzer_never_panics() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/config");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for shown in overlock_cli::fuzz::config(&bytes) {
            assert!(shown.starts_with("error: "), "{shown}");
        }
        count += 1;
    }
    assert!(count >= 10, "the corpus has only {count} files");
}
