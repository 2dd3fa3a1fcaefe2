//! `overlock init`: a new project. Never overwrites anything.

use std::path::Path;

use overlock_core::{Error, ErrorKind};
use serde_json::json;

use crate::app::App;
use crate::args::Init;
use crate::failure::{Failure, Outcome};
use crate::registry;

const GITIGNORE: &str = "/.overlock/\n/data/\n/secrets/\n.env\n";

const ENV_EXAMPLE: &str = "\
# Copy to .env, fill in, and run: overlock --env-file .env check
# Secrets are better kept in files of mode 0600 (file:...) or a password manager (cmd:...).
";

/// Writes the files.
pub(crate) fn run(app: &App, arguments: &Init) -> Outcome<u8> {
    let connector = registry::connector(&arguments.source)?;
    let (pipeline, variable) = match connector.name() {
        "zendesk" => (("pipelines/support.toml", SUPPORT), "ZENDESK_CLIENT_SECRET"),
        "zuora" => (("pipelines/billing.toml", BILLING), "ZUORA_CLIENT_SECRET"),
        _ => (("pipelines/crm.toml", CRM), "SFDC_CLIENT_ID"),
    };
    let files = [
        (
            "overlock.toml",
            project_file(connector.name(), connector.spec().example),
        ),
        (pipeline.0, pipeline.1.to_owned()),
        (".gitignore", GITIGNORE.to_owned()),
        (".env.example", format!("{ENV_EXAMPLE}{variable}=\n")),
    ];
    let here = files
        .iter()
        .find(|(name, _)| arguments.dir.join(name).symlink_metadata().is_ok());
    if let Some((name, _)) = here {
        return Err(Failure::usage(
            format!("write a new project: `{name}` is there already"),
            "nothing was changed; choose another folder, or edit the files that are there",
        ));
    }
    for (name, text) in &files {
        write_new(&arguments.dir.join(name), text)?;
    }
    if app.output.is_json() {
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        app.output
            .json(&json!({"dir": arguments.dir, "files": names}));
    } else if !app.output.is_quiet() {
        for (name, _) in &files {
            app.output
                .result(&format!("wrote {}", arguments.dir.join(name).display()));
        }
        app.output
            .remark("next: fill in overlock.toml, then `overlock check`");
    }
    App::ok()
}

/// Writes a file that must not be there yet, with the folders above it.
pub(crate) fn write_new(path: &Path, text: &str) -> Outcome {
    let fail = |error: std::io::Error| {
        Error::new(ErrorKind::Io, "write a new file")
            .context("path", path.display())
            .source(error)
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(fail)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    Ok(())
}

fn project_file(connector: &str, example: &str) -> String {
    // The connector's example is what stands in its own documentation, so both stay true together.
    let example = match example.trim_start().strip_prefix("[source.") {
        Some(_) => example.trim().to_owned(),
        None if connector == "zendesk" => format!("[source.help]\n{}", example.trim()),
        None if connector == "zuora" => format!("[source.billing]\n{}", example.trim()),
        None => format!("[source.crm]\n{}", example.trim()),
    };
    // The shipped pipelines read from sources of these names: `sfdc`, `help` and `billing`.
    let example = example.replace("[source.crm", "[source.sfdc");
    format!(
        "# Connections of this project. All keys: overlock connectors {connector}\n\
         version = 1\n\n{example}\n\n\
         [destination.lake]\nkind = \"local\"\npath = \"data\"\n"
    )
}

/// The pipelines that ship with the project; a new project and the demo begin with them.
pub(crate) const CRM: &str = include_str!("../../../../pipelines/crm.toml");
/// See [`CRM`].
pub(crate) const SUPPORT: &str = include_str!("../../../../pipelines/support.toml");
/// See [`CRM`].
pub(crate) const BILLING: &str = include_str!("../../../../pipelines/billing.toml");
