//! What survives a restart: the desired set, in a directory that one balancer has at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    desired::{Configured, Departed, Desired, Want},
    pools::DEFAULT,
};
use crate::{
    engine::Kind,
    name::{InstanceId, Name, Number, Owner},
    ring::Weight,
};

/// The file with the address for operators.
const ADMIN: &str = "admin";

/// A state directory, locked for as long as this lives.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Held by the whole of it, also for the directories of pools within.
    lock: Arc<File>,
}

/// What a state directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The engine that was chosen at the first start.
    pub engine: Kind,
    /// The desired set.
    pub desired: Desired,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another balancer has it.
    #[error("another balancer is running with the state directory {}: stop it, or give this one another --state-dir", .0.display())]
    Locked(PathBuf),
    /// It cannot be read or written.
    #[error("cannot {attempt} {}: {source}; --state-dir sets another directory", .path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it was not written by this program.
    #[error("{} is not a state that this version can read: {why}; move it away and start with --adopt", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Store {
    /// Opens the directory, making it where it is not there, and locks it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { attempt, path, source }
        };
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        let path = directory.join("lock");
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = options.map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Store { directory: directory.to_owned(), lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }

    /// That of one pool, within it; the default one's is itself.
    pub fn of_pool(&self, name: &str) -> Result<Self, StoreError> {
        let directory = self.directory_of(name);
        fs::create_dir_all(&directory).map_err(|source| StoreError::Io {
            attempt: "create",
            path: directory.clone(),
            source,
        })?;
        Ok(Store { directory, lock: self.lock.clone() })
    }

    /// Removes what is left of a pool that is not the default one.
    pub fn forget_pool(&self, name: &str) {
        if name != DEFAULT {
            let _harmless_where_it_stays = fs::remove_dir_all(self.directory_of(name));
        }
    }

    /// Removes the directories of pools in which nothing is stored.
    pub fn sweep(&self) {
        let pools = self.pools();
        for pool in fs::read_dir(&pools).into_iter().flatten().flatten() {
            let _stays_where_something_is = fs::remove_dir(pool.path());
        }
        let _stays_where_something_is = fs::remove_dir(pools);
    }

    fn directory_of(&self, name: &str) -> PathBuf {
        if name == DEFAULT { self.directory.clone() } else { self.pools().join(name) }
    }

    fn pools(&self) -> PathBuf {
        self.directory.join("pools")
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes down where the balancer that has the directory listens for operators.
    pub fn announce(&self, admin: SocketAddr) -> Result<(), StoreError> {
        let path = self.directory.join(ADMIN);
        fs::write(&path, admin.to_string()).map_err(|source| StoreError::Io {
            attempt: "write",
            path,
            source,
        })
    }

    /// Where the balancer that has this directory listens for operators, if it wrote that down.
    pub fn announced(directory: &Path) -> Option<SocketAddr> {
        fs::read_to_string(directory.join(ADMIN)).ok()?.parse().ok()
    }

    /// What an earlier balancer left; `None` in a new directory.
    pub fn load(&self) -> Result<Option<Stored>, StoreError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { attempt: "read", path, source }),
        };
        let unreadable = |why: String| StoreError::Unreadable { path: self.path(), why };
        let file: StateFile = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        file.to_stored().map(Some).ok_or_else(|| unreadable("a name, number or id in it is none".into()))
    }

    /// Replaces what is stored: wholly, or after an error or a crash not at all (rename of a synced file).
    pub fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        let text =
            serde_json::to_vec_pretty(&StateFile::from_stored(stored)).expect("plain values become JSON");
        let new = self.directory.join("state.json.new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, self.path())?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|source| StoreError::Io { attempt: "write", path: self.path(), source })
    }

    /// Forgets what is stored.
    pub fn clear(&self) -> Result<(), StoreError> {
        match fs::remove_file(self.path()) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Io { attempt: "remove", path: self.path(), source })
            }
            _ => Ok(()),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("state.json")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    version: Version,
    engine: String,
    owner: String,
    configured: usize,
    /// The addresses, where it is these that are configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    upstreams: Vec<String>,
    /// Where replicas are looked for, where these are not the configured ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sources: Option<Vec<String>>,
    replicas: Vec<ReplicaRow>,
    /// Those that went and may come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    departed: Vec<DepartedRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DepartedRow {
    name: String,
    number: u16,
    /// Written only where it is so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    drained: bool,
}

