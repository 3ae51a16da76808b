//! Which files matter more than others.

use crate::Level;

/// Fragments of paths whose content is a secret.
const SECRETS: &[&str] = &[
    ".ssh/id_",
    ".aws/credentials",
    ".netrc",
    ".pgpass",
    ".gnupg/",
    "/etc/shadow",
    ".docker/config.json",
    ".kube/config",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".config/gh/hosts",
    ".config/gcloud/",
    "/proc/self/environ",
    "secrets/",
    "keychain",
    ".pem",
    ".p12",
    ".keystore",
];

/// Fragments of paths where writing makes something run, or changes who may do what.
const LEVERS: &[(&str, &str)] = &[
    (".git/hooks", "git runs what is in it"),
    (".git/config", "git runs what it names"),
    (".github/workflows", "it runs in continuous integration"),
    (".gitlab-ci", "it runs in continuous integration"),
    (".bashrc", "it runs in every shell"),
    (".bash_profile", "it runs in every shell"),
    (".profile", "it runs at every login"),
    (".zshrc", "it runs in every shell"),
    (".zshenv", "it runs in every shell"),
    (".ssh/", "it says who may log in"),
    (".claude/settings", "it says what the agent may do"),
    (".codex/", "it says what the agent may do"),
    (".cursor/", "it says what the agent may do"),
    (".mcp.json", "it says which tools the agent has"),
    ("opencode.json", "it says what the agent may do"),
    ("crontab", "it runs by the clock"),
    ("/etc/", "it is the system's configuration"),
    ("/boot/", "the system starts from it"),
    ("/dev/sd", "it is a whole disk"),
    ("/dev/nvme", "it is a whole disk"),
    ("/dev/tcp/", "it is a network connection"),
    ("/dev/udp/", "it is a network connection"),
    ("/usr/", "it belongs to the system"),
    ("/bin/", "it belongs to the system"),
    ("/lib/systemd", "it runs as a service"),
    (".config/systemd", "it runs as a service"),
    ("launchagents/", "it runs as a service"),
    ("package.json", "its scripts run on installation"),
];

/// What reading `path` gives away, if that is a secret.
pub(crate) fn reading(path: &str) -> Option<&'static str> {
    let path = normal(path);
    let name = path.rsplit('/').next().unwrap_or_default();
    let dotenv = name == ".env" || (name.starts_with(".env.") && !name.ends_with("example"));
    (dotenv || SECRETS.iter().any(|secret| path.contains(secret))).then_some("it usually holds secrets")
}

/// What writing `path` means beyond the file itself, and how much that weighs.
pub(crate) fn writing(path: &str) -> Option<(Level, &'static str)> {
    let path = normal(path);
    if let Some((_, why)) = LEVERS.iter().find(|(lever, _)| path.contains(lever)) {
        return Some((Level::Danger, *why));
    }
    if let Some(why) = reading(&path) {
        return Some((Level::Danger, why));
    }
    if path.split('/').any(|part| part == "..") {
        return Some((Level::Caution, "its path leads out of where it starts"));
    }
    None
}

/// Case and doubled separators tell nothing apart.
fn normal(path: &str) -> String {
    let path = &path[..path.floor_char_boundary(4096)];
    let mut normal = path.to_lowercase().replace('\\', "/");
    while normal.contains("//") || normal.contains("/./") {
        normal = normal.replace("/./", "/").replace("//", "/");
    }
    normal
}
