//! Where people may sign in with an identity they have elsewhere.

use serde::{Deserialize, Serialize};

use crate::{AccountId, ProviderId, Role, TeamId, Timestamp};

/// An identity provider. Its client secret is a secret of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityProvider {
    /// Its id.
    pub id: ProviderId,
    /// Whose people it signs in. Nobody's in particular: whoever comes first gets an account of their own.
    pub account: Option<AccountId>,
    /// Its name in URLs, unique in the instance: `[a-z0-9-]{1,40}`.
    pub slug: String,
    /// What people see on the button.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Who it is: the issuer of its tokens, or of GitHub the address of its pages.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim that holds a person's groups.
    pub groups_claim: String,
    /// What groups lead to.
    pub groups: Vec<GroupMapping>,
    /// What everybody has who comes from there.
    pub default_role: Option<Role>,
    /// Only people whose verified address is in one of these domains; everybody when empty.
    pub allowed_domains: Vec<String>,
    /// Whether people who are not known yet are let in.
    pub create_users: bool,
    /// Whether it can be used.
    pub is_enabled: bool,
    /// Whether it may be on a private network.
    pub allow_private_network: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

words! {
    /// What an identity provider speaks.
    ProviderKind {
        /// `OpenID` Connect, with discovery.
        Oidc = "oidc",
        /// GitHub's own OAuth.
        Github = "github",
    }
}

/// What being in a group elsewhere leads to here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMapping {
    /// The group, as the provider spells it; of GitHub an organization, or `organization/team`.
    pub group: String,
    /// The role its members have. Never owner.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<Role>,
    /// The team its members are in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub team: Option<TeamId>,
}
