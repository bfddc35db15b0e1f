//! A line for each route.

use ringkeeper_tools::{
    client::{DEFAULT, Settings},
    table,
};
use serde_json::json;

use super::{FAINT, one_line, styled, tame};
use crate::{
    args::{Format, Options},
    settings::typed,
};

/// What a route may ask of a request, in columns that are there where a route asks it.
const ASKED: [(&str, &str); 5] =
    [("listen", "LISTEN"), ("host", "HOST"), ("path", "PATH"), ("method", "METHOD"), ("header", "HEADER")];

/// The routes with their numbers, and where everything else goes.
pub fn routes(routes: &[Settings], options: &Options) -> String {
    match options.format() {
        Format::Json => one_line(&json!({ "routes": routes })),
        Format::Text if options.quiet => routes.iter().map(line).collect::<Vec<_>>().join("\n"),
        Format::Text => text(routes),
    }
}

fn text(routes: &[Settings]) -> String {
    if routes.is_empty() {
        return format!("no routes: every request is for pool '{DEFAULT}'");
    }
    let asked: Vec<_> =
        ASKED.iter().filter(|(name, _)| routes.iter().any(|r| r.contains_key(*name))).collect();
    let then = routes.iter().any(|route| !then(route).is_empty());
    let mut header = vec!["#", "POOL"];
    header.extend(asked.iter().map(|(_, title)| *title));
    header.extend(then.then_some("THEN"));
    let row = |(number, route): (usize, &Settings)| {
        let mut cells = vec![number.to_string(), value(route, "pool").unwrap_or_else(|| DEFAULT.into())];
        cells.extend(asked.iter().map(|(name, _)| value(route, name).unwrap_or_else(|| "any".into())));
        cells.extend(then.then(|| self::then(route)));
        cells
    };
    let mut lines = table::lines(&header, &["#"], (1..).zip(routes).map(row).collect());
    let rest = format!("of several the most specific one counts; the rest goes to pool '{DEFAULT}'");
    lines.extend([String::new(), styled(FAINT, &rest)]);
    lines.join("\n")
}

/// What becomes of a path, as far as it changes, and what this client does not know.
fn then(route: &Settings) -> String {
    let known = |name: &&String| *name == "pool" || ASKED.iter().any(|(asked, _)| asked == name);
    let rest = route.iter().filter(|(name, value)| !known(name) && **value != false);
    rest.map(|(name, value)| format!("{name}={}", tame(&typed(value)))).collect::<Vec<_>>().join(" ")
}

fn value(route: &Settings, name: &str) -> Option<String> {
    route.get(name).map(|value| tame(&typed(value)))
}

/// A route as it is typed.
fn line(route: &Settings) -> String {
    let settings = route.iter().filter(|(name, _)| *name != "pool");
    let settings = settings.map(|(name, value)| format!("{name}={}", tame(&typed(value))));
    let pool = value(route, "pool").unwrap_or_else(|| DEFAULT.into());
    std::iter::once(pool).chain(settings).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::show::tests::plain;

    fn two() -> Vec<Settings> {
        let of = |value: Value| value.as_object().expect("an object").clone();
        vec![
            of(json!({"path": "/ml", "method": ["GET", "POST"], "pool": "ml", "strip_prefix": true})),
            of(json!({"host": "*.example.org", "strip_prefix": false})),
        ]
    }

    #[test]
    fn a_route_has_a_line_with_the_columns_that_are_needed() {
        assert_eq!(
            plain(&routes(&two(), &Options::default())),
            "#  POOL     HOST           PATH  METHOD    THEN\n\
             1  ml       any            /ml   GET,POST  strip_prefix=true\n\
             2  default  *.example.org  any   any\n\n\
             of several the most specific one counts; the rest goes to pool 'default'"
        );
        assert!(routes(&[], &Options::default()).starts_with("no routes"));
    }

    #[test]
    fn quiet_a_route_is_what_adds_it() {
        let text = routes(&two()[..1], &Options { quiet: true, ..Options::default() });
        assert_eq!(text, "ml method=GET,POST path=/ml strip_prefix=true");
    }
}
