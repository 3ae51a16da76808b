//! `/api/v1/auth`: registering, signing in, and how people prove who they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Utc, Uuid};

/// A name and a password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Credentials {
    /// Who.
    pub username: String,
    /// Their password.
    #[schema(format = Password)]
    pub password: String,
}

/// What signing in gives.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Goes with each request, as `Authorization: Bearer`.
    pub access_token: String,
    /// Gets the next pair, once.
    pub refresh_token: String,
    /// `bearer`.
    pub token_type: String,
    /// Seconds that the access token lasts.
    pub expires_in: u64,
}

/// The second step of signing in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SecondFactorCode {
    /// `mfa_token` of the first step.
    pub mfa_token: String,
    /// What the authenticator app shows, or a recovery code.
    pub code: String,
}

/// Asks for the next pair of tokens.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Refresh {
    /// The refresh token that came with the last pair.
    pub refresh_token: String,
}

/// Somebody who wants an account of their own.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Register {
    /// 3 to 50 letters and digits.
    pub username: String,
    /// Where mail goes.
    pub email: String,
    /// At least 8 characters.
    #[schema(format = Password)]
    pub password: String,
    /// For people.
    #[serde(default)]
    pub full_name: Option<String>,
}

/// Somebody who accepts an invitation.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AcceptInvitation {
    /// The one in the invitation's link.
    pub token: String,
    /// 3 to 50 letters and digits.
    pub username: String,
    /// At least 8 characters.
    #[schema(format = Password)]
    pub password: String,
    /// For people.
    #[serde(default)]
    pub full_name: Option<String>,
}

/// Somebody who just registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    /// What they sign in with.
    pub username: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// For people.
    pub full_name: Option<String>,
    /// Whether they proved that mail reaches them.
    pub email_verified: bool,
    /// Whether they look after the whole instance.
    pub is_superuser: bool,
}

/// A token from a mail.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MailToken {
    /// The one in the link.
    pub token: String,
}

/// Asks for a link to set a new password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ForgotPassword {
    /// Where it is sent, if somebody here has that address.
    pub email: String,
}

/// Sets a new password with a link from a mail.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ResetPassword {
    /// The one in the link.
    pub token: String,
    /// At least 8 characters.
    #[schema(format = Password)]
    pub new_password: String,
}

/// Changes one's own password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangePassword {
    /// The one before.
    #[schema(format = Password)]
    pub current_password: String,
    /// At least 8 characters.
    #[schema(format = Password)]
    pub new_password: String,
}

/// One's password once more, before something that matters.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CurrentPassword {
    /// The password; anything for people who have none.
    #[schema(format = Password)]
    pub password: String,
}

/// A place one is signed in at, or a client one consented to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// `login` or `oauth`.
    pub kind: String,
    /// What it says it is.
    pub client: String,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// Where it was begun from.
    pub address: Option<String>,
    /// Whether it is the one of this request.
    pub current: bool,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last renewed.
    pub last_used_at: DateTime<Utc>,
    /// When it ends whatever happens.
    pub expires_at: DateTime<Utc>,
}

/// What was ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Revoked {
    /// How many.
    pub revoked: u64,
}

/// What one has besides one's password.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SecondFactors {
    /// When the authenticator app was confirmed.
    pub totp_since: Option<DateTime<Utc>>,
    /// How many recovery codes are left.
    pub recovery_codes_left: usize,
    /// Passkeys.
    pub passkeys: Vec<Passkey>,
}

/// A passkey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Passkey {
    /// Its id.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last signed somebody in.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// An authenticator app that is yet to show its first code. Only in this answer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TotpEnrolment {
    /// To be typed in.
    pub secret: String,
    /// To be shown as a QR code.
    pub otpauth_uri: String,
}

/// What an authenticator app shows now.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TotpCode {
    /// Six digits.
    pub code: String,
}

/// Codes that stand in for a second factor, once each. Only in this answer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct RecoveryCodes {
    /// To be written down. Empty where there are some already.
    pub recovery_codes: Vec<String>,
}

/// A passkey that a browser just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AddPasskey {
    /// What its owner calls it.
    pub name: String,
    /// `PublicKeyCredential.toJSON()`.
    #[schema(value_type = Object)]
    pub credential: serde_json::Value,
}

/// A passkey, and codes that stand in for it where they are the first.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AddedPasskey {
    /// The passkey.
    pub passkey: Passkey,
    /// To be written down; only in this answer. Empty where there are some already.
    pub recovery_codes: Vec<String>,
}

/// Asks for a challenge to sign in with a passkey.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AskPasskey {
    /// `mfa_token` of the first step; absent to sign in with the passkey alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_token: Option<String>,
}

/// Signs in with a passkey.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PasskeySignIn {
    /// `mfa_token` of the first step; absent to sign in with the passkey alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_token: Option<String>,
    /// `PublicKeyCredential.toJSON()`.
    #[schema(value_type = Object)]
    pub credential: serde_json::Value,
}
