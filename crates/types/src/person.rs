//! People and teams, as the rest of the account knows them.

use serde::{Deserialize, Serialize};

use crate::{InvitationId, Role, TeamId, Timestamp, UserId};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// What they sign in with; unique in the instance, whatever the case of its letters.
    pub username: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Whether they proved that mail reaches them.
    pub email_verified: bool,
    /// Display name.
    pub full_name: Option<String>,
    /// Whether their credentials work and their votes count.
    pub is_active: bool,
    /// Whether they look after the whole instance, beyond their account.
    pub is_superuser: bool,
    /// Where they come from.
    pub source: UserSource,
    /// What they are called there.
    pub external_id: Option<String>,
    /// When they last signed in.
    pub last_login_at: Option<Timestamp>,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// An active person of this instance about whom nothing else is known yet.
    pub fn new(id: UserId, username: impl Into<String>, at: Timestamp) -> Self {
        Self {
            id,
            username: username.into(),
            email: None,
            email_verified: false,
            full_name: None,
            is_active: true,
            is_superuser: false,
            source: UserSource::Local,
            external_id: None,
            last_login_at: None,
            created_at: at,
            updated_at: at,
        }
    }
}

words! {
    /// Where a person comes from.
    UserSource {
        /// Registered or invited here.
        Local = "local",
        /// An identity provider that speaks `OpenID` Connect.
        Oidc = "oidc",
        /// GitHub.
        Github = "github",
        /// Provisioned by a directory.
        Scim = "scim",
    }
}

/// What an invitation gives whoever follows its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// The invitation.
    pub invitation: InvitationId,
    /// Who invites.
    pub by: UserId,
    /// Roles they get.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Teams they join.
    #[serde(default)]
    pub teams: Vec<TeamId>,
}

/// Some people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Unique in the account.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who is in it, active or not.
    pub members: Vec<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

words! {
    /// What a secret that works once is for.
    OneTimePurpose {
        /// Proves that mail reaches somebody.
        VerifyEmail = "verify_email",
        /// Sets a new password.
        ResetPassword = "reset_password",
        /// Sets the first password of an account's owner.
        SetUp = "set_up",
        /// Lets somebody join an account.
        Invitation = "invitation",
        /// The password was right; the second factor is still to come.
        SecondFactor = "second_factor",
        /// The challenge that a new passkey signs.
        NewPasskey = "new_passkey",
        /// The challenge that a passkey signs to sign somebody in.
        PasskeySignIn = "passkey_sign_in",
    }
}
