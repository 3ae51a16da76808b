//! The account itself.

use preloop_store::AccountInfo;
use preloop_types::Principal;
use serde_json::json;

use super::{
    Config, Patch, Result, limits,
    record::{Actor, What},
};

impl Config {
    /// Says whose the account is, for people.
    pub async fn rename_account(&self, who: &Principal, name: Patch<String>) -> Result<AccountInfo> {
        let by = Actor::from(who);
        let name = match name {
            None => return Ok(self.store.account(who.account).info().await?),
            Some(name) => name.filter(|name| !name.trim().is_empty()),
        };
        let name = name.map(|name| limits::named("organization_name", &name, 200)).transpose()?;
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.info().await?;
                if old.organization_name != name {
                    tx.set_organization_name(name.as_deref()).await?;
                    let (id, shown) = (by.account.0, |name: &Option<String>| json!({ "organization_name": name }));
                    let (before, now) = (shown(&old.organization_name), shown(&name));
                    by.changed(tx, What::Account, (id, "account"), Some(&before), Some(&now));
                }
                Ok(tx.info().await?)
            })
        })
        .await
    }
}
