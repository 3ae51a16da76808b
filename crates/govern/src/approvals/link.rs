//! Links by which a person reaches one request without signing in.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use preloop_store::Approval;
use preloop_types::{ApprovalId, Hash, Principal};

use super::{Approvals, Decider, vote::deciding_person};
use crate::{Error, Result};

/// 32 random bytes that let their holder see and decide one request. Only their hash is stored.
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn generate() -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    pub(crate) fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }

    pub(crate) fn link(&self, public_url: &str, id: ApprovalId) -> String {
        format!("{public_url}/approval/{id}?token={}", self.0)
    }
}

impl Approvals<'_> {
    /// A fresh link to one request for the caller, who may open it on a phone.
    pub async fn link(&self, who: &Principal, id: ApprovalId) -> Result<String> {
        deciding_person(who, &self.get(who.account, id).await?)?;
        let token = Token::generate();
        let (hash, user, recipient) = (token.hash(), Some(who.user), who.username.clone());
        self.governor
            .store()
            .write(who.account, move |tx| {
                Box::pin(async move { tx.insert_approval_token(id, user, &recipient, &hash).await })
            })
            .await?;
        Ok(token.link(&self.governor.inner().options().public_url, id))
    }

    /// The request a link leads to, and whose link it is. One answer for everything that is
    /// wrong with it.
    pub async fn by_token(&self, id: ApprovalId, token: &str) -> Result<(Approval, Decider)> {
        let found = self.governor.store().approval_by_token(id, &Hash::of(token)).await?;
        let grant = found.ok_or_else(|| Error::NotFound("approval request".to_owned()))?;
        let decider = match grant.user {
            Some(user) => Decider::User { id: user, via: "link" },
            None => Decider::Link { recipient: grant.recipient },
        };
        Ok((grant.approval, decider))
    }
}
