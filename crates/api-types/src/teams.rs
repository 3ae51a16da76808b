//! `/api/v1/teams`: people who are asked together and have roles together.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Update, Utc, Uuid, account::User};

/// One page of teams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Teams {
    /// By name.
    pub teams: Vec<Team>,
    /// How many there are in all.
    pub total: u64,
    /// How many were left out from the start.
    pub skip: u64,
    /// At most how many are on the page.
    pub limit: u64,
}

/// Some people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Team {
    /// Its id.
    pub id: Uuid,
    /// Its account.
    pub account_id: Uuid,
    /// Unique in the account.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// How many people are in it.
    pub member_count: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Makes a team.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateTeam {
    /// 1 to 100 characters, unique in the account.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Changes a team. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeTeam {
    /// 1 to 100 characters, unique in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub description: Update<String>,
}

/// Who is in a team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Members {
    /// Those who joined first, first.
    pub members: Vec<Member>,
    /// How many there are in all.
    pub total: u64,
    /// How many were left out from the start.
    pub skip: u64,
    /// At most how many are on the page.
    pub limit: u64,
}

/// Somebody in a team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The person's id.
    pub id: Uuid,
    /// The team.
    pub team_id: Uuid,
    /// The person.
    pub user_id: Uuid,
    /// When they joined.
    pub joined_at: DateTime<Utc>,
    /// Who they are.
    pub user: Option<User>,
}

/// Puts somebody in a team.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct AddMember {
    /// Who.
    pub user_id: Uuid,
}
