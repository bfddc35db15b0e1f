//! What a replica's container is given beside its image, as `docker run` would be told it.

use std::str::FromStr;

use bollard::models::DeviceRequest;

use crate::engine::Variable;

/// What the containers get. Where nothing is set, the image decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Variables of the environment.
    pub env: Vec<Variable>,
    /// The command, or the arguments of the entrypoint.
    pub command: Option<Vec<String>>,
    /// The program that is run, and its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Who runs it: a name or a number of the image's, with a group behind a colon.
    pub user: Option<String>,
    /// Volumes and directories of the engine's host, the same ones for every replica.
    pub volumes: Vec<Volume>,
    /// Empty file systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Graphics processors.
    pub gpus: Option<Gpus>,
}

/// A volume or a directory of the engine's host, in the container: `NAME:/inside`, `/outside:/inside`, either with `:ro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume(String);

/// A file system in memory: `/path` or `/path:options` as mount(8) has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it is.
    pub path: String,
    /// Its options; empty for the engine's.
    pub options: String,
}

/// Graphics processors: `all`, or how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// Every one that there is.
    All,
    /// So many for each replica, at least one.
    Count(u16),
}

impl Volume {
    /// As the engine reads it.
    pub(super) fn bind(&self) -> String {
        self.0.clone()
    }
}

impl FromStr for Volume {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(':').collect();
        let (from, to) = match parts.as_slice() {
            [from, to] | [from, to, "ro" | "rw"] => (*from, *to),
            _ => {
                return Err(
                    "a volume is NAME:/inside or /outside:/inside, with :ro behind it for reading only",
                );
            }
        };
        let named = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let starts_well = from.starts_with(|c: char| c.is_ascii_alphanumeric());
        let is_name = starts_well && from.len() > 1 && from.chars().all(named);
        if !from.starts_with('/') && !is_name {
            return Err(
                "a volume is a name (letters, digits, '_', '.', '-') or a path from '/' on the engine's host",
            );
        }
        if !to.starts_with('/') || to == "/" {
            return Err("a volume's place in the container is a path below '/'");
        }
        Ok(Volume(text.to_owned()))
    }
}

impl FromStr for Tmpfs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        if !path.starts_with('/') || path == "/" {
            return Err("a tmpfs is /path or /path:options, such as /run:size=16m");
        }
        Ok(Tmpfs { path: path.to_owned(), options: options.to_owned() })
    }
}

impl Gpus {
    /// As `docker run --gpus` asks for them.
    pub(super) fn request(self) -> DeviceRequest {
        let count = match self {
            Gpus::All => -1,
            Gpus::Count(count) => count.into(),
        };
        DeviceRequest {
            count: Some(count),
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            ..Default::default()
        }
    }
}

impl FromStr for Gpus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Gpus::All),
            (_, Ok(count)) if count >= 1 => Ok(Gpus::Count(count)),
            _ => Err("'all', or a whole number from 1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_a_name_or_a_path_and_a_place() {
        for good in ["data:/var/lib/x", "/srv/www:/www:ro", "a.b-c_1:/x:rw"] {
            assert_eq!(good.parse::<Volume>().unwrap().bind(), good);
        }
        for wrong in
            ["", "data", "data:", "data:x", "./x:/x", "a/b:/x", "data:/x:z", "data:/", "-d:/x", ":/x"]
        {
            assert!(wrong.parse::<Volume>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tmpfs_may_have_options() {
        let tmpfs: Tmpfs = "/run:size=16m,mode=700".parse().unwrap();
        assert_eq!((tmpfs.path.as_str(), tmpfs.options.as_str()), ("/run", "size=16m,mode=700"));
        assert_eq!("/run".parse::<Tmpfs>().unwrap().options, "");
        for wrong in ["", "run", "/", ":size=1m"] {
            assert!(wrong.parse::<Tmpfs>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn gpus_are_asked_for_as_docker_run_does() {
        assert_eq!("all".parse::<Gpus>().unwrap().request().count, Some(-1));
        let two = "2".parse::<Gpus>().unwrap().request();
        assert_eq!((two.count, two.capabilities), (Some(2), Some(vec![vec!["gpu".to_owned()]])));
        for wrong in ["", "0", "-1", "some"] {
            assert!(wrong.parse::<Gpus>().is_err(), "{wrong}");
        }
    }
}
