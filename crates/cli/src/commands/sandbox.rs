//! `overlock sandbox`: one emulator alone, for other programs and for trying things out.

use overlock_core::{Clock as _, Error, ErrorKind, SystemClock, Timestamp};
use overlock_salesforce::emulator::{SalesforceSandbox, SandboxOptions, WorldOptions};
use overlock_sandbox::{Plan, Random};
use overlock_zendesk::emulator as desk;
use overlock_zuora::emulator as billing;
use serde_json::json;

use crate::app::{App, runtime};
use crate::args::{Sandbox, SandboxOf};
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
    match arguments.of {
        SandboxOf::Salesforce => {
            let sandbox = salesforce(arguments, now)?;
            tell_salesforce(app, &sandbox);
            serve(app)?;
            drop(sandbox);
        }
        SandboxOf::Zendesk => {
            let sandbox = zendesk(arguments, now)?;
            tell_zendesk(app, &sandbox);
            serve(app)?;
            drop(sandbox);
        }
        SandboxOf::Zuora => {
            let sandbox = zuora(arguments, now)?;
            tell_zuora(app, &sandbox);
            serve(app)?;
            drop(sandbox);
        }
    }
    // Being stopped is how this command ends well.
    App::ok()
}

/// History ends a day ago, so that some changes are new today.
fn start(now: Timestamp) -> Timestamp {
    now.minus(std::time::Duration::from_secs(86_400))
}

fn faults(arguments: &Sandbox) -> Plan {
    Plan {
        random: arguments
            .faults
            .map(|share| Random::new(arguments.seed, share)),
        ..Plan::default()
    }
}

fn port_hint(error: Error, arguments: &Sandbox) -> Error {
    if arguments.port == 0 || error.kind() != ErrorKind::Io {
        return error;
    }
    error
        .with_kind(ErrorKind::Config)
        .hint("choose another port, or leave --port out to get a free one")
}

fn salesforce(arguments: &Sandbox, now: Timestamp) -> Outcome<SalesforceSandbox> {
    let start = start(now);
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
    options.faults = faults(arguments);
    Ok(SalesforceSandbox::start(options).map_err(|error| port_hint(error, arguments))?)
}

fn zendesk(arguments: &Sandbox, now: Timestamp) -> Outcome<desk::ZendeskSandbox> {
    let start = start(now);
    let mut options = desk::SandboxOptions::tiny(arguments.seed, start);
    let share = |count: u32| (count * arguments.scale / 100).max(1);
    let world = desk::WorldOptions::demo(arguments.seed, start);
    options.world = desk::WorldOptions {
        tickets: share(world.tickets),
        users: share(world.users).max(20),
        organizations: share(world.organizations),
        nasty: arguments.nasty,
        ..world
    };
    options.now = Some(now);
    options.clock_speed = 1;
    options.port = arguments.port;
    options.bench_tickets = arguments.bench_rows;
    options.behaviour.limits = arguments.bench_rows.is_none();
    options.faults = faults(arguments);
    Ok(desk::ZendeskSandbox::start(options).map_err(|error| port_hint(error, arguments))?)
}

fn tell_zendesk(app: &App, sandbox: &desk::ZendeskSandbox) {
    let url = sandbox.base_url();
    let known = sandbox.emulator().credentials();
    if app.output.is_json() {
        app.output.json(&json!({
            "url": url,
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "access_token": known.access_token,
            "refresh_token": known.refresh_token,
            "email": known.email,
            "api_token": known.api_token,
        }));
        return;
    }
    app.output.result(&format!(
        "Zendesk emulator on {url}\n\n\
         client id      {}\nclient secret  {}\naccess token   {}\nrefresh token  {}\n\
         email          {}\nAPI token      {}\n\n\
         # overlock.toml; then: overlock sync sandbox --stream tickets\n\
         version = 1\nallow_plain_secrets = true\n\n\
         [source.sandbox]\nconnector = \"zendesk\"\nbase_url = \"{url}\"\n\
         auth = {{ kind = \"client_credentials\", client_id = \"{}\", client_secret = \"{}\" }}\n\n\
         [destination.lake]\nkind = \"local\"\n",
        known.client_id,
        known.client_secret,
        known.access_token,
        known.refresh_token,
        known.email,
        known.api_token,
        known.client_id,
        known.client_secret,
    ));
}

fn zuora(arguments: &Sandbox, now: Timestamp) -> Outcome<billing::ZuoraSandbox> {
    let start = start(now);
    let mut options = billing::SandboxOptions::tiny(arguments.seed, start);
    options.world = billing::WorldOptions {
        accounts: (ACCOUNTS * arguments.scale / 100).max(1),
        nasty: arguments.nasty,
        ..billing::WorldOptions::demo(arguments.seed, start)
    };
    options.now = Some(now);
    options.clock_speed = 1;
    options.port = arguments.port;
    options.bench_rows = arguments.bench_rows;
    options.behaviour.limits = arguments.bench_rows.is_none();
    if arguments.bench_rows.is_some() {
        // What other clients cannot read is not what is measured.
        options.behaviour.bare_midnight = false;
        options.behaviour.plain_message = true;
    }
    options.faults = faults(arguments);
    Ok(billing::ZuoraSandbox::start(options).map_err(|error| port_hint(error, arguments))?)
}

fn tell_zuora(app: &App, sandbox: &billing::ZuoraSandbox) {
    let url = sandbox.base_url();
    let known = sandbox.emulator().credentials();
    if app.output.is_json() {
        app.output.json(&json!({
            "url": url,
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "user": known.user,
            "password": known.password,
        }));
        return;
    }
    app.output.result(&format!(
        "Zuora emulator on {url}\n\n\
         client id      {}\nclient secret  {}\nuser           {}\npassword       {}\n\n\
         # overlock.toml; then: overlock sync sandbox --stream Account\n\
         version = 1\nallow_plain_secrets = true\n\n\
         [source.sandbox]\nconnector = \"zuora\"\nbase_url = \"{url}\"\n\
         auth = {{ kind = \"oauth\", client_id = \"{}\", client_secret = \"{}\" }}\n\n\
         [destination.lake]\nkind = \"local\"\n",
        known.client_id,
        known.client_secret,
        known.user,
        known.password,
        known.client_id,
        known.client_secret,
    ));
}

fn tell_salesforce(app: &App, sandbox: &SalesforceSandbox) {
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
}

/// Waits for a signal or the time limit.
fn serve(app: &App) -> Outcome {
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
    Ok(())
}
