//! What was looked at, what of it is wrong, and how to mend it.

use serde_json::json;

use super::{BAD, GOOD, styled};
use crate::{
    args::{Format, Options},
    doctor::Finding,
};

/// A line for each, and below what is wrong the way out.
pub fn findings(findings: &[Finding], options: &Options) -> String {
    if options.format() == Format::Json {
        return json(findings);
    }
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or_default();
    let shown = findings.iter().filter(|finding| finding.found.is_err() || !options.quiet);
    shown.map(|finding| line(finding, width)).collect::<Vec<_>>().join("\n")
}

fn line(finding: &Finding, width: usize) -> String {
    let what = &finding.what;
    match &finding.found {
        Ok(good) => format!("{}     {what:width$}  {good}", styled(GOOD, "ok")),
        Err(wrong) => format!(
            "{}  {what:width$}  {}\n       {:width$}  {}",
            styled(BAD, "WRONG"),
            wrong.what,
            "",
            styled(anstyle::Style::new().bold(), &wrong.fix)
        ),
    }
}

fn json(findings: &[Finding]) -> String {
    let value = |finding: &Finding| match &finding.found {
        Ok(good) => json!({"what": finding.what, "ok": true, "found": good}),
        Err(wrong) => json!({"what": finding.what, "ok": false, "found": wrong.what, "fix": wrong.fix}),
    };
    json!(findings.iter().map(value).collect::<Vec<_>>()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::Wrong, show::tests::plain};

    fn two() -> Vec<Finding> {
        let wrong = Wrong { what: "nobody listens".into(), fix: "run `make`".into() };
        vec![
            Finding { what: "traffic".into(), found: Ok("3 replicas".into()) },
            Finding { what: "admin".into(), found: Err(wrong) },
        ]
    }

    #[test]
    fn what_is_wrong_comes_with_its_remedy() {
        let text = plain(&findings(&two(), &Options::default()));
        assert_eq!(
            text,
            "ok     traffic  3 replicas\nWRONG  admin    nobody listens\n                run `make`"
        );
    }

    #[test]
    fn quiet_only_what_is_wrong_is_shown() {
        let text = plain(&findings(&two(), &Options { quiet: true, ..Options::default() }));
        assert!(text.starts_with("WRONG"), "{text}");
    }
}
