//! The file in which this machine's client keeps its credentials: one per server's URL.
//!
//! `serve` writes the owner's first key here, so that commands on the same machine need no
//! configuration; `login` writes what a person signed in with, which goes before a key. The file is
//! readable by its owner alone, and whoever changes it holds the lock beside it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use url::Url;

/// The whole file.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The server that commands talk to when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    /// By URL, without a trailing slash.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, Credential>,
}

/// How to sign in to one server.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// An API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// What `preloop login` got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) login: Option<Login>,
}

/// A person signed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Login {
    /// Goes with each request.
    pub(crate) access: String,
    /// Gets the next pair, once.
    pub(crate) refresh: String,
    /// When the access token is over, in seconds since 1970.
    pub(crate) expires_at: u64,
}

impl Credential {
    /// What goes with each request.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.login.as_ref().map(|login| &login.access[..]).or(self.token.as_deref())
    }
}

impl Login {
    /// One whose access token lasts for `expires_in` from now on.
    pub(crate) fn new(access: String, refresh: String, expires_in: Duration) -> Self {
        Self { access, refresh, expires_at: now().saturating_add(expires_in.as_secs()) }
    }

    /// Whether the access token is over, or will be before it arrives.
    pub(crate) fn is_over(&self) -> bool {
        self.expires_at <= now().saturating_add(30)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The file, held against other processes until this is dropped.
pub(crate) struct Locked {
    path: PathBuf,
    /// As it is now.
    pub(crate) credentials: Credentials,
    _lock: fs::File,
}

impl Locked {
    /// Waits for the file and reads it.
    pub(crate) fn take() -> Result<Self> {
        let path = path()?;
        let folder = path.parent().context("the credentials file has no folder")?;
        private_folder(folder)?;
        let lock = path.with_extension("lock");
        let held = fs::File::options().create(true).append(true).open(&lock);
        let held = held.and_then(|file| file.lock().map(|()| file));
        let held = held.with_context(|| format!("cannot lock `{}`", lock.display()))?;
        Ok(Self { credentials: Credentials::read(&path)?, path, _lock: held })
    }

    /// Writes what was changed.
    pub(crate) fn write(&self) -> Result<()> {
        self.credentials.write(&self.path)
    }
}

/// Where the file lies: under `PRELOOP_CONFIG_DIR`, else the user's configuration folder.
pub(crate) fn path() -> Result<PathBuf> {
    let folder = match std::env::var_os("PRELOOP_CONFIG_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => etcetera::choose_base_strategy().context("your home folder is not known")?.config_dir().join("preloop"),
    };
    Ok(folder.join("credentials.toml"))
}

impl Credentials {
    /// Reads the file; none is an empty one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            // The parser's error would show the line, and a line may hold a token.
            Ok(text) => toml::from_str(&text).map_err(|error: toml::de::Error| {
                anyhow::anyhow!("`{}` is not valid: {}; mend or remove it", path.display(), error.message())
            }),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }

    /// The credential for a server.
    pub(crate) fn of(&self, url: &Url) -> Option<&Credential> {
        self.servers.get(&spelled(url))
    }

    /// Changes what is kept for a server; nothing is kept of an empty credential.
    pub(crate) fn change(&mut self, url: &Url, change: impl FnOnce(&mut Credential)) {
        let mut credential = self.servers.remove(&spelled(url)).unwrap_or_default();
        change(&mut credential);
        if credential.bearer().is_some() {
            self.keep(url, credential);
        }
    }

    /// Takes a server's credential in. The first server becomes the default; another one stays it.
    pub(crate) fn keep(&mut self, url: &Url, credential: Credential) {
        let url = spelled(url);
        self.default.get_or_insert_with(|| url.clone());
        self.servers.insert(url, credential);
    }

    /// Writes the file whole, readable by its owner alone.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().context("the credentials file has no folder")?;
        private_folder(folder)?;
        let text = toml::to_string(self).context("the credentials cannot be written")?;
        let beside = path.with_extension(format!("toml.{}", std::process::id()));
        let written = write_private(&beside, text.as_bytes()).and_then(|()| Ok(fs::rename(&beside, path)?));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written.with_context(|| format!("cannot write `{}`", path.display()))
    }
}

/// A URL as the file spells it.
fn spelled(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Makes a folder that only its owner can enter. One that is there already stays as it is.
pub(crate) fn private_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("cannot make `{}`", folder.display()))
}

/// Writes a new file that only its owner can read, through to the disk.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn token(text: &str) -> Credential {
        Credential { token: Some(text.to_owned()), login: None }
    }

    #[test]
    fn servers_are_kept_apart_and_the_first_is_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/credentials.toml");
        let mut credentials = Credentials::read(&path).unwrap();
        credentials.keep(&url("http://127.0.0.1:8000"), token("one"));
        credentials.keep(&url("https://preloop.example/"), token("two"));
        credentials.write(&path).unwrap();

        let read = Credentials::read(&path).unwrap();
        assert_eq!(read.default.as_deref(), Some("http://127.0.0.1:8000"));
        assert_eq!(read.of(&url("http://127.0.0.1:8000/")).unwrap().bearer(), Some("one"));
        assert_eq!(read.of(&url("https://preloop.example")).unwrap().bearer(), Some("two"));
        assert!(read.of(&url("http://127.0.0.1:8001")).is_none());
    }

    #[test]
    fn a_sign_in_goes_before_a_key_and_leaves_it_when_it_ends() {
        let (mut credentials, url) = (Credentials::default(), url("http://127.0.0.1:8000"));
        credentials.keep(&url, token("key"));
        let login = Login::new("access".to_owned(), "refresh".to_owned(), Duration::from_hours(1));
        assert!(!login.is_over() && Login { expires_at: login.expires_at - 3_580, ..login.clone() }.is_over());
        credentials.change(&url, |credential| credential.login = Some(login));
        assert_eq!(credentials.of(&url).unwrap().bearer(), Some("access"));
        let text = toml::to_string(&credentials).unwrap();
        assert_eq!(toml::from_str::<Credentials>(&text).unwrap().of(&url).unwrap().bearer(), Some("access"));
        credentials.change(&url, |credential| credential.login = None);
        assert_eq!(credentials.of(&url).unwrap().bearer(), Some("key"));
        credentials.change(&url, |credential| credential.token = None);
        assert!(credentials.of(&url).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/credentials.toml");
        Credentials::default().write(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn an_error_does_not_show_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.toml");
        fs::write(&path, "[servers.\"x\"]\ntoken = \"pl_secretsecretsecret\" oops\n").unwrap();
        let error = format!("{:#}", Credentials::read(&path).err().unwrap());
        assert!(error.contains("is not valid") && !error.contains("secret"), "{error}");
    }
}
