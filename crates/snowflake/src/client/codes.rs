//! What the codes of Snowflake's answers mean for a commit (snowflake.md, section 2).

use overlock_core::{Error, ErrorKind};

use crate::warehouse::Failure;

macro_rules! way_out {
    () => {
        "is refused again as long as the value is in it: correct it at the source, or leave the column out with \
         `exclude`, then `overlock state reset` the stream"
    };
}

/// The statement still runs; ask again at `getResultUrl`.
pub(crate) const IN_PROGRESS: [&str; 2] = ["333333", "333334"];

/// The session token is over, the session is not.
pub(crate) const SESSION_EXPIRED: &str = "390112";

/// The session is over: its token expired, or the server does not know it any more.
const SESSION_OVER: [&str; 6] = ["390103", "390104", "390112", "390113", "390114", "390115"];

/// No valid JWT, and why.
const JWT: [(&str, &str); 8] = [
    (
        "394301",
        "the clock of this machine may be slow: compare it with `date -u`",
    ),
    (
        "394302",
        "the clock of this machine may be fast: compare it with `date -u`",
    ),
    (
        "394303",
        "the clock of this machine may be off: compare it with `date -u`",
    ),
    (
        "394304",
        "the user has another public key: compare the fingerprint that `overlock check` shows with DESC USER",
    ),
    ("394305", "the key must be an RSA key of 2048 bits or more"),
    ("394306", "the key must be an RSA key of 2048 bits or more"),
    ("394307", "`account` must be the account of the host"),
    (
        "390144",
        "the user has another public key, or none: ALTER USER ... SET RSA_PUBLIC_KEY; check `account` and `user` too",
    ),
];

/// What to do about whatever may go away.
pub(crate) const AGAIN: &str =
    "nothing is half done: the package is kept, and the next run looks at the head and goes on";

/// What to do about a value that Snowflake does not take, now or later.
const BAD_VALUE: &str = concat!(
    "nothing became visible; the package is kept, and ",
    way_out!()
);

/// The same, of a value of more than 16 MB.
const TOO_LONG: &str = concat!(
    "a value is longer than a column of Snowflake holds; the package is kept, and ",
    way_out!()
);

/// An answer without success.
pub(crate) fn failure(code: &str, message: &str, is_login: bool) -> Failure {
    let shown = overlock_core::text::printable(message);
    let error = |kind, doing: &str| {
        Error::new(kind, format!("{doing}: Snowflake answered {code}: {shown}"))
            .context("code", code)
    };
    if is_login {
        let hint = JWT.iter().find(|(known, _)| *known == code).map_or(
            "check user, account and credentials; SYSTEM$GET_LOGIN_FAILURE_DETAILS tells more about a \
             uuid in the message",
            |(_, hint)| hint,
        );
        let hint = match code {
            "390303" | "390318" => "the OAuth token is over or wrong: fetch a new one",
            _ => hint,
        };
        return Failure::Refused(error(ErrorKind::Auth, "log in to Snowflake").hint(hint));
    }
    let statement = "run a statement in Snowflake";
    if SESSION_OVER.contains(&code) {
        let error = error(ErrorKind::Destination, "keep the session with Snowflake");
        return Failure::Lost(error.hint(AGAIN));
    }
    let hint = match code {
        // Missing, or not to be seen.
        "002003" => {
            return Failure::Missing(error(ErrorKind::Destination, statement).hint(
                "it is missing, or the role may not see it: `overlock check` lists the grants it needs",
            ));
        }
        "000606" => "no warehouse: set `warehouse`, and grant USAGE on it to the role",
        // Resource monitor (unverified).
        "090073" => {
            return Failure::Refused(error(ErrorKind::RateLimited, statement).hint(
                "a resource monitor stopped the warehouse; the packages are kept and load later",
            ));
        }
        "003001" => "the role lacks a grant: `overlock check` lists those it needs",
        "001003" => "this is a defect of overlock: please report it with the run id",
        "100082" => TOO_LONG,
        "100038" | "100069" | "100090" => BAD_VALUE,
        // Whatever else it is: looking at the head and trying again does no harm.
        _ => return Failure::Lost(error(ErrorKind::Destination, statement).hint(AGAIN)),
    };
    Failure::Refused(error(ErrorKind::Destination, statement).hint(hint))
}
