//! Which pools and routes there are, as it outlives the balancer: what calls made of what is configured.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::fleet::Sheet;

/// The pools beside the default one, and the routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) pools: BTreeMap<String, Remembered>,
    routes: Routes,
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

    /// Follows what the file says now. Returns the pools that it does not have any more, with what they were; they are
    /// forgotten.
    pub(super) fn follow(
        &mut self,
        pools: &BTreeMap<String, Sheet>,
        routes: &[Sheet],
    ) -> BTreeMap<String, Sheet> {
        let is_gone =
            |name: &String, pool: &Remembered| pool.configured.is_some() && !pools.contains_key(name);
        let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.pools).into_iter().partition(|(name, pool)| is_gone(name, pool));
        self.pools = kept;
        for (name, sheet) in pools {
            let pool = self.pools.entry(name.clone()).or_default();
            if pool.configured.as_ref() != Some(sheet) {
                *pool = Remembered { configured: Some(sheet.clone()), given: Some(sheet.clone()) };
            }
        }
        if self.routes.configured != routes {
            self.routes = Routes { configured: routes.to_vec(), given: routes.to_vec() };
        }
        gone.into_iter().filter_map(|(name, pool)| Some((name, pool.given?))).collect()
    }

    /// Notes what a call made of a pool.
    pub(super) fn put(&mut self, name: &str, sheet: Sheet) {
        self.pools.entry(name.to_owned()).or_default().given = Some(sheet);
    }

    /// Notes that a call removed a pool.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(pool) = self.pools.get_mut(name) {
            pool.given = None;
        }
        self.pools.retain(|_, pool| pool.configured.is_some() || pool.given.is_some());
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

fn path(directory: &Path) -> PathBuf {
    directory.join("pools.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Given;

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
        assert!(memory.follow(&file(&[("a", "1"), ("b", "1")]), &[]).is_empty());
        assert_eq!(now(&memory), [("a", Some(&sheet("2"))), ("b", None), ("own", Some(&sheet("9")))]);
        assert!(memory.follow(&file(&[("a", "3"), ("b", "3")]), &[]).is_empty());
        let own = sheet("9");
        assert_eq!(now(&memory), [("a", Some(&sheet("3"))), ("b", Some(&sheet("3"))), ("own", Some(&own))]);
        memory.put("a", sheet("4"));
        assert_eq!(memory.follow(&file(&[("b", "3")]), &[]), file(&[("a", "4")]), "as it was at last");
        memory.remove("own");
        assert_eq!(now(&memory), [("b", Some(&sheet("3")))]);
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
        assert!(!path(&directory).exists());
        fs::remove_dir_all(&directory).unwrap();
    }
}
