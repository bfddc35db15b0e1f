//! Settings that stand together under a name: a pool's or a route's, from a table of the file, from the control API, or
//! stored.

use clap::{Args, Command};

use super::{
    file::{Entry, File, Shape, Table, Value},
    meaning::{Common, Pool},
    pool::PoolArgs,
    refusal,
    route::RouteArgs,
    settings::{Origin, Setting},
    source,
};
use crate::{
    fleet::{Given, Sheet},
    proxy::Route,
};

/// The longest name of a pool.
const LONGEST_NAME: usize = 32;

/// What a file has beside the settings of the default pool.
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// The pools.
    pub pools: Vec<Section>,
    /// The routes.
    pub routes: Vec<Section>,
}

/// The settings of a pool or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The pool's name.
    pub name: Box<str>,
    /// Where it begins.
    line: usize,
    file: File,
}

impl Sections {
    /// Those of a file.
    pub(super) fn of(file: File) -> Self {
        let section = |name: &str, table: Table| {
            let file =
                File { path: file.path.clone(), entries: table.entries, pools: vec![], routes: vec![] };
            Section { name: name.into(), line: table.line, file }
        };
        Sections {
            pools: file.pools.iter().map(|(name, table)| section(name, table.clone())).collect(),
            routes: file.routes.iter().map(|table| section("", table.clone())).collect(),
        }
    }

    /// What is set in them, each with its place: `pools.NAME.SETTING` and, counted from 1, `routes.N.SETTING`.
    pub fn settings(&self) -> impl Iterator<Item = Setting> {
        let pools = self.pools.iter().map(|section| (format!("pools.{}", section.name), section));
        let routes =
            self.routes.iter().enumerate().map(|(at, section)| (format!("routes.{}", at + 1), section));
        pools.chain(routes).flat_map(|(place, Section { file, .. })| {
            file.entries.iter().map(move |entry| Setting {
                name: format!("{place}.{}", entry.key),
                values: entry.values.iter().map(|value| value.text.clone()).collect(),
                origin: Origin::File(file.path.clone(), entry.line),
            })
        })
    }

    /// All that is wrong with them.
    pub(super) fn check(&self, common: &Common) -> Result<(), Vec<String>> {
        let pools = self.pools.iter().filter_map(|section| section.pool(common).err());
        let routes = self.routes.iter().filter_map(|section| match section.route() {
            Ok(route) if self.has_pool(&route.pool) => None,
            Ok(route) => Some(vec![section.says(&format!("there is no pool '{}'", route.pool))]),
            Err(problems) => Some(problems),
        });
        let problems: Vec<String> = pools.chain(routes).flatten().collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn has_pool(&self, name: &str) -> bool {
        name == "default" || self.pools.iter().any(|section| *section.name == *name)
    }
}

impl Section {
    /// Settings that are in no file; `place` says where else they are from.
    pub fn of_sheet(place: &str, name: &str, sheet: &Sheet) -> Self {
        let value = |text: &String| Value { text: text.clone(), written: text.clone(), line: 0 };
        let entry = |(key, given): (&String, &Given)| {
            let (shape, values) = match given {
                Given::One(text) => (Shape::One, vec![value(text)]),
                Given::List(texts) => (Shape::List, texts.iter().map(value).collect()),
            };
            Entry { key: key.clone(), line: 0, shape, values }
        };
        let entries = sheet.iter().map(entry).collect();
        let file = File { path: place.into(), entries, pools: Vec::new(), routes: Vec::new() };
        Section { name: name.into(), line: 0, file }
    }

    /// What is set.
    pub fn sheet(&self) -> Sheet {
        let given = |entry: &Entry| {
            let mut texts = entry.values.iter().map(|value| value.text.clone());
            match entry.shape {
                Shape::One => Given::One(texts.next().unwrap_or_default()),
                Shape::List | Shape::Table => Given::List(texts.collect()),
            }
        };
        self.file.entries.iter().map(|entry| (entry.key.clone(), given(entry))).collect()
    }

    /// The pool that it means, or all that is wrong with it.
    pub fn pool(&self, common: &Common) -> Result<Pool, Vec<String>> {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends = |text: &str| text.starts_with('-') || text.ends_with('-');
        let name = &*self.name;
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_part) || ends(name) {
            let what = format!("'{name}' is no name of a pool: up to {LONGEST_NAME} of a-z, 0-9 and '-'");
            return Err(vec![self.says(&what)]);
        }
        if name == "default" {
            return Err(vec![self.says("the default pool's settings stand at the top of the file")]);
        }
        let args: PoolArgs = self.args()?;
        Pool::of(name, &args, common).map_err(|error| vec![self.placed(&format!("{error:#}"))])
    }

    /// The route that it means, or all that is wrong with it.
    pub fn route(&self) -> Result<Route, Vec<String>> {
        let args: RouteArgs = self.args()?;
        args.route().map_err(|why| vec![self.placed(&why)])
    }

    /// Something about it, with its place.
    pub fn says(&self, what: &str) -> String {
        format!("{}: {what}", self.file.line(self.line))
    }

