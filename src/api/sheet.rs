//! Settings as calls bring them: read strictly, so that one that is given twice is not silently the last.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Number;

use super::payload::Fields;
use crate::fleet::{Given, Sheet};

/// Why a body has no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SheetError {
    #[error(r#"the payload is an object of settings, such as {{"image": "web", "replicas": 2}}"#)]
    NoSettings,
    #[error(r#"the payload is {{"routes": [{{"host": "shop.example.org", "pool": "shop"}}, …]}}"#)]
    NoRoutes,
    #[error("The payload has the field '{0}' twice")]
    Twice(String),
}

/// What a setting is set to: a text, a number, true or false, a list of those, or a table of names and those.
#[derive(Deserialize)]
#[serde(untagged)]
enum Setting {
    One(Word),
    List(Vec<Word>),
    Table(Fields<Word>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(Number),
    Switch(bool),
}

/// A pool's settings, from an object of them.
pub(super) fn settings(body: &[u8]) -> Result<Sheet, SheetError> {
    sheet(serde_json::from_slice(body).map_err(|_| SheetError::NoSettings)?)
}

/// The settings of routes, from an object whose only field has a list of them.
pub(super) fn routes(body: &[u8]) -> Result<Vec<Sheet>, SheetError> {
    let fields: Fields<Vec<Fields<Setting>>> =
        serde_json::from_slice(body).map_err(|_| SheetError::NoRoutes)?;
    let mut fields = unique(fields)?;
    match fields.remove("routes") {
        Some(routes) if fields.is_empty() => routes.into_iter().map(sheet).collect(),
        _ => Err(SheetError::NoRoutes),
    }
}

fn sheet(settings: Fields<Setting>) -> Result<Sheet, SheetError> {
    let given = |setting| match setting {
        Setting::One(word) => Ok(Given::One(word.text())),
        Setting::List(words) => Ok(Given::List(words.into_iter().map(Word::text).collect())),
        Setting::Table(pairs) => {
            let pairs = unique(pairs)?.into_iter();
            Ok(Given::List(pairs.map(|(name, word)| format!("{name}={}", word.text())).collect()))
        }
    };
    unique(settings)?.into_iter().map(|(name, setting)| Ok((name, given(setting)?))).collect()
}

/// The fields by their names, which differ.
fn unique<V>(Fields(fields): Fields<V>) -> Result<BTreeMap<String, V>, SheetError> {
    let mut unique = BTreeMap::new();
    for (name, value) in fields {
        if unique.contains_key(&name) {
            return Err(SheetError::Twice(name));
        }
        unique.insert(name, value);
    }
    Ok(unique)
}

impl Word {
    fn text(self) -> String {
        match self {
            Word::Text(text) => text,
            Word::Number(number) => number.to_string(),
            Word::Switch(switch) => switch.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Given {
        Given::One(text.to_owned())
    }

    fn list(texts: &[&str]) -> Given {
        Given::List(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn settings_are_words_lists_of_them_and_tables() {
        let body = br#"{"image":"web","replicas":2,"bound":1.5,"slots":18446744073709551615,
            "container_writable":true,"upstream":["a:1",2,false],"env":{"B":"x y","A":-1},"key":[]}"#;
        let sheet = settings(body).unwrap();
        for (name, given) in [
            ("image", one("web")),
            ("replicas", one("2")),
            ("bound", one("1.5")),
            ("slots", one("18446744073709551615")),
            ("container_writable", one("true")),
            ("upstream", list(&["a:1", "2", "false"])),
            ("env", list(&["A=-1", "B=x y"])),
            ("key", list(&[])),
        ] {
            assert_eq!(sheet[name], given, "{name}");
        }
        assert_eq!(settings(b"{}"), Ok(Sheet::new()));
        assert_eq!(
            routes(br#"{"routes":[{"pool":"a","header":["x","y"]},{}]}"#),
            Ok(vec![
                Sheet::from([("pool".into(), one("a")), ("header".into(), list(&["x", "y"]))]),
                Sheet::new()
            ])
        );
    }

    #[test]
    fn nothing_is_taken_for_something_else() {
        let deep = "[".repeat(100_000);
        for body in [
            "",
            "null",
            "[]",
            "1",
            r#"{"a":null}"#,
            r#"{"a":[null]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":{"b":{}}}"#,
            r#"{"a":1} x"#,
            &deep,
        ] {
            assert_eq!(settings(body.as_bytes()), Err(SheetError::NoSettings), "{body}");
        }
        for body in [
            "",
            "[]",
            "{}",
            r#"{"routes":{}}"#,
            r#"{"routes":[1]}"#,
            r#"{"routes":null}"#,
            r#"{"routes":[],"other":[]}"#,
            r#"{"routes":[{"pool":null}]}"#,
            &deep,
        ] {
            assert_eq!(routes(body.as_bytes()), Err(SheetError::NoRoutes), "{body}");
        }
    }

    #[test]
    fn what_is_given_twice_is_refused_at_any_depth() {
        for (body, twice) in
            [(r#"{"rise":1,"image":"a","rise":1}"#, "rise"), (r#"{"env":{"A":"1","B":"2","A":"1"}}"#, "A")]
        {
            assert_eq!(settings(body.as_bytes()), Err(SheetError::Twice(twice.to_owned())), "{body}");
        }
        for (body, twice) in [
            (r#"{"routes":[],"routes":[]}"#, "routes"),
            (r#"{"routes":[{"pool":"a"},{"pool":"a","pool":"b"}]}"#, "pool"),
            (r#"{"routes":[{"header":{"a":1,"a":2}}]}"#, "a"),
        ] {
            assert_eq!(routes(body.as_bytes()), Err(SheetError::Twice(twice.to_owned())), "{body}");
        }
    }
}
