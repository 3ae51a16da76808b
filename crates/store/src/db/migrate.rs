//! The schema, once per database, under the same numbers.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// Every migration, in order: one line for both databases.
macro_rules! migrations {
    ($database:literal) => {
        migrations! { $database:
            1 "0001_spine",
            2 "0002_models",
            3 "0003_ledger",
            4 "0004_people",
            10 "0010_sign_in",
            20 "0020_roles",
            30 "0030_oauth",
            40 "0040_identity_providers",
            41 "0041_provisioning",
            50 "0050_approvals",
            60 "0060_notifications",
            70 "0070_policy",
            71 "0071_policy_counts",
            72 "0072_reviews",
            80 "0080_agents",
        }
    };
    ($database:literal: $($number:literal $name:literal,)*) => {
        Migrator::with_migrations(vec![$(Migration::new(
            $number,
            $name.into(),
            MigrationType::Simple,
            include_str!(concat!("../../migrations/", $database, "/", $name, ".sql")).into_sql_str(),
            false,
        )),*])
    };
}

pub(super) fn sqlite() -> Migrator {
    migrations!("sqlite")
}

/// Takes an advisory lock while it runs, so that replicas may start together.
pub(super) fn postgres() -> Migrator {
    migrations!("postgres")
}