    fn args<A: Args>(&self) -> Result<A, Vec<String>> {
        let command = A::augment_args(Command::new("settings"));
        source::unknown(&command, &self.file)?;
        let said = source::by_file(&command, &self.file)?;
        let refused = |error: clap::Error| vec![self.says(&refusal::reason(&error))];
        let matches =
            source::layered(command.clone(), &said).try_get_matches_from(["settings"]).map_err(refused)?;
        A::from_arg_matches(&matches).map_err(refused)
    }

    /// A message that begins with a flag, with the place instead where that setting was made.
    fn placed(&self, message: &str) -> String {
        let Some(after) = message.strip_prefix("--") else { return self.says(message) };
        let ends = |c: char| !c.is_ascii_lowercase() && c != '-';
        let (flag, rest) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let key = flag.replace('-', "_");
        let line = self.file.get(&key).map_or(self.line, |entry| entry.line);
        format!("{}: {key}{rest}", self.file.line(line))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{engine::Kind, policy};

    fn sections(text: &str) -> Sections {
        Sections::of(File::parse("r.toml".into(), text).unwrap())
    }

    fn common() -> Common {
        Common { deployment: "test".parse().unwrap(), docker_concurrency: 1, adopt: false, is_ending: false }
    }

    #[test]
    fn a_table_is_a_pool_with_settings_of_its_own() {
        let text = "policy = \"random\"\n[pools.ml]\npolicy = \"least-requests\"\nupstream = [\"a:1\", \"b:2\"]\nresponse_timeout = \"1h\"";
        let pool = sections(text).pools[0].pool(&common()).unwrap();
        assert_eq!((&*pool.name, pool.engine), ("ml", Some(Kind::Fixed)));
        assert_eq!(pool.policy.kind, policy::Kind::LeastRequests);
        assert_eq!(pool.upstreams.len(), 2);
        assert_eq!(pool.proxy.response_timeout, Duration::from_secs(3600));
        assert_eq!(&*pool.fleet.pool, "ml");
    }

    /// Two pools at one host took each other's clients from their replicas: the cookie of either overwrote the other's.
    #[test]
    fn each_pool_has_a_cookie_of_its_own_and_the_default_one_that_which_is_set() {
        let text = "[pools.one]\nsticky = \"at\"\n[pools.t-2]\nsticky = \"at\"\n[pools.none]";
        let sections = sections(text);
        let cookie = |pool: &Pool| pool.proxy.exchange.sticky.as_ref().map(|it| it.name().to_owned());
        let mut cookies: Vec<_> =
            sections.pools.iter().map(|section| cookie(&section.pool(&common()).unwrap())).collect();
        cookies.sort();
        assert_eq!(cookies, [None, Some("at-one".to_owned()), Some("at-t-2".to_owned())]);
        let section = sections.pools.iter().find(|section| &*section.name == "one").unwrap();
        let args = section.args::<PoolArgs>().unwrap();
        assert_eq!(cookie(&Pool::of("default", &args, &common()).unwrap()).as_deref(), Some("at"));
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told_by_its_line() {
        for (text, expected) in [
            ("[pools.A]", "r.toml:1: 'A' is no name of a pool"),
            ("[pools.default]", "r.toml:1: the default pool's settings"),
            ("[pools.a]\nlisten = \"127.0.0.1:1\"", "r.toml:2: there is no setting 'listen'"),
            ("[pools.a]\n\nrise = 0", "r.toml:3: rise = 0: a whole number from 1"),
            ("[pools.a]\neject_time = \"0s\"", "r.toml:2: eject_time: a time above 0"),
            (
                "[pools.a]\nreplicas = 3\nupstream = \"a:1\"",
                "r.toml:2: replicas: of what is started elsewhere",
            ),
        ] {
            let problems = sections(text).pools[0].pool(&common()).unwrap_err();
            assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
        }
        for (text, expected) in [
            ("[[routes]]\nhost = \"a:80\"", "r.toml:2: host = \"a:80\": a host is a name"),
            ("[[routes]]\npoool = \"a\"", "r.toml:2: there is no setting 'poool'; did you mean 'pool'?"),
            ("[[routes]]\nstrip_prefix = true", "r.toml:2: strip_prefix: there is no path"),
        ] {
            let problems = sections(text).routes[0].route().unwrap_err();
            assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
        }
    }

    #[test]
    fn a_sheet_makes_the_same_pool_as_the_table_that_it_came_from() {
        let section =
            &sections("[pools.a]\nupstream = [\"a:1\", \"b:2\"]\nenv = { A = \"x y\" }\nbound = 1.5").pools
                [0];
        let again = Section::of_sheet("pool 'a'", "a", &section.sheet());
        assert_eq!(again.sheet(), section.sheet());
        let (pool, same) = (section.pool(&common()).unwrap(), again.pool(&common()).unwrap());
        assert_eq!(format!("{pool:?}"), format!("{same:?}"));
        let wrong = Sheet::from([("rise".to_owned(), Given::One("0".to_owned()))]);
        let problems = Section::of_sheet("pool 'a'", "a", &wrong).pool(&common()).unwrap_err();
        assert_eq!(problems, ["pool 'a': rise = 0: a whole number from 1"]);
    }
}
