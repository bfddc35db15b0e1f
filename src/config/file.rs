//! `ringkeeper.toml`: what it sets, and in which line.

use std::{ops::Range, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A configuration file that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What it sets, in the order of its lines; no key is there twice.
    pub entries: Vec<Entry>,
    /// Its tables of the pools beside the default one, each with its name.
    pub pools: Vec<(String, Table)>,
    /// Its tables of routes.
    pub routes: Vec<Table>,
}

/// A table of settings in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Where it begins.
    pub line: usize,
    /// What it sets, in the order of its lines.
    pub entries: Vec<Entry>,
}

/// A setting in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name.
    pub key: String,
    /// Where it stands.
    pub line: usize,
    /// How it is written.
    pub shape: Shape,
    /// What it is set to: one value, or those of a list or a table.
    pub values: Vec<Value>,
}

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A text, a number, true or false.
    One,
    /// An array.
    List,
    /// A table, of which each `NAME = VALUE` is a value `NAME=VALUE`.
    Table,
}

/// A value as a flag would have it, and as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// What is meant.
    pub text: String,
    /// How it is written.
    pub written: String,
    /// Where it stands.
    pub line: usize,
}

/// The text of a file, for places in it.
struct Source<'a> {
    path: PathBuf,
    text: &'a str,
}

impl File {
    /// Reads the text of the file, or says what is wrong in which lines.
    pub(super) fn parse(path: PathBuf, text: &str) -> Result<Self, Vec<String>> {
        let source = Source { path, text };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mut problems: Vec<(usize, String)> =
                errors.iter().map(|error| source.syntax(error, table.get_ref())).collect();
            problems.dedup_by_key(|(line, _)| *line); // what follows the first in a line comes from it
            return Err(problems.into_iter().map(|(_, problem)| problem).collect());
        }
        let mut file = File { path: source.path.clone(), entries: vec![], pools: vec![], routes: vec![] };
        let mut problems = Vec::new();
        for (key, value) in table.get_ref() {
            let read = match (&**key.get_ref(), value.get_ref()) {
                ("pools", DeValue::Table(pools)) => source.pools(pools).map(|pools| file.pools = pools),
                ("routes", DeValue::Array(routes)) => {
                    source.routes(routes).map(|routes| file.routes = routes)
                }
                ("pools", _) => Err(vec![source.says_of(key, "pools are tables such as [pools.web]")]),
                ("routes", _) => Err(vec![source.says_of(key, "routes are tables, each [[routes]]")]),
                _ => match source.entry(key, value) {
                    Ok(entry) => {
                        file.entries.push(entry);
                        Ok(())
                    }
                    Err(problem) => Err(vec![problem]),
                },
            };
            problems.extend(read.err().into_iter().flatten());
        }
        file.entries.sort_by_key(|entry| entry.line);
        if problems.is_empty() { Ok(file) } else { Err(problems) }
    }

    /// What it says of this setting.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// A line of it, as people and editors write it; where it has no lines, what it is.
    pub(super) fn line(&self, line: usize) -> String {
        match line {
            0 => self.path.display().to_string(),
            line => format!("{}:{line}", self.path.display()),
        }
    }
}

