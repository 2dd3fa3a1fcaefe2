//! `overlock demo`: the real pipelines against a bundled Salesforce org, Zendesk account and Zuora tenant of one
//! company, without credentials or network.
//!
//! Everything but these is what production uses: the written `overlock.toml` and pipeline files, the
//! connectors over HTTP, the engine, the Parquet folder. Only two things are put in by the program: the
//! ports that the emulators got, and their clock. The clock moves on by one day after each demo that ended
//! well; a demo that was killed is taken up again on the same day.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use overlock_core::{Clock, Error, ErrorKind, Timestamp};
use overlock_package::fs;
use overlock_salesforce::emulator::{Credentials, SalesforceSandbox, SandboxOptions, WorldOptions};
use overlock_zendesk::emulator as zendesk;
use overlock_zuora::emulator as zuora;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::args::{Demo, How};
use crate::commands::init::{BILLING, CRM, SUPPORT, write_new};
use crate::commands::run::{Job, plan, report};
use crate::commands::sandbox::ACCOUNTS;
use crate::config::{Request, Wanted, absolute};
use crate::exit;
use crate::failure::{Failure, Outcome};

/// When the demo's history ends: long ago, so that no clock of a real machine is behind it.
const FIRST_DAY: i64 = 1_748_844_000; // 2025-06-02T06:00:00Z
/// The pipelines of the demo, in the order of their runs.
const PIPELINES: [&str; 3] = ["crm", "support", "billing"];
/// Version of the diary: it grows with the emulators of the demo.
const FORMAT: u32 = 3;
/// Most days that a demo folder can live.
const MAX_DAYS: u32 = 3_650;

/// What is kept in `.overlock/demo.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Diary {
    format: u32,
    seed: u64,
    accounts: u32,
    /// Days since the first demo in this folder.
    day: u32,
    /// The demo of this day ended well.
    done: bool,
}

/// Runs the demo.
pub(crate) fn run(app: &App, arguments: &Demo) -> Outcome<u8> {
    let root = absolute(&arguments.dir);
    let diary_path = root.join(".overlock").join("demo.json");
    let mut diary = match read(&diary_path)? {
        Some(diary) => diary,
        None if root.join("overlock.toml").exists() => {
            return Err(Failure::usage(
                format!(
                    "use `{}` for the demo: it has a project of its own",
                    arguments.dir.display()
                ),
                "nothing was changed; name another folder: overlock demo DIR",
            ));
        }
        None => Diary {
            format: FORMAT,
            seed: 1,
            accounts: (ACCOUNTS * arguments.scale / 100).max(1),
            day: 0,
            done: false,
        },
    };
    if diary.done {
        diary.day += 1;
        diary.done = false;
    }
    if diary.day > MAX_DAYS {
        return Err(Failure::usage(
            "go on with a demo of ten years",
            "start in a new folder",
        ));
    }
    // The diary comes first: it marks the folder as ours, so that a killed demo can be taken up again.
    write(&diary_path, &diary)?;
    let known = Credentials::default();
    let desk = zendesk::Credentials::default();
    let tenant = zuora::Credentials::default();
    for (name, text) in [
        ("overlock.toml", project_file(&known, &desk, &tenant)),
        ("pipelines/crm.toml", CRM.to_owned()),
        ("pipelines/support.toml", SUPPORT.to_owned()),
        ("pipelines/billing.toml", BILLING.to_owned()),
        ("secrets/sandbox", format!("{}\n", known.client_secret)),
        ("secrets/zendesk", format!("{}\n", desk.client_secret)),
        ("secrets/zuora", format!("{}\n", tenant.client_secret)),
        (".gitignore", "/.overlock/\n/data/\n/secrets/\n".to_owned()),
    ] {
        let path = root.join(name);
        if !path.exists() {
            write_new(&path, &text)?;
        }
    }
    let start = Timestamp::from_seconds(FIRST_DAY).unwrap_or(Timestamp::EPOCH);
    let now = start.plus(Duration::from_secs(86_400).saturating_mul(diary.day));
    let mut options = SandboxOptions::tiny(diary.seed, start);
    options.world = WorldOptions {
        scale: diary.accounts,
        ..WorldOptions::demo(diary.seed, start)
    };
    options.now = Some(now);
    let sandbox = SalesforceSandbox::start(options)?;
    let desk = zendesk::ZendeskSandbox::start(support(&diary, start, now))?;
    let tenant = zuora::ZuoraSandbox::start(billing(&diary, start, now))?;
    let day = now.to_chrono().format("%Y-%m-%d %H:%M UTC");
    app.output.remark(&format!(
        "demo: a Salesforce org on {}, a Zendesk account on {} and a Zuora tenant on {}, day {} ({day})",
        sandbox.base_url(),
        desk.base_url(),
        tenant.base_url(),
        diary.day + 1
    ));
    let step = |text: &str| text.to_owned();
    let request = Request {
        config: Some(root.join("overlock.toml")),
        env: app.global.env.clone(),
        sets: app.global.set.clone(),
        wanted: Wanted::Named(PIPELINES.map(ToOwned::to_owned).to_vec()),
        program: vec![
            (
                vec![step("source"), step("sfdc"), step("login_url")],
                sandbox.base_url(),
            ),
            (
                vec![step("source"), step("help"), step("base_url")],
                desk.base_url(),
            ),
            (
                vec![step("source"), step("billing"), step("base_url")],
                tenant.base_url(),
            ),
        ],
    };
    let project = app.load(&request)?;
    let how = How::default();
    let mut plans = Vec::new();
    for name in PIPELINES {
        let pipeline = project.pipeline(name)?;
        let plan = plan(&pipeline, &how)?;
        plans.push((pipeline, plan));
    }
    let clock: Arc<dyn Clock> = Arc::new(sandbox.clock().clone());
    let job = Job {
        app,
        project: &project,
        how: &how,
        clock,
    };
    let (ended, code) = job.run_all(&plans)?;
    report(app, &ended, code, true);
    if code == exit::OK {
        diary.done = true;
        write(&diary_path, &diary)?;
        let dir = arguments.dir.display();
        app.output.remark(&format!(
            "\nlook at it:  overlock inspect {dir}/data/sfdc/Account\n\
             or at:       overlock inspect {dir}/data/help/tickets\n\
             \x20            overlock inspect {dir}/data/billing/Invoice\n\
             next day:    overlock demo{}",
            if arguments.dir.as_os_str() == "overlock-demo" {
                String::new()
            } else {
                format!(" {dir}")
            }
        ));
    }
    Ok(code)
}

