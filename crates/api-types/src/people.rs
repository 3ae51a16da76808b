//! `/api/v1/users`, `/api/v1/roles` and `/api/v1/invitations`: people, and what they may.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Update, Utc, Uuid, account::User};

/// One page of people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Users {
    /// By name.
    pub users: Vec<User>,
    /// How many there are in all.
    pub total: u64,
    /// How many were left out from the start.
    pub skip: u64,
    /// At most how many are on the page.
    pub limit: u64,
}

/// Adds a person.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateUser {
    /// What they sign in with: 3 to 50 letters, digits, `.`, `_`, `-`, `+` and `@`; unique in the instance.
    pub username: String,
    /// Where mail goes.
    pub email: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// What they sign in with first.
    #[schema(format = "password")]
    pub password: String,
    /// Their first roles; without one they may nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_ids: Vec<Uuid>,
    /// False keeps them out until they are activated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
}

impl std::fmt::Debug for CreateUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateUser").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Changes a person. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeUser {
    /// For people.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub full_name: Update<String>,
    /// Where mail goes.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub email: Update<String>,
    /// Whether their credentials work and their votes count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
}

/// Every role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Roles {
    /// The widest first.
    pub roles: Vec<Role>,
    /// How many there are.
    pub total: u64,
}

/// What somebody is to an account. Roles are the same in every account and add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Role {
    /// The same everywhere and for ever.
    pub id: Uuid,
    /// `owner`, `admin`, `editor`, …
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Always true: nobody changes them.
    pub is_system_role: bool,
    /// What it allows.
    pub permissions: Vec<Permission>,
}

/// One thing a person may be allowed to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Permission {
    /// The same as its name.
    pub id: String,
    /// As errors and the document of this API name it.
    pub name: String,
    /// What it allows.
    pub description: String,
}

/// The roles somebody, or a team, was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantedRoles {
    /// Those given first, first.
    pub roles: Vec<GrantedRole>,
    /// How many there are.
    pub total: u64,
}

/// A role somebody, or a team, was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantedRole {
    /// The role's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who gave it; nobody where it came with the account.
    pub granted_by: Option<Uuid>,
    /// When.
    pub granted_at: DateTime<Utc>,
}

/// Gives a role.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GrantRole {
    /// Which.
    pub role_id: Uuid,
}

/// Which invitations to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ListInvitations {
    /// `pending`, `accepted`, `expired` or `cancelled`; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// At most this many (1 to 1000; 100 when absent).
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Leave out this many from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<u32>,
}

/// One page of invitations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Invitations {
    /// Newest first.
    pub invitations: Vec<Invitation>,
    /// How many there are in all.
    pub total: u64,
    /// How many were left out from the start.
    pub skip: u64,
    /// At most how many are on the page.
    pub limit: u64,
}

/// Somebody who may join the account by following a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// Who is invited.
    pub email: String,
    /// The roles they will have.
    pub role_ids: Vec<Uuid>,
    /// The teams they will be in.
    pub team_ids: Vec<Uuid>,
    /// Who invited them.
    pub invited_by_user_id: Uuid,
    /// `pending`, `accepted`, `expired` or `cancelled`.
    pub status: String,
    /// When the link ends.
    pub expires_at: DateTime<Utc>,
    /// When it was followed.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last sent.
    pub updated_at: DateTime<Utc>,
}

/// An invitation with its link.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SentInvitation {
    /// The invitation.
    #[serde(flatten)]
    pub invitation: Invitation,
    /// The secret in the link: shown only here. Whoever has it may join.
    pub token: String,
    /// The link.
    pub accept_url: String,
    /// Whether it was handed over as mail; if not, hand it over yourself.
    pub mailed: bool,
}

impl std::fmt::Debug for SentInvitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentInvitation").field("invitation", &self.invitation).finish_non_exhaustive()
    }
}

/// Invites somebody.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// Their address.
    pub email: String,
    /// The roles they will have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_ids: Vec<Uuid>,
    /// The teams they will be in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub team_ids: Vec<Uuid>,
}

/// A token to act in somebody's place.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Impersonation {
    /// The token: shown only here.
    pub access_token: String,
    /// `bearer`.
    pub token_type: String,
    /// Whose place.
    pub user: Impersonated,
    /// Who takes it.
    pub impersonated_by: Impersonator,
    /// How long it lasts at most.
    pub expires_in_hours: u64,
}

impl std::fmt::Debug for Impersonation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Impersonation").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whose place is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Impersonated {
    /// Their id.
    pub id: Uuid,
    /// Their name.
    pub username: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Their account.
    pub account_id: Uuid,
}

/// Who takes somebody's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Impersonator {
    /// Their id.
    pub id: Uuid,
    /// Their name.
    pub username: String,
}
