//! What an instance keeps in its data directory beside the database: its key, its name as a writer
//! of journals, and a lock.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use preloop_types::{Timestamp, WriterId};
use secrecy::{ExposeSecret, SecretString};

use crate::credentials::{private_folder, write_private};

/// The file of the instance key.
pub(crate) const INSTANCE_KEY: &str = "instance.key";

const WRITER_ID: &str = "writer.id";
const LOCK: &str = "lock";

/// Shortest instance key that is accepted.
const KEY_BYTES_MIN: usize = 32;

/// A data directory that this process has for itself.
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    /// Freed when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, for its owner alone, and takes it: two processes that wrote
    /// under one name would break the journal's chain.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        private_folder(path)?;
        let path = path.canonicalize().with_context(|| format!("cannot find `{}`", path.display()))?;
        let lock = path.join(LOCK);
        let file = File::options().create(true).append(true).open(&lock);
        let file = file.with_context(|| format!("cannot write to `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: file }),
            Err(TryLockError::WouldBlock) => Err(anyhow!(
                "another `preloop serve` uses the data directory `{}`; stop it, or choose another with `--data-dir`",
                path.display()
            )),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock `{}`", lock.display())),
        }
    }

    /// The database used when no other is named.
    pub(crate) fn sqlite_url(&self) -> String {
        format!("sqlite://{}", self.path.join("preloop.db").display())
    }

    /// The instance key: `given`, else the one kept here, else a new one.
    pub(crate) fn instance_key(&self, given: Option<&SecretString>, production: bool) -> Result<SecretString> {
        let path = self.path.join(INSTANCE_KEY);
        let key = match given {
            Some(key) => key.clone(),
            None if production => bail!(
                "SECRET_KEY is required when ENVIRONMENT is `production`; `openssl rand -hex 32` makes one. \
                 Keep it: without it stored credentials cannot be read"
            ),
            None => SecretString::from(self.kept_or(&path, || Ok(hex::encode(rand::random::<[u8; 32]>())))?),
        };
        if key.expose_secret().len() < KEY_BYTES_MIN {
            bail!("the instance key is shorter than {KEY_BYTES_MIN} characters; `openssl rand -hex 32` makes one");
        }
        Ok(key)
    }

    /// The name under which this instance writes journals; the same across its restarts.
    pub(crate) fn writer(&self, now: Timestamp) -> Result<WriterId> {
        let path = self.path.join(WRITER_ID);
        let id = self.kept_or(&path, || Ok(WriterId::new(now).to_string()))?;
        id.parse().with_context(|| format!("`{}` does not hold the id of a writer", path.display()))
    }

    /// The text of a file, which is made by `make` if it is not there.
    fn kept_or(&self, path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
        match fs::read_to_string(path) {
            Ok(text) => return Ok(text.trim().to_owned()),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
            }
            Err(_) => {}
        }
        // Whole or not at all: a cut-off key would be worse than none.
        let text = make()?;
        let beside = self.path.join("new");
        let _ = fs::remove_file(&beside);
        write_private(&beside, format!("{text}\n").as_bytes())
            .and_then(|()| Ok(fs::rename(&beside, path)?))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        File::open(&self.path).and_then(|folder| folder.sync_all()).context("cannot keep the data directory")?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_name_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let first = DataDir::take(&path).unwrap();
        let (key, writer) = (first.instance_key(None, false).unwrap(), first.writer(now).unwrap());
        drop(first);

        let second = DataDir::take(&path).unwrap();
        assert_eq!(second.instance_key(None, false).unwrap().expose_secret(), key.expose_secret());
        assert_eq!(second.writer(now).unwrap(), writer);
        assert_eq!(key.expose_secret().len(), 64);
    }

    #[test]
    fn a_directory_serves_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let _taken = DataDir::take(folder.path()).unwrap();
        let error = DataDir::take(folder.path()).err().unwrap().to_string();
        assert!(error.contains("another `preloop serve`"), "{error}");
    }

    #[test]
    fn production_wants_a_key_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::take(folder.path()).unwrap();
        let key = |given: Option<&str>, production| {
            data.instance_key(given.map(|key| SecretString::from(key.to_owned())).as_ref(), production)
        };
        assert!(key(None, true).unwrap_err().to_string().contains("SECRET_KEY is required"));
        assert!(key(Some("short"), true).unwrap_err().to_string().contains("shorter than"));
        assert!(key(Some(&"k".repeat(32)), true).is_ok());
        assert!(!folder.path().join(INSTANCE_KEY).exists());
    }
}