/// The desk of the same company: the seed makes its organizations the org's accounts.
fn support(diary: &Diary, start: Timestamp, now: Timestamp) -> zendesk::SandboxOptions {
    let mut options = zendesk::SandboxOptions::tiny(diary.seed, start);
    let share = |count: u32| (count * diary.accounts / ACCOUNTS).max(1);
    let world = zendesk::WorldOptions::demo(diary.seed, start);
    options.world = zendesk::WorldOptions {
        tickets: share(world.tickets),
        users: share(world.users).max(20),
        organizations: diary.accounts,
        ..world
    };
    options.now = Some(now);
    options
}

/// The tenant of the same company: its billing accounts are the org's accounts.
fn billing(diary: &Diary, start: Timestamp, now: Timestamp) -> zuora::SandboxOptions {
    let mut options = zuora::SandboxOptions::tiny(diary.seed, start);
    options.world = zuora::WorldOptions {
        accounts: diary.accounts,
        ..zuora::WorldOptions::demo(diary.seed, start)
    };
    options.now = Some(now);
    options
}

fn read(path: &Path) -> Outcome<Option<Diary>> {
    let fail =
        |message: &str| Error::new(ErrorKind::Config, message).context("path", path.display());
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail("read the demo's diary").source(error).into()),
    };
    let diary: Diary = serde_json::from_slice(&bytes).map_err(|error| {
        fail("understand the demo's diary")
            .source(error)
            .hint("start in a new folder")
    })?;
    if diary.format != FORMAT {
        return Err(fail("understand the diary of another version of the demo")
            .hint("start in a new folder")
            .into());
    }
    Ok(Some(diary))
}

fn write(path: &Path, diary: &Diary) -> Outcome {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::new(ErrorKind::Io, "make the demo's folder")
                .context("path", folder.display())
                .source(error)
        })?;
    }
    let mut bytes = serde_json::to_vec(diary)
        .map_err(|error| Error::bug("write the demo's diary as JSON").source(error))?;
    bytes.push(b'\n');
    fs::replace(path, &bytes, |_| {})?;
    Ok(())
}

fn project_file(
    known: &Credentials,
    desk: &zendesk::Credentials,
    tenant: &zuora::Credentials,
) -> String {
    format!(
        "# Written by `overlock demo`, which alone runs it: its company lives on a clock of its own, and the\n\
         # ports are those that its emulators got. To play with a running org, use `overlock sandbox`.\n\
         version = 1\n\n\
         [source.sfdc]\nconnector = \"salesforce\"\nlogin_url = \"http://127.0.0.1:7878\"\n\n\
         [source.sfdc.auth]\nkind = \"client_credentials\"\nclient_id = \"{}\"\n\
         client_secret = \"file:secrets/sandbox\"\n\n\
         [source.help]\nconnector = \"zendesk\"\nbase_url = \"http://127.0.0.1:7879\"\n\n\
         [source.help.auth]\nkind = \"client_credentials\"\nclient_id = \"{}\"\n\
         client_secret = \"file:secrets/zendesk\"\n\n\
         [source.billing]\nconnector = \"zuora\"\nbase_url = \"http://127.0.0.1:7880\"\n\n\
         [source.billing.auth]\nkind = \"oauth\"\nclient_id = \"{}\"\n\
         client_secret = \"file:secrets/zuora\"\n\n\
         [destination.lake]\nkind = \"local\"\npath = \"data\"\n",
        known.client_id, desk.client_id, tenant.client_id
    )
}
