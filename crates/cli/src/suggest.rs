//! "did you mean": finds the word somebody probably wanted to write.

/// The candidate nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| {
            // A shared beginning of four letters is meant too: `incr` for `incremental`.
            *distance <= limit || (lower.len() >= 4 && candidate.to_lowercase().starts_with(&lower))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A sentence for a hint: the nearest candidate, or the whole choice if it is short.
pub(crate) fn sentence<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(found) = nearest(word, candidates.iter().copied()) {
        return Some(format!("did you mean `{found}`?"));
    }
    match candidates.as_slice() {
        [] => None,
        [only] => Some(format!("there is only `{only}`")),
        several if several.len() <= 12 => Some(format!("use one of: {}", several.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        for (word, candidates, expected) in [
            (
                "primary_kee",
                &["primary_key", "source"][..],
                Some("primary_key"),
            ),
            ("rnu", &["run", "sync"], Some("run")),
            ("Acount", &["Account", "Contact"], Some("Account")),
            ("account", &["Account"], Some("Account")),
            ("mrege", &["merge", "append", "replace"], Some("merge")),
            (
                "incr",
                &["incremental", "full_refresh"],
                Some("incremental"),
            ),
            ("zebra", &["merge", "append"], None),
            ("x", &[], None),
        ] {
            assert_eq!(
                nearest(word, candidates.iter().copied()),
                expected,
                "{word}"
            );
        }
    }
}
