//! `kill -9` of the real binary at random moments: nothing is lost, doubled, altered, invented or stale.
//!
//! `OVERLOCK_KILLS=1000 cargo test -p overlock-tests --test kill` kills as often per mode; the default makes
//! more than 100 over the three modes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; the counts belong in the test's output"
)]

use std::time::{Duration, Instant};

use overlock_core::Manifest;
use overlock_tests::lab::{Lab, kill, signal};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

/// Kills per mode in the normal test run.
const KILLS: u64 = 36;

fn kills() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the documented knob of this test"
    )]
    let wanted = std::env::var("OVERLOCK_KILLS").ok();
    wanted.map_or(KILLS, |wanted| wanted.parse().unwrap())
}

/// Ids of the packages that are sealed and wait for their commit.
fn sealed(lab: &Lab) -> Vec<String> {
    let mut found = Vec::new();
    for path in overlock_tests::house::files(&lab.project.path().join(".overlock"), "json") {
        if path.file_name().is_some_and(|name| name == "manifest.json")
            && let Ok(text) = std::fs::read_to_string(&path)
            && let Ok(value) = serde_json::from_str::<serde_json::Value>(&text)
            && value["sealed"] == true
        {
            let manifest: Result<Manifest, _> = {
                let mut value = value;
                value.as_object_mut().unwrap().remove("crc32");
                serde_json::from_value(value)
            };
            found.push(manifest.unwrap().id.to_string());
        }
    }
    found
}

fn kill_at_random(seed: u64, modes: &str) {
    let streams = ["Account", "Opportunity", "Task"];
    let lab = Lab::new(seed, &streams)
        .all_streams(modes)
        // Small pages, files and packages, so that there is always something half done.
        .source("max_records = 40")
        .source("rest_below_rows = 10")
        .run_setting("file_every = \"1ms\"")
        .run_setting("seal_rows = 60");
    let mut random = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    lab.run().expect(0);
    let mut typical = begun.elapsed();
    let (mut killed, mut ended, mut recovered) = (0, 0, 0);
    while killed < kills() {
        if random.random_bool(0.4) {
            lab.advance(Duration::from_secs(random.random_range(60..200_000)));
        }
        let before = Instant::now();
        let mut child = lab.start();
        let moment = typical.mul_f64(random.random_range(0.0..1.1));
        std::thread::sleep(moment);
        if random.random_bool(0.1) {
            signal(child.id(), Signal::STOP);
            std::thread::sleep(Duration::from_millis(20));
            signal(child.id(), Signal::CONT);
        }
        kill(child.id());
        let status = child.wait().unwrap();
        if status.code().is_some() {
            ended += 1;
            typical = typical.mul_f64(0.5) + before.elapsed().mul_f64(0.5);
        } else {
            killed += 1;
        }
        let waiting = sealed(&lab);
        if killed % 6 == 5 || !waiting.is_empty() && random.random_bool(0.5) {
            lab.settle_and_judge();
            let commits: Vec<String> = streams
                .iter()
                .flat_map(|stream| lab.commits(stream))
                .collect();
            for id in waiting {
                assert!(
                    commits.contains(&id),
                    "the sealed package {id} was not committed"
                );
                recovered += 1;
            }
        }
        assert!(
            ended < 20 * kills() + 100,
            "the binary ends before it can be killed"
        );
    }
    lab.settle_and_judge();
    // A run with nothing new changes nothing that a reader sees.
    lab.run().expect(0);
    lab.judge();
    println!("{killed} kills, {ended} runs ended first, {recovered} sealed packages recovered");
}

#[test]
fn merge_survives_kills_at_random_moments() {
    // covers: R1, R5
    kill_at_random(101, "");
}

#[test]
fn append_survives_kills_at_random_moments() {
    // covers: R1, R5
    kill_at_random(102, "write_mode = \"append\"");
}

#[test]
fn replace_survives_kills_at_random_moments() {
    // covers: R1, R5
    kill_at_random(
        103,
        "read_mode = \"full_refresh\"\nwrite_mode = \"replace\"",
    );
}
