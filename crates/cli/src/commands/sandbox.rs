//! `overlock sandbox`: the Salesforce emulator alone, for other programs and for trying things out.

use overlock_core::{Clock as _, ErrorKind, SystemClock};
use overlock_salesforce::emulator::{SalesforceSandbox, SandboxOptions, WorldOptions};
use overlock_sandbox::{Plan, Random};
use serde_json::json;

use crate::app::{App, runtime};
use crate::args::Sandbox;
use crate::failure::{Failure, Outcome};
use crate::signals::Signals;

/// Accounts of the emulated org at 100 percent.
pub(crate) const ACCOUNTS: u32 = 150;

/// Serves until a signal comes.
pub(crate) fn run(app: &App, arguments: &Sandbox) -> Outcome<u8> {
    let now = arguments
        .at
        .unwrap_or_else(|| SystemClock.now())
        .floor_second();
    // History ends a day ago, so that some changes are new today.
    let start = now.minus(std::time::Duration::from_secs(86_400));
    let mut options = SandboxOptions::tiny(arguments.seed, start);
    options.world = WorldOptions {
        scale: (ACCOUNTS * arguments.scale / 100).max(1),
        nasty: arguments.nasty,
        ..WorldOptions::demo(arguments.seed, start)
    };
    options.now = Some(now);
    options.clock_speed = 1;
    options.port = arguments.port;
    options.bench_rows = arguments.bench_rows;
    if let Some(share) = arguments.faults {
        options.faults = Plan {
            random: Some(Random::new(arguments.seed, share)),
            ..Plan::default()
        };
    }
    let sandbox = SalesforceSandbox::start(options).map_err(|error| {
        if arguments.port == 0 || error.kind() != ErrorKind::Io {
            return error;
        }
        error
            .with_kind(ErrorKind::Config)
            .hint("choose another port, or leave --port out to get a free one")
    })?;
    let url = sandbox.base_url();
    let known = sandbox.emulator().credentials().clone();
    if app.output.is_json() {
        app.output.json(&json!({
            "url": url,
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "username": known.username,
            "password": known.password,
            "security_token": known.security_token,
            "refresh_token": known.refresh_token,
        }));
    } else {
        app.output.result(&format!(
            "Salesforce emulator on {url}\n\n\
             client id       {}\nclient secret   {}\nusername        {}\npassword        {}\n\
             security token  {}\nrefresh token   {}\n\n\
             # overlock.toml; then: overlock sync sandbox --stream Account\n\
             version = 1\nallow_plain_secrets = true\n\n\
             [source.sandbox]\nconnector = \"salesforce\"\nlogin_url = \"{url}\"\n\
             auth = {{ kind = \"client_credentials\", client_id = \"{}\", client_secret = \"{}\" }}\n\n\
             [destination.lake]\nkind = \"local\"\n",
            known.client_id,
            known.client_secret,
            known.username,
            known.password,
            known.security_token,
            known.refresh_token,
            known.client_id,
            known.client_secret,
        ));
    }
    app.output
        .remark("these credentials open nothing but this emulator; Ctrl-C stops it");
    let runtime = runtime()?;
    let limit = app.global.timeout;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let over = async {
            match limit {
                Some(limit) => {
                    tokio::time::timeout(limit, std::future::pending::<()>())
                        .await
                        .ok();
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals.next() => {}
            () = over => {}
        }
        Ok::<_, Failure>(())
    })?;
    drop(sandbox);
    // Being stopped is how this command ends well.
    App::ok()
}
