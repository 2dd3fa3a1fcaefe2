//! `overlock connectors [NAME]`: what can be connected, and which keys each takes.

use std::fmt::Write as _;

use overlock_core::KeyKind;
use serde_json::json;

use crate::app::App;
use crate::args::Connectors;
use crate::failure::Outcome;
use crate::registry::{self, CONNECTORS};
use crate::render::listing::{Cell, Listing};

/// Lists the connectors, or the keys of one.
pub(crate) fn run(app: &App, arguments: &Connectors) -> Outcome<u8> {
    let Some(name) = &arguments.name else {
        let mut listing = Listing::new(&["connector", "summary"]);
        for connector in CONNECTORS {
            listing.row(vec![
                connector.name().into(),
                connector.spec().summary.into(),
            ]);
        }
        app.output.listing(&listing);
        return App::ok();
    };
    let spec = registry::connector(name)?.spec();
    let mut listing = Listing::new(&["key", "kind", "required", "secret", "default", "meaning"]);
    for key in &spec.keys {
        let kind = match key.kind {
            KeyKind::Text => "text".to_owned(),
            KeyKind::OneOf(words) => words.join(" | "),
            KeyKind::Integer => "integer".to_owned(),
            KeyKind::Boolean => "boolean".to_owned(),
            KeyKind::Duration => "duration".to_owned(),
            KeyKind::Instant => "instant".to_owned(),
            KeyKind::TextList => "list of text".to_owned(),
        };
        listing.row(vec![
            key.path.into(),
            kind.into(),
            Cell::Flag(key.required),
            Cell::Flag(key.secret),
            Cell::maybe(key.default),
            key.doc.into(),
        ]);
    }
    if app.output.is_json() {
        app.output.json(&json!({
            "connector": name,
            "summary": spec.summary,
            "keys": listing.to_json(),
            "example": spec.example,
        }));
    } else if matches!(app.output.format(), crate::args::Format::Auto) {
        let mut text = format!("{name}: {}\n", spec.summary);
        for key in &spec.keys {
            let mut notes = Vec::new();
            if key.required {
                notes.push("required".to_owned());
            }
            if key.secret {
                notes.push("secret reference".to_owned());
            }
            if let KeyKind::OneOf(words) = key.kind {
                notes.push(words.join(" | "));
            }
            if let Some(default) = key.default {
                notes.push(format!("default {default}"));
            }
            let notes = if notes.is_empty() {
                String::new()
            } else {
                format!(" ({})", notes.join(", "))
            };
            _ = write!(text, "\n{}{notes}\n    {}\n", key.path, key.doc);
        }
        _ = write!(text, "\n{}\n", spec.example.trim_end());
        app.output.result(&text);
    } else {
        app.output.listing(&listing);
    }
    App::ok()
}
