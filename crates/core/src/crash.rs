//! Named crash points: places where a test kills the process to prove that the next run repairs it.
//!
//! Write `crash_point!("P5.after_rename")` between two steps. Without the feature `failpoints` it
//! compiles to nothing. With it, [`arm`] chooses where the process aborts.

/// Every crash point there is, in the order of the commit protocol. A test fails if one is never hit.
pub const POINTS: &[&str] = &[
    "P0.before_lock",
    "P0.after_lock",
    "P1.before_head",
    "P1.after_head",
    "P2.before_recover",
    "P2.after_recover",
    "P3.before_mkdir",
    "P3.after_mkdir",
    "P3.after_manifest",
    "P4.before_part",
    "P4.part_opened",
    "P4.row_group_written",
    "P4.part_written",
    "P4.after_fsync",
    "P4.after_rename",
    "P4.after_folder_fsync",
    "P5.before_manifest",
    "P5.manifest_written",
    "P5.after_fsync",
    "P5.after_rename",
    "P5.after_folder_fsync",
    "P6.before_seal",
    "P6.after_seal",
    "P7.before_commit",
    "P10.before_rename",
    "P10.after_rename",
    "P10.after_folder_fsync",
    "P10.before_head_file",
    "P10.after_head_file",
    "P11.before_confirm",
    "P11.after_confirm",
    "P12.before_clean",
    "P12.after_clean",
    "H1.before_send",
    "H2.after_headers",
    "H3.body_chunk",
    "H4.after_body",
    "T1.before_token_file",
    "T2.token_written",
    "T3.after_token_rename",
    "S1.after_job_created",
    "S2.after_job_complete",
    "S3.after_page",
    "S4.before_job_delete",
    "S5.after_ids",
];

/// Aborts the process here if a test armed this point.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash::hit($name)
    };
}

/// Whether the crash points are compiled in.
pub const ENABLED: bool = cfg!(feature = "failpoints");

/// Arms the crash points of this process from a text, once:
/// `NAME` or `NAME:3` aborts at the first or third time NAME is reached, `NAME=panic` panics there instead;
/// `seed=7,p=0.01` aborts at each point with this probability;
/// `log=PATH` appends the name of each point that is reached to a file.
/// Several may be joined by `;`.
///
/// # Errors
/// `Config` if the text is not of this form, names an unknown point, or crash points are not compiled in.
pub fn arm(text: &str) -> crate::Result<()> {
    imp::arm(text)
}

#[cfg(not(feature = "failpoints"))]
mod imp {
    pub(super) fn arm(_: &str) -> crate::Result<()> {
        Err(crate::Error::new(
            crate::ErrorKind::Config,
            "arm a crash point: this build has none",
        ))
    }

    #[inline]
    pub(super) fn hit(_: &'static str) {}
}

/// Called by `crash_point!`; does nothing unless this process was armed.
#[inline]
pub fn hit(name: &'static str) {
    imp::hit(name);
}

#[cfg(feature = "failpoints")]
mod imp {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock};

    use crate::error::{Error, ErrorKind, Result};

    #[derive(Default)]
    struct Plan {
        at: Option<At>,
        random: Option<(AtomicU64, f64)>,
        log: Option<Mutex<std::fs::File>>,
        seen: AtomicU64,
    }

    struct At {
        name: String,
        nth: u64,
        panic: bool,
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();

    pub(super) fn arm(text: &str) -> Result<()> {
        let refuse = || {
            Error::new(
                ErrorKind::Config,
                format!("arm a crash point from `{text}`"),
            )
        };
        let mut plan = Plan::default();
        for item in text.split(';').filter(|item| !item.is_empty()) {
            if let Some(path) = item.strip_prefix("log=") {
                let file = std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path);
                plan.log = Some(Mutex::new(file.map_err(|error| refuse().source(error))?));
            } else if let Some(rest) = item.strip_prefix("seed=") {
                let (seed, p) = rest.split_once(",p=").ok_or_else(refuse)?;
                let seed: u64 = seed.parse().map_err(|_| refuse())?;
                plan.random = Some((AtomicU64::new(seed), p.parse().map_err(|_| refuse())?));
            } else {
                let (item, panic) = match item.strip_suffix("=panic") {
                    Some(item) => (item, true),
                    None => (item, false),
                };
                let (name, nth) = item.split_once(':').unwrap_or((item, "1"));
                if !super::POINTS.contains(&name) {
                    return Err(refuse());
                }
                plan.at = Some(At {
                    name: name.to_owned(),
                    nth: nth.parse().map_err(|_| refuse())?,
                    panic,
                });
            }
        }
        PLAN.set(plan).map_err(|_| refuse())
    }

    pub(super) fn hit(name: &'static str) {
        debug_assert!(
            super::POINTS.contains(&name),
            "crash point {name} is not in the table"
        );
        let Some(plan) = PLAN.get() else { return };
        if let Some(log) = &plan.log
            && let Ok(mut file) = log.lock()
            && writeln!(file, "{name}").is_err()
        {
            std::process::abort();
        }
        if let Some(at) = &plan.at
            && at.name == name
            && plan.seen.fetch_add(1, Ordering::SeqCst) + 1 == at.nth
        {
            // A defect of ours, as far as everybody above is concerned.
            assert!(!at.panic, "crash point {name}");
            std::process::abort();
        }
        if let Some((state, p)) = &plan.random {
            // splitmix64: small, seeded, good enough to choose where to die.
            let mut z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            #[expect(
                clippy::cast_precision_loss,
                reason = "a probability needs no more than 53 bits"
            )]
            if ((z >> 11) as f64) / ((1_u64 << 53) as f64) < *p {
                std::process::abort();
            }
        }
    }
}
