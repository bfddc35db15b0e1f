//! Which pools and routes there are, as it outlives the balancer: what calls made of what is configured.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::fleet::{DEFAULT, Given, Sheet};

/// The pools beside the default one, and the routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) pools: BTreeMap<String, Remembered>,
    routes: Routes,
    /// Those that are being removed, with what they were at last, until nothing is left of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) leaving: BTreeMap<String, Sheet>,
}

/// A pool: what the file says of it, and what it is. What a call made of it stays until the file changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    /// None for one that no file has.
    configured: Option<Sheet>,
    /// None for one that a call removed.
    pub(super) given: Option<Sheet>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Routes {
    configured: Vec<Sheet>,
    given: Vec<Sheet>,
}

impl Memory {
    /// What an earlier balancer left in this directory; nothing in a new one.
    pub(super) fn load(directory: &Path) -> io::Result<Self> {
        match fs::read(path(directory)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memory::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces what is stored, wholly or not at all. Settings may hold secrets: nobody else may read it.
    pub(super) fn save(&self, directory: &Path) -> io::Result<()> {
        if *self == Memory::default() {
            return Memory::clear(directory);
        }
        let new = directory.join("pools.json.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self).expect("plain values become JSON"))?;
        file.sync_all()?;
        fs::rename(&new, path(directory))?;
        File::open(directory)?.sync_all()
    }

    /// Forgets everything that is stored.
    pub(super) fn clear(directory: &Path) -> io::Result<()> {
        match fs::remove_file(path(directory)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Follows what the file says now. The pools that it does not have any more leave. One that a call removed is there
    /// again where the file's routes have changed and lead to it.
    pub(super) fn follow(&mut self, pools: &BTreeMap<String, Sheet>, routes: &[Sheet]) {
        let is_gone =
            |name: &String, pool: &Remembered| pool.configured.is_some() && !pools.contains_key(name);
        let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.pools).into_iter().partition(|(name, pool)| is_gone(name, pool));
        self.pools = kept;
        self.leaving.extend(gone.into_iter().filter_map(|(name, pool)| Some((name, pool.given?))));
        for (name, sheet) in pools {
            let pool = self.pools.entry(name.clone()).or_default();
            if pool.configured.as_ref() != Some(sheet) {
                *pool = Remembered { configured: Some(sheet.clone()), given: Some(sheet.clone()) };
            }
        }
        if self.routes.configured != routes {
            self.routes = Routes { configured: routes.to_vec(), given: routes.to_vec() };
            for name in routes.iter().map(target) {
                if let Some(pool) = self.pools.get_mut(name).filter(|pool| pool.given.is_none()) {
                    pool.given = pool.configured.clone();
                }
            }
        }
        let stays = |name: &String| self.pools.get(name).is_some_and(|pool| pool.given.is_some());
        self.leaving.retain(|name, _| !stays(name));
    }

    /// What a pool is, or was before it began to leave.
    pub(super) fn settings(&self, name: &str) -> Option<&Sheet> {
        let given = self.pools.get(name).and_then(|pool| pool.given.as_ref());
        given.or_else(|| self.leaving.get(name))
    }

    /// Notes what a call made of a pool.
    pub(super) fn put(&mut self, name: &str, sheet: Sheet) {
        self.leaving.remove(name);
        self.pools.entry(name.to_owned()).or_default().given = Some(sheet);
    }

    /// Notes that a call removes a pool.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(given) = self.pools.get_mut(name).and_then(|pool| pool.given.take()) {
            self.leaving.insert(name.to_owned(), given);
        }
        self.pools.retain(|_, pool| pool.configured.is_some() || pool.given.is_some());
    }

    /// Notes that nothing is left of a pool that was leaving.
    pub(super) fn forget(&mut self, name: &str) {
        self.leaving.remove(name);
    }

    /// The routes in force.
    pub(super) fn routes(&self) -> &[Sheet] {
        &self.routes.given
    }

    /// Has these be in force.
    pub(super) fn route(&mut self, routes: Vec<Sheet>) {
        self.routes.given = routes;
    }
}

/// The pool that a route leads to.
fn target(route: &Sheet) -> &str {
    match route.get("pool") {
        Some(Given::One(name)) => name,
        Some(Given::List(names)) => names.first().map_or(DEFAULT, String::as_str),
        None => DEFAULT,
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("pools.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(image: &str) -> Sheet {
        Sheet::from([("image".to_owned(), Given::One(image.to_owned()))])
    }

    fn file(pools: &[(&str, &str)]) -> BTreeMap<String, Sheet> {
        pools.iter().map(|(name, image)| ((*name).to_owned(), sheet(image))).collect()
    }

    fn now(memory: &Memory) -> Vec<(&str, Option<&Sheet>)> {
        memory.pools.iter().map(|(name, pool)| (name.as_str(), pool.given.as_ref())).collect()
    }

    #[test]
    fn what_a_call_changed_stays_until_the_file_changes() {
        let mut memory = Memory::default();
        memory.follow(&file(&[("a", "1"), ("b", "1")]), &[]);
        memory.put("a", sheet("2"));
        memory.put("own", sheet("9"));
        memory.remove("b");
        memory.follow(&file(&[("a", "1"), ("b", "1")]), &[]);
        assert_eq!(now(&memory), [("a", Some(&sheet("2"))), ("b", None), ("own", Some(&sheet("9")))]);
        memory.follow(&file(&[("a", "3"), ("b", "3")]), &[]);
        let own = sheet("9");
        assert_eq!(now(&memory), [("a", Some(&sheet("3"))), ("b", Some(&sheet("3"))), ("own", Some(&own))]);
        assert!(memory.leaving.is_empty(), "the file has it again");
        memory.put("a", sheet("4"));
        memory.follow(&file(&[("b", "3")]), &[]);
        assert_eq!(memory.leaving, file(&[("a", "4")]), "as it was at last");
        memory.remove("own");
        assert_eq!(now(&memory), [("b", Some(&sheet("3")))]);
    }

    #[test]
    fn a_pool_that_leaves_is_remembered_until_nothing_is_left_of_it() {
        let mut memory = Memory::default();
        memory.follow(&file(&[("a", "1")]), &[]);
        memory.put("own", sheet("2"));
        memory.remove("own");
        assert_eq!(memory.leaving, file(&[("own", "2")]));
        memory.follow(&BTreeMap::new(), &[]);
        memory.follow(&BTreeMap::new(), &[]);
        assert_eq!(memory.leaving, file(&[("a", "1"), ("own", "2")]));
        assert_eq!(memory.settings("a"), Some(&sheet("1")));
        memory.forget("a");
        memory.put("own", sheet("3"));
        assert!(memory.leaving.is_empty(), "one that is made again does not leave");
        assert_eq!(memory.settings("own"), Some(&sheet("3")));
    }

    #[test]
    fn new_routes_of_the_file_bring_the_pools_back_that_calls_removed() {
        let route = |path: &str| {
            let one = |text: &str| Given::One(text.to_owned());
            Sheet::from([("pool".to_owned(), one("a")), ("path".to_owned(), one(path))])
        };
        let mut memory = Memory::default();
        memory.follow(&file(&[("a", "1"), ("b", "1")]), &[route("/a")]);
        memory.route(Vec::new());
        memory.remove("a");
        memory.remove("b");
        memory.follow(&file(&[("a", "1"), ("b", "1")]), &[route("/a")]);
        assert_eq!(now(&memory), [("a", None), ("b", None)], "the file is as it was");
        memory.follow(&file(&[("a", "1"), ("b", "1")]), &[route("/other")]);
        assert_eq!(now(&memory), [("a", Some(&sheet("1"))), ("b", None)]);
        assert_eq!(memory.leaving, file(&[("b", "1")]));
        assert_eq!(memory.routes(), [route("/other")]);
    }

    #[test]
    fn routes_of_a_call_stay_until_those_of_the_file_change() {
        let mut memory = Memory::default();
        memory.follow(&BTreeMap::new(), &[sheet("1")]);
        memory.route(vec![sheet("2")]);
        memory.follow(&BTreeMap::new(), &[sheet("1")]);
        assert_eq!(memory.routes(), [sheet("2")]);
        memory.follow(&BTreeMap::new(), &[]);
        assert!(memory.routes().is_empty());
    }

    #[test]
    fn what_is_stored_is_found_again_and_nobody_elses_to_read() {
        use std::os::unix::fs::PermissionsExt;
        let directory = std::env::temp_dir().join(format!("ringkeeper-memory-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut memory = Memory::load(&directory).unwrap();
        memory.put("a", sheet("1"));
        memory.save(&directory).unwrap();
        assert_eq!(Memory::load(&directory).unwrap(), memory);
        assert_eq!(path(&directory).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        memory.remove("a");
        memory.save(&directory).unwrap();
        assert_eq!(Memory::load(&directory).unwrap().leaving, file(&[("a", "1")]));
        memory.forget("a");
        memory.save(&directory).unwrap();
        assert!(!path(&directory).exists());
        fs::remove_dir_all(&directory).unwrap();
    }
}
