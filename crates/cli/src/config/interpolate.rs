//! `${NAME}` and `${NAME:-default}` in texts; `$${` stands for a plain `${`.

use super::problem::Problem;
use super::tree::{Node, Value};
use crate::env::{Environment, is_name};
use crate::suggest;

/// Puts the variables into every text below a node.
pub(crate) fn node(node: &mut Node, environment: &Environment, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => match expand(text, environment) {
            Ok(expanded) => *text = expanded,
            Err((message, label)) => {
                problems.push(Problem::new(message).at(node.origin.clone()).label(label));
            }
        },
        Value::List(items) => {
            for item in items {
                self::node(item, environment, problems);
            }
        }
        Value::Table(table) => {
            for below in table.values_mut() {
                self::node(below, environment, problems);
            }
        }
        _ => {}
    }
}

/// Message and suggestion.
type Refusal = (String, Option<String>);

fn expand(text: &str, environment: &Environment) -> Result<String, Refusal> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            return Err((
                "`${` has no closing `}`".to_owned(),
                Some("write `$${` for a plain `${`".to_owned()),
            ));
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err((
                "the name in `${...}` is not one of a variable".to_owned(),
                Some("use letters, digits and `_`".to_owned()),
            ));
        }
        let Some(value) = environment.get(name).or(default) else {
            let label = match suggest::nearest(name, environment.names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("set it, or write ${{{name}:-default}}"),
            };
            let message = format!("the environment variable `{name}` is not set");
            return Err((message, Some(label)));
        };
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_defaults_are_put_in_once() {
        let environment = Environment::of(&[("HOST", "example.com"), ("EVIL", "${HOST}")]);
        for (text, expected) in [
            ("https://${HOST}/x", Some("https://example.com/x")),
            ("${PORT:-8080}", Some("8080")),
            ("${PORT:-}", Some("")),
            ("$${HOST}", Some("${HOST}")),
            ("${EVIL}", Some("${HOST}")),
            ("$HOST {x}", Some("$HOST {x}")),
            ("${PORT}", None),
            ("${HOST", None),
            ("${a b}", None),
        ] {
            assert_eq!(
                expand(text, &environment).ok().as_deref(),
                expected,
                "{text}"
            );
        }
        let (_, label) = expand("${HOTS}", &environment).unwrap_err();
        assert_eq!(label.as_deref(), Some("did you mean `HOST`?"));
    }
}
