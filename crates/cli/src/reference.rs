//! The reference pages under `docs/reference`, made from the tables that the code itself uses.
//!
//! A test fails when a page is not what the code says; `OVERLOCK_UPDATE_DOCS=1` writes the pages anew.

use std::fmt::Write as _;
use std::path::Path;

use overlock_core::{Connector, KeyKind};

use crate::{env, exit, registry};

/// Name of the page and its text.
fn pages() -> Vec<(String, String)> {
    let mut pages = vec![
        ("environment.md".to_owned(), environment()),
        ("exit-codes.md".to_owned(), exit_codes()),
    ];
    for connector in registry::CONNECTORS {
        pages.push((format!("{}.md", connector.name()), keys(*connector)));
    }
    pages
}

fn environment() -> String {
    let mut page = "# Environment variables\n\n| variable | meaning |\n|---|---|\n".to_owned();
    for (name, meaning) in env::TABLE {
        _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    page
}

fn exit_codes() -> String {
    let mut page = "# Exit codes\n\n| code | meaning |\n|---|---|\n".to_owned();
    for (code, meaning) in exit::TABLE {
        _ = writeln!(page, "| {code} | {meaning} |");
    }
    page.push_str(
        "\nCodes 5, 6, 7 and 9 are worth a retry: the JSON end object says `retryable`, and \
         `retry_after_s` where the source named a time.\n1, 2, 3 and 8 need a person; after 4, look at \
         each stream.\n",
    );
    page
}

fn keys(connector: &dyn Connector) -> String {
    let spec = connector.spec();
    let mut page = format!(
        "# Source `{}`\n\n{}.\n\n```toml\n{}\n```\n",
        connector.name(),
        spec.summary,
        spec.example.trim()
    );
    page.push_str("\n| key | kind | default | meaning |\n|---|---|---|---|\n");
    for key in &spec.keys {
        let kind = match key.kind {
            KeyKind::Text if key.secret => "secret reference".to_owned(),
            KeyKind::Text => "text".to_owned(),
            KeyKind::OneOf(words) => format!("`{}`", words.join("`, `")),
            KeyKind::Integer => "whole number".to_owned(),
            KeyKind::Boolean => "`true`, `false`".to_owned(),
            KeyKind::Duration => "duration".to_owned(),
            KeyKind::Instant => "instant or date".to_owned(),
            KeyKind::TextList => "list of text".to_owned(),
        };
        let default = match (key.default, key.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "required".to_owned(),
            (None, false) => "-".to_owned(),
        };
        _ = writeln!(
            page,
            "| `{}` | {kind} | {default} | {} |",
            key.path, key.doc
        );
    }
    page
}

#[test]
fn the_reference_pages_say_what_the_code_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    #[expect(
        clippy::disallowed_methods,
        reason = "the documented knob of this test"
    )]
    let update = std::env::var("OVERLOCK_UPDATE_DOCS").is_ok();
    for (name, text) in pages() {
        let path = folder.join(&name);
        if update {
            #[expect(
                clippy::disallowed_methods,
                reason = "a page of the repository, written on request"
            )]
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found, text,
            "{name}: run this test with OVERLOCK_UPDATE_DOCS=1"
        );
    }
}
