//! Kept logins: `$XDG_CONFIG_HOME/atoll/credentials.toml`, one table for each profile, readable by its owner alone.
//!
//! ```toml
//! [default]
//! control = "https://control.example.com"
//! token = "atoll_..."
//! account = "acme"
//! ca = "/etc/atoll/ca.pem"
//! ```
//!
//! The file is replaced as a whole: a write that fails leaves the former one.

use super::failure::{CommandError, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The profile when none is named.
pub(crate) const PROFILE_DEFAULT: &str = "default";

/// One login.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// The control plane's address.
    pub control: String,
    /// The token.
    pub token: String,
    /// The account that commands are for unless they say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// A PEM file of authorities to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Profile({}, {:?})", self.control, self.account)
    }
}

/// The kept logins, by profile.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// Where they are kept.
    pub path: PathBuf,
    pub profiles: BTreeMap<String, Profile>,
    /// What is wrong with the file's permissions.
    pub warning: Option<String>,
}

/// Where logins are kept; `None` without a home directory.
pub(crate) fn place(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    // The specification of base directories: a relative path is as none.
    let config = config.filter(|path| path.is_absolute());
    let config = config.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(config.join("atoll").join("credentials.toml"))
}

impl Credentials {
    /// Reads them; a file that is not there holds none.
    pub fn read(path: &Path) -> Result<Self> {
        let mut credentials = Self {
            path: path.to_owned(),
            profiles: BTreeMap::new(),
            warning: None,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(credentials);
            }
            Err(error) => return Err(CommandError::file(path, &error)),
        };
        credentials.profiles = toml::from_str(&text).map_err(|error| {
            // The parser's own text would show the line, and a token may stand in it.
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            CommandError::new("files", format!("{}: line {line} cannot be read", path.display()))
                .hint("Mend it, or delete it and log in again with `atoll login`.")
        })?;
        credentials.warning = others_can_read(path).then(|| {
            let path = path.display();
            format!(
                "{path} holds tokens and others can read it: `chmod 600 {path}`, and think of those tokens as known"
            )
        });
        Ok(credentials)
    }

    /// Writes them.
    pub fn write(&self) -> Result<()> {
        let failed = |error: &std::io::Error| CommandError::file(&self.path, error);
        // It was made by `place`, which gives it two parents.
        let directory = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(|error| failed(&error))?;
        let text = toml::to_string(&self.profiles)
            .map_err(|error| CommandError::new("files", format!("{}: {error}", self.path.display())))?;
        // Such a file is its owner's alone from its first moment.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|error| failed(&error))?;
        file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
        file.as_file().sync_all().map_err(|error| failed(&error))?;
        file.persist(&self.path).map_err(|error| failed(&error.error))?;
        Ok(())
    }
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_kept_for_their_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap().to_owned();
        let path = place(&|name| (name == "HOME").then(|| root.clone())).unwrap();
        assert_eq!(path, directory.path().join(".config/atoll/credentials.toml"));
        assert_eq!(
            place(&|name| (name == "XDG_CONFIG_HOME").then(|| "relative".to_owned())),
            None
        );
        let mut kept = Credentials::read(&path).unwrap();
        assert!(kept.profiles.is_empty() && kept.warning.is_none());
        let profile = Profile {
            control: "https://control.example".into(),
            token: "atoll_secret".into(),
            account: Some("acme".into()),
            ca: None,
        };
        assert!(!format!("{profile:?}").contains("secret"));
        kept.profiles.insert("default".into(), profile.clone());
        kept.write().unwrap();
        let again = Credentials::read(&path).unwrap();
        assert_eq!(again.profiles["default"], profile);
        assert_eq!(again.warning, None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(Credentials::read(&path).unwrap().warning.unwrap().contains("chmod 600"));
        }
    }

    #[test]
    fn what_cannot_be_read_shows_no_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.toml");
        std::fs::write(&path, "[default]\ncontrol = 'x'\ntoken = atoll_secret\n").unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert!(error.message.ends_with("line 3 cannot be read"), "{error}");
        assert!(!error.to_string().contains("secret"));
    }
}
