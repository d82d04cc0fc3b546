//! What an account may keep in the catalog. Every quota has a key, a default and one place where it is checked.

macro_rules! quotas {
    ($( $(#[doc = $doc:literal])+ $variant:ident $key:literal = $default:expr; )+) => {
        /// A bound on what an account keeps. What its workers may *use* is in [`crate::AccountLimits`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Quota { $( $(#[doc = $doc])+ $variant, )+ }

        impl Quota {
            /// All of them.
            pub const ALL: &'static [Quota] = &[ $( Quota::$variant, )+ ];

            /// Its name in the API, in errors and in the catalog.
            pub fn key(self) -> &'static str {
                match self { $( Quota::$variant => $key, )+ }
            }

            /// What it is unless the operator says otherwise.
            pub fn default_value(self) -> u64 {
                match self { $( Quota::$variant => $default, )+ }
            }

            /// The quota of this key.
            pub fn from_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|quota| quota.key() == key)
            }
        }
    };
}

quotas! {
    /// Workers of the account.
    Workers "workers_max" = 500;
    /// Versions kept of one worker. The oldest that no deployment and no alias of the day needs make room.
    Versions "versions_max" = 100;
    /// Deployments kept of one worker; the oldest make room.
    Deployments "deployments_max" = 100;
    /// Routes of the account.
    Routes "routes_max" = 1_000;
    /// Custom domains of the account.
    Domains "domains_max" = 100;
    /// Aliases of one worker.
    Aliases "aliases_max" = 100;
    /// Secrets of one worker.
    Secrets "secrets_max" = 128;
    /// Bytes of one secret's value.
    SecretBytes "secret_bytes_max" = 5 * 1024;
    /// Cron expressions of one worker.
    Crons "crons_max" = 25;
    /// Stored namespaces of the account, of each kind.
    Namespaces "namespaces_max" = 1_000;
    /// API tokens that are not revoked.
    Tokens "tokens_max" = 200;
    /// Roles that the account defined.
    Roles "roles_max" = 50;
    /// Bytes of the modules of one version.
    CodeBytes "code_bytes_max" = 64 << 20;
    /// Static assets of one version.
    AssetFiles "asset_files_max" = 100_000;
    /// Bytes of one static asset.
    AssetBytes "asset_bytes_max" = 25 << 20;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_read_back() {
        for quota in Quota::ALL {
            assert_eq!(Quota::from_key(quota.key()), Some(*quota));
            assert!(quota.default_value() > 0, "{}", quota.key());
        }
        assert_eq!(Quota::from_key("workers"), None);
    }
}
