//! What to do about what the engine refuses.

/// Words in the engine's messages, and what mends it.
const ADVICE: [(&str, &str); 14] = [
    (
        "no space left on device",
        "the engine's disk is full: `docker system df` shows what takes the room, `docker system prune` frees some",
    ),
    (
        "non-overlapping IPv4 address pool",
        "every address pool of the engine is taken: remove networks that nothing uses with `docker network prune`, or give \
         the engine more (default-address-pools in its daemon.json)",
    ),
    (
        "predefined address pools have been fully subnetted",
        "every address pool of the engine is taken: remove networks that nothing uses with `docker network prune`, or give \
         the engine more (default-address-pools in its daemon.json)",
    ),
    (
        "no available IPv4 addresses",
        "the deployment's network has no address left: make a larger one of its name (`docker network create --subnet …`), \
         or keep fewer replicas",
    ),
    (
        "exec format error",
        "the program in the image is for another processor than the engine's, or a script without a first line that names \
         its interpreter: build the image for the engine (`docker build --platform`), or set another with --image",
    ),
    (
        "executable file not found",
        "there is no such program in the image: see --container-entrypoint and --container-command",
    ),
    (
        "no such file or directory: unknown",
        "there is no such program in the image, or not its interpreter: see --container-entrypoint and \
         --container-command",
    ),
    (
        "permission denied: unknown",
        "the program in the image cannot be executed by its user: see --container-entrypoint and --container-user",
    ),
    ("unable to find user", "the image does not know this user: set a number with --container-user"),
    (
        "could not select device driver",
        "the engine has no driver for --gpus: install one on its host (the NVIDIA Container Toolkit, say)",
    ),
    ("Range of CPUs", "set --container-cpus to what the engine's machine has, or to 'none'"),
    ("Minimum memory limit", "set --container-memory higher, or to 'none'"),
    ("invalid tmpfs option", "see --tmpfs"),
    ("invalid volume specification", "see --volume"),
];

/// Words of registries and of the engine about them, and what mends it.
const ON_PULLS: [(&str, &str); 7] = [
    ("no basic auth credentials", LOGIN),
    ("unauthorized", LOGIN),
    ("denied", LOGIN),
    ("toomanyrequests", "the registry lets nobody pull that often without a login: see --registry-user"),
    (
        "server gave HTTP response to HTTPS client",
        "the registry speaks no TLS: name it among insecure-registries in the engine's daemon.json",
    ),
    (
        "certificate signed by unknown authority",
        "the engine does not know who signed the registry's certificate",
    ),
    ("no space left on device", ADVICE[0].1),
];

const LOGIN: &str = "if the image is there, whoever pulls it has to log in: `docker login`, or --registry-user and \
                     --registry-password-file";

/// The engine's message, with what to do about it where that is known.
pub(super) fn advised(message: &str) -> String {
    with(&ADVICE, message)
}

/// The same for what was said about a pull.
pub(super) fn advised_on_pull(message: &str) -> String {
    with(&ON_PULLS, message)
}

fn with(known: &[(&str, &str)], message: &str) -> String {
    match known.iter().find(|(words, _)| message.contains(words)) {
        Some((_, advice)) => format!("{message}; {advice}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_says_is_kept_and_what_to_do_is_added() {
        for (message, advice) in [
            ("mkdir /var/lib/docker/x: no space left on device", "docker system prune"),
            (
                "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
                "docker network prune",
            ),
            ("standard_init_linux.go:228: exec user process caused: exec format error", "--image"),
            (
                "OCI runtime create failed: … exec: \"serve\": executable file not found in $PATH: unknown",
                "--container-entrypoint",
            ),
        ] {
            let said = advised(message);
            assert!(said.starts_with(message) && said[message.len()..].contains(advice), "{said}");
        }
        assert_eq!(advised("something new"), "something new");
        assert!(advised_on_pull("pull access denied for x").contains("docker login"));
    }
}