impl Source<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
    }

    /// What stands there, as far as the end of its line.
    fn written(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    }

    fn pools(&self, pools: &DeTable<'_>) -> Result<Vec<(String, Table)>, Vec<String>> {
        let mut read = Vec::new();
        for (name, value) in pools {
            match value.get_ref() {
                DeValue::Table(settings) => {
                    read.push((
                        name.get_ref().to_string(),
                        self.table(self.line(name.span().start), settings)?,
                    ));
                }
                _ => return Err(vec![self.says_of(name, "a pool is a table such as [pools.web]")]),
            }
        }
        read.sort_by_key(|(_, table)| table.line);
        Ok(read)
    }

    fn routes(&self, routes: &[Spanned<DeValue<'_>>]) -> Result<Vec<Table>, Vec<String>> {
        let table = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::Table(settings) => self.table(self.line(value.span().start), settings),
            _ => Err(vec![self.says(self.line(value.span().start), "a route is a table, each [[routes]]")]),
        };
        routes.iter().map(table).collect()
    }

    fn table(&self, line: usize, settings: &DeTable<'_>) -> Result<Table, Vec<String>> {
        let read = settings.iter().map(|(key, value)| self.entry(key, value));
        let (entries, problems): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
        let mut entries: Vec<Entry> = entries.into_iter().flatten().collect();
        entries.sort_by_key(|entry| entry.line);
        let problems: Vec<String> = problems.into_iter().filter_map(Result::err).collect();
        if problems.is_empty() { Ok(Table { line, entries }) } else { Err(problems) }
    }

    fn says_of(&self, key: &Spanned<std::borrow::Cow<'_, str>>, what: &str) -> String {
        self.says(self.line(key.span().start), what)
    }

    fn says(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }

    /// The line of an error, and what to say of it.
    fn syntax(&self, error: &toml::de::Error, table: &DeTable<'_>) -> (usize, String) {
        let span = error.span().unwrap_or(0..0);
        let line = self.line(span.start);
        let text = self.written(span);
        let first = table.iter().find(|(key, _)| key.get_ref() == text.as_str());
        let what = match (error.message(), first) {
            ("duplicate key", Some((key, _))) => {
                format!("'{text}' is set a second time, after line {}", self.line(key.span().start))
            }
            (message, _) => format!("{}: {message}", self.key_of(line)),
        };
        (line, self.says(line, &what))
    }

    /// A line up to its `=`: what comes after may be secret.
    fn key_of(&self, line: usize) -> String {
        let text = self.text.lines().nth(line - 1).unwrap_or_default().trim();
        text.split_once('=').map_or(text.to_owned(), |(key, _)| format!("{} = …", key.trim()))
    }

    fn entry(
        &self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, String> {
        let (line, name) = (self.line(key.span().start), key.get_ref());
        let one = |value: &Spanned<DeValue<'_>>| {
            let no_value =
                || format!("{name} = {}: not a text, a number, true or false", self.written(value.span()));
            self.value(value).ok_or_else(|| self.says(self.line(value.span().start), &no_value()))
        };
        let (shape, values) = match value.get_ref() {
            DeValue::Array(values) => (Shape::List, values.iter().map(one).collect::<Result<_, _>>()?),
            DeValue::Table(table) => {
                let named = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, _)| {
                    one(value)
                        .map(|value| Value { text: format!("{}={}", name.get_ref(), value.text), ..value })
                };
                (Shape::Table, table.iter().map(named).collect::<Result<_, _>>()?)
            }
            _ => (Shape::One, vec![one(value)?]),
        };
        Ok(Entry { key: name.to_string(), line, shape, values })
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => {
                i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string()
            }
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(switch) => switch.to_string(),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
        };
        let span = value.span();
        Some(Value { text, line: self.line(span.start), written: self.written(span) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, Vec<String>> {
        File::parse("r.toml".into(), text)
    }

    #[test]
    fn every_value_is_known_by_its_line() {
        let file = parse("# first\nreplicas = 0x10\n\nenv = [\n  \"A=1\",\n  \"B=2\", ]\n[other]\nC = true")
            .unwrap();
        let seen: Vec<_> = file
            .entries
            .iter()
            .flat_map(|entry| {
                entry.values.iter().map(|v| (entry.key.as_str(), entry.line, v.line, v.text.as_str()))
            })
            .collect();
        assert_eq!(
            seen,
            [("replicas", 2, 2, "16"), ("env", 4, 5, "A=1"), ("env", 4, 6, "B=2"), ("other", 7, 8, "C=true")]
        );
    }

    #[test]
    fn pools_and_routes_are_tables_of_their_own() {
        let file = parse(
            "rise = 2\n[pools.web]\nimage = \"web\"\n[pools.api]\nreplicas = 2\n[[routes]]\npool = \"web\"\n[[routes]]\nhost = [\"a\"]",
        )
        .unwrap();
        let keys = |entries: &[Entry]| entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&file.entries), ["rise"]);
        let pools: Vec<_> = file
            .pools
            .iter()
            .map(|(name, table)| (name.as_str(), table.line, keys(&table.entries)))
            .collect();
        assert_eq!(pools, [("web", 2, vec!["image".to_owned()]), ("api", 4, vec!["replicas".to_owned()])]);
        let routes: Vec<_> = file.routes.iter().map(|table| (table.line, keys(&table.entries))).collect();
        assert_eq!(routes, [(6, vec!["pool".to_owned()]), (8, vec!["host".to_owned()])]);
        for (text, expected) in [
            ("pools = 1", "r.toml:1: pools are tables"),
            ("[pools]\nweb = 1", "r.toml:2: a pool is a table"),
            ("[routes]", "r.toml:1: routes are tables"),
            ("routes = [1]", "r.toml:1: a route is a table"),
        ] {
            assert!(parse(text).unwrap_err()[0].starts_with(expected), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_without_what_may_be_secret() {
        for (text, expected) in [
            ("a = 1\n\na = 2", "r.toml:3: 'a' is set a second time, after line 1"),
            ("a = 1\nadmin_token = \"geheim\nb = 2", "r.toml:2: admin_token = …: invalid basic string"),
            ("a = 1\nb", "r.toml:2: b: "),
            ("a = 2020-01-01", "r.toml:1: a = 2020-01-01: not a text, a number, true or false"),
            ("a = [\n1,\n[2]]", "r.toml:3: a = [2]: not a text"),
        ] {
            let problems = parse(text).unwrap_err();
            assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
            assert!(problems.iter().all(|problem| !problem.contains("geheim")), "{problems:?}");
        }
    }
}