#[derive(Serialize, Deserialize)]
enum Version {
    #[serde(rename = "1")]
    One,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplicaRow {
    name: String,
    number: u16,
    instance: String,
    weight: u8,
    joined: bool,
    up: bool,
    /// Written only where it is so: a balancer of before drains knew nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    drained: bool,
    /// The weight that its engine told; written only where that is another than 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    told: u8,
    /// Where it was found, where that has another name than it: none in what was written before that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

fn one() -> u8 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_one(weight: &u8) -> bool {
    *weight == 1
}

impl StateFile {
    fn from_stored(Stored { engine, desired }: &Stored) -> Self {
        let row = |want: &Want| ReplicaRow {
            name: want.name.to_string(),
            number: want.number.get(),
            instance: want.instance.to_string(),
            weight: want.weight.get(),
            joined: want.joined,
            up: want.up,
            drained: want.drained,
            told: want.told.get(),
            source: want.source.as_ref().map(Name::to_string),
        };
        let texts = |names: &[Name]| names.iter().map(Name::to_string).collect::<Vec<_>>();
        let departed = |gone: &Departed| DepartedRow {
            name: gone.name.to_string(),
            number: gone.number.get(),
            drained: gone.drained,
        };
        let (configured, upstreams) = match &desired.configured {
            Configured::Count(count) => (*count, Vec::new()),
            Configured::Labels => (0, Vec::new()),
            Configured::Addresses(names) => (names.len(), texts(names)),
        };
        StateFile {
            version: Version::One,
            engine: engine.to_string(),
            owner: desired.owner.to_string(),
            configured,
            sources: (texts(&desired.sources) != upstreams).then(|| texts(&desired.sources)),
            upstreams,
            departed: desired.departed.iter().map(departed).collect(),
            replicas: desired.wants().iter().map(row).collect(),
        }
    }

    fn to_stored(&self) -> Option<Stored> {
        let engine: Kind = self.engine.parse().ok()?;
        let name = |text: &String| {
            if engine.owns_instances() { text.parse().ok() } else { Name::of_found(text).ok() }
        };
        let source = |text: &String| Name::of_source(text).ok();
        let want = |row: &ReplicaRow| {
            Some(Want {
                name: name(&row.name)?,
                number: Number::new(row.number)?,
                instance: InstanceId::parse(&row.instance)?,
                weight: Weight::new(row.weight)?,
                joined: row.joined,
                up: row.up,
                drained: row.drained,
                told: Weight::new(row.told)?,
                source: match &row.source {
                    Some(text) => Some(source(text)?),
                    None => None,
                },
            })
        };
        let wants = self.replicas.iter().map(want).collect::<Option<_>>()?;
        let configured = match engine {
            Kind::Labels => Configured::Labels,
            Kind::Fixed => Configured::Addresses(self.upstreams.iter().map(source).collect::<Option<_>>()?),
            Kind::Docker | Kind::Process => Configured::Count(self.configured),
        };
        let departed = |row: &DepartedRow| {
            let (name, number) = (name(&row.name)?, Number::new(row.number)?);
            Some(Departed { name, number, drained: row.drained })
        };
        let mut desired = Desired::from_wants(Owner::parse(&self.owner)?, configured, wants);
        let sources = self.sources.as_ref().unwrap_or(&self.upstreams);
        desired.sources = sources.iter().map(source).collect::<Option<_>>()?;
        desired.departed = self.departed.iter().map(departed).collect::<Option<_>>()?;
        Some(Stored { engine, desired })
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// A directory of its own under the system's temporary one, removed when dropped.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let unique = format!("ringkeeper-store-{name}-{}", std::process::id());
            Temporary(std::env::temp_dir().join(unique))
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _best_effort = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_saved_is_loaded_again() {
        let directory = Temporary::new("round-trip");
        let store = Store::open(&directory.0).unwrap();
        assert_eq!(store.load().unwrap(), None);
        let mut desired = Desired::fresh(Owner::from_bits(9), 3, &mut StdRng::seed_from_u64(1));
        let first = desired.wants()[0].instance.clone();
        desired.mark_up(&first);
        desired.drain("Server-2", true).unwrap();
        let stored = Stored { engine: Kind::Process, desired };
        store.save(&stored).unwrap();
        assert_eq!(store.load().unwrap(), Some(stored));
        store.clear().unwrap();
        store.clear().unwrap();
        assert_eq!(store.load().unwrap(), None);
    }

    #[test]
    fn those_that_went_are_loaded_again_as_drained_as_they_were() {
        let directory = Temporary::new("departed");
        let store = Store::open(&directory.0).unwrap();
        let gone = |name: &str, number, drained| Departed {
            name: Name::of_found(name).unwrap(),
            number: Number::new(number).unwrap(),
            drained,
        };
        let mut desired = Desired::from_wants(Owner::from_bits(9), Configured::Labels, vec![]);
        desired.departed = vec![gone("web-1", 1, true), gone("web-2", 2, false)];
        let stored = Stored { engine: Kind::Labels, desired };
        store.save(&stored).unwrap();
        assert_eq!(store.load().unwrap(), Some(stored));
        let text = fs::read_to_string(store.path()).unwrap();
        assert_eq!(text.matches("drained").count(), 1, "earlier versions read the rest");
    }

    #[test]
    fn a_set_of_addresses_is_loaded_again_and_names_alone_are_none() {
        let directory = Temporary::new("addresses");
        let store = Store::open(&directory.0).unwrap();
        for addresses in [&[][..], &["10.0.0.5:80", "[::1]:80"]] {
            let addresses: Vec<Name> = addresses.iter().map(|a| Name::of_address(a).unwrap()).collect();
            let desired = Desired::of_sources(Owner::from_bits(9), &addresses);
            let stored = Stored { engine: Kind::Fixed, desired };
            store.save(&stored).unwrap();
            assert_eq!(store.load().unwrap(), Some(stored));
        }
        let text = fs::read_to_string(store.path()).unwrap().replace("fixed", "docker");
        fs::write(store.path(), text).unwrap();
        assert!(matches!(store.load(), Err(StoreError::Unreadable { .. })));
    }

    #[test]
    fn where_one_was_found_is_loaded_again_and_was_not_always_stored() {
        let directory = Temporary::new("sources");
        let store = Store::open(&directory.0).unwrap();
        let service = Name::of_source("_http._tcp.shop.test").unwrap();
        let mut desired = Desired::of_sources(Owner::from_bits(9), std::slice::from_ref(&service));
        let (one, number) = (Name::of_found("a.test:80").unwrap(), Number::new(1).unwrap());
        desired.push_instance(one, number, InstanceId::from_bits(1));
        let before = Stored { engine: Kind::Fixed, desired };
        let mut stored = before.clone();
        stored.desired.wants[0].source = Some(service);
        store.save(&stored).unwrap();
        assert_eq!(store.load().unwrap(), Some(stored));
        let text = fs::read_to_string(store.path()).unwrap();
        let line = ",\n      \"source\": \"_http._tcp.shop.test\"";
        assert!(text.contains(line), "{text}");
        fs::write(store.path(), text.replace(line, "")).unwrap();
        assert_eq!(store.load().unwrap(), Some(before));
    }

    #[test]
    fn a_pool_of_which_something_is_stored_is_not_swept_away() {
        let directory = Temporary::new("sweep");
        let store = Store::open(&directory.0).unwrap();
        let (kept, _empty) = (store.of_pool("kept").unwrap(), store.of_pool("empty").unwrap());
        let desired = Desired::fresh(Owner::from_bits(9), 3, &mut StdRng::seed_from_u64(1));
        kept.save(&Stored { engine: Kind::Process, desired }).unwrap();
        store.sweep();
        assert!(kept.load().unwrap().is_some() && !directory.0.join("pools/empty").exists());
        kept.clear().unwrap();
        store.sweep();
        store.sweep();
        assert!(!directory.0.join("pools").exists() && directory.0.exists());
    }

    #[test]
    fn a_directory_has_one_balancer_at_a_time() {
        let directory = Temporary::new("lock");
        let store = Store::open(&directory.0).unwrap();
        assert!(matches!(Store::open(&directory.0), Err(StoreError::Locked(_))));
        drop(store);
        Store::open(&directory.0).unwrap();
    }

    #[test]
    fn a_damaged_state_is_an_error_not_an_empty_set() {
        let directory = Temporary::new("damaged");
        let store = Store::open(&directory.0).unwrap();
        for damaged in ["", "{}", "{\"version\":\"2\"}"] {
            fs::write(store.path(), damaged).unwrap();
            assert!(matches!(store.load(), Err(StoreError::Unreadable { .. })), "{damaged}");
        }
    }
}
