//! `overlock schedule list|next`.

use overlock_core::{Clock as _, SystemClock};

use crate::app::App;
use crate::args::Schedule;
use crate::commands::run::last_start;
use crate::config::Wanted;
use crate::failure::Outcome;
use crate::render::listing::{Cell, Listing};

/// Runs one of them.
pub(crate) fn run(app: &App, verb: &Schedule) -> Outcome<u8> {
    let project = app.project(Wanted::All)?;
    let now = SystemClock.now();
    let work_dir = app.work_dir(&project);
    let mut listing = match verb {
        Schedule::List => Listing::new(&[
            "pipeline",
            "cron",
            "timezone",
            "last_start",
            "next_start",
            "due",
        ]),
        Schedule::Next { .. } => Listing::new(&["pipeline", "start", "local"]),
    };
    let mut starts = Vec::new();
    for name in &project.pipelines {
        let pipeline = project.pipeline(name)?;
        let Some(schedule) = &pipeline.schedule else {
            continue;
        };
        match verb {
            Schedule::List => {
                let last = last_start(&work_dir, &pipeline.name)?;
                let cron = pipeline
                    .file
                    .schedule
                    .as_ref()
                    .map(|table| table.cron.clone());
                listing.row(vec![
                    name.as_str().into(),
                    Cell::maybe(cron),
                    schedule.zone().into(),
                    Cell::maybe(last.map(overlock_core::Timestamp::floor_second)),
                    Cell::maybe(schedule.next_after(now)),
                    Cell::Flag(schedule.is_due(last, now)),
                ]);
            }
            Schedule::Next { count } => {
                let mut time = now;
                for _ in 0..*count {
                    let Some(next) = schedule.next_after(time) else {
                        break;
                    };
                    starts.push((next, name.clone(), schedule.local(next)));
                    time = next;
                }
            }
        }
    }
    starts.sort();
    for (start, name, local) in starts {
        listing.row(vec![name.into(), start.to_string().into(), local.into()]);
    }
    if listing.is_empty() && !app.output.is_json() {
        app.output.remark("no pipeline has a schedule");
        return App::ok();
    }
    app.output.listing(&listing);
    App::ok()
}
