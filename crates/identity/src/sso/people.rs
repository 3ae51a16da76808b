//! Who somebody is here that a provider identified, and what their groups make of them.

use std::collections::BTreeSet;

use preloop_store::{NewOwner, Tx};
use preloop_types::{
    AccountId, Entry, EntryKind, IdentityProvider, ProviderKind, Role, Subject, TeamId, User, UserId, UserSource,
};
use serde_json::{json, value::to_raw_value};

use super::{Attempt, Identified, Sso, SsoError};

/// What a browser comes back with.
#[derive(Debug, Clone, Default)]
pub struct Return<'a> {
    /// Redeems the identity.
    pub code: Option<&'a str>,
    /// Ours, from the way there.
    pub state: &'a str,
    /// Who answers (RFC 9207).
    pub iss: Option<&'a str>,
    /// Why there is no code.
    pub error: Option<&'a str>,
    /// The attempt's cookie.
    pub cookie: &'a str,
}

/// Somebody who proved at a provider who they are.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Where.
    pub account: AccountId,
    /// Who.
    pub user: UserId,
    /// Our page to go on to.
    pub next: String,
}

impl Sso {
    /// Who comes back from a provider: somebody who came before, or somebody new where
    /// the provider may let people in. Their roles and teams are brought in line with their groups.
    pub async fn finish(&self, slug: &str, back: Return<'_>) -> Result<SignedIn, SsoError> {
        let (provider, secret) = self.provider(slug).await?;
        let attempt = Attempt::resume(back.cookie, slug, back.state, self.0.store.now()).ok_or(SsoError::NotBegun)?;
        if provider.kind == ProviderKind::Oidc {
            self.oidc_check_issuer(&provider, back.iss).await?;
        }
        let declined = |why: &str| {
            let why = why.chars().filter(char::is_ascii_graphic).take(100).collect();
            SsoError::Declined { provider: provider.name.clone(), why }
        };
        if let Some(error) = back.error {
            return Err(declined(error));
        }
        let code = back.code.ok_or_else(|| declined("no code"))?;
        let who = self.identify(&provider, &secret, &attempt, code).await?;
        let (account, user) = self.known_as(&provider, who).await?;
        Ok(SignedIn { account, user, next: attempt.next().to_owned() })
    }

    /// Who somebody is here, made anew where they may be.
    async fn known_as(&self, provider: &IdentityProvider, who: Identified) -> Result<(AccountId, UserId), SsoError> {
        check_domain(provider, &who)?;
        let store = &self.0.store;
        let (source, external) = (source(provider), external_id(provider, &who));
        let account = match provider.account {
            Some(account) => account,
            None => match store.account_of_external(source, &external).await? {
                Some(account) => account,
                None => self.new_account(provider, &who, &external).await?,
            },
        };
        let provider = provider.clone();
        let known = store.write(account, move |tx| {
            Box::pin(async move {
                let user = match tx.user_by_external(source, &external).await? {
                    Some(user) => user,
                    None => match known(tx, &provider, &who).await? {
                        Ok(user) => take_over(tx, &provider, user, &external).await?,
                        Err(refused) if !provider.create_users => return Ok(Err(refused)),
                        Err(_) => create(tx, &provider, &who, &external).await?,
                    },
                };
                if !user.is_active {
                    return Ok(Err(SsoError::NotLetIn(format!("`{}` is deactivated here", user.username))));
                }
                align(tx, &provider, &user, &who.groups).await?;
                Ok(Ok(user.id))
            })
        });
        Ok((account, known.await??))
    }

    /// Whoever comes first through a provider of the whole instance gets an account of their own.
    async fn new_account(
        &self,
        provider: &IdentityProvider,
        who: &Identified,
        external: &str,
    ) -> Result<AccountId, SsoError> {
        if !self.0.options.registration {
            return Err(SsoError::NotLetIn("registration is switched off here; ask for an invitation".to_owned()));
        }
        let store = &self.0.store;
        let wanted = who.clone();
        let nobody = AccountId::new(store.now());
        let username = store.write(nobody, move |tx| Box::pin(async move { free_username(tx, &wanted).await })).await?;
        let owner = NewOwner { username, email: who.email.clone(), full_name: who.full_name.clone(), key: None };
        let made = store.create_account(owner).await?;
        let (provider, external, verified) = (provider.clone(), external.to_owned(), who.email_verified);
        let linked = store.write(made.account, move |tx| {
            Box::pin(async move {
                let mut user = tx.user(made.user).await?.ok_or(preloop_store::Error::NotFound)?;
                user.email_verified = verified;
                take_over(tx, &provider, user, &external).await
            })
        });
        linked.await?;
        Ok(made.account)
    }
}

const fn source(provider: &IdentityProvider) -> UserSource {
    match provider.kind {
        ProviderKind::Oidc => UserSource::Oidc,
        ProviderKind::Github => UserSource::Github,
    }
}

/// Subjects are unique at their issuer only.
fn external_id(provider: &IdentityProvider, who: &Identified) -> String {
    format!("{}#{}", provider.issuer.trim_end_matches('/'), who.subject)
}

fn check_domain(provider: &IdentityProvider, who: &Identified) -> Result<(), SsoError> {
    if provider.allowed_domains.is_empty() {
        return Ok(());
    }
    let domain = who.email.as_deref().filter(|_| who.email_verified).and_then(|email| email.rsplit_once('@'));
    let is_in =
        |(_, domain): (&str, &str)| provider.allowed_domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain));
    if domain.is_some_and(is_in) {
        return Ok(());
    }
    let domains = provider.allowed_domains.join("`, `");
    Err(SsoError::NotLetIn(format!("{} lets in only people with a verified address in `{domains}`", provider.name)))
}

/// Somebody who was here before they came through the provider: the person of the same address, if
/// an administrator vouched for the address's domain and the provider for the address.
async fn known(
    tx: &mut Tx<'_>,
    provider: &IdentityProvider,
    who: &Identified,
) -> preloop_store::Result<Result<User, SsoError>> {
    let Some(email) = who.email.as_deref() else {
        return Ok(Err(SsoError::NotLetIn(format!(
            "{} does not know you here, and no new people are let in",
            provider.name
        ))));
    };
    let mut same = tx.users().await?;
    same.retain(|user| user.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email)));
    let vouched = provider.account.is_some() && who.email_verified && !provider.allowed_domains.is_empty();
    match <[User; 1]>::try_from(same) {
        Ok([user]) if vouched => Ok(Ok(user)),
        _ => Ok(Err(SsoError::NotLetIn(format!(
            "nobody here is known as `{email}` to {}; ask an administrator",
            provider.name
        )))),
    }
}

async fn take_over(
    tx: &mut Tx<'_>,
    provider: &IdentityProvider,
    mut user: User,
    external: &str,
) -> preloop_store::Result<User> {
    user.source = source(provider);
    user.external_id = Some(external.to_owned());
    tx.update_user(&user).await?;
    note(tx, &user, "linked", provider);
    Ok(user)
}

async fn create(
    tx: &mut Tx<'_>,
    provider: &IdentityProvider,
    who: &Identified,
    external: &str,
) -> preloop_store::Result<User> {
    let now = tx.now();
    let username = free_username(tx, who).await?;
    let user = User {
        email: who.email.clone(),
        email_verified: who.email_verified,
        full_name: who.full_name.clone(),
        source: source(provider),
        external_id: Some(external.to_owned()),
        ..User::new(UserId::new(now), username, now)
    };
    tx.insert_user(&user).await?;
    note(tx, &user, "created", provider);
    Ok(user)
}

/// Gives the roles and teams that the groups lead to, and takes those of the mapping they do not lead
/// to any more. What a person gave stays.
async fn align(
    tx: &mut Tx<'_>,
    provider: &IdentityProvider,
    user: &User,
    groups: &[String],
) -> preloop_store::Result<()> {
    let is_in = |group: &str| groups.iter().any(|own| own.eq_ignore_ascii_case(group));
    let mapped: BTreeSet<&str> = provider.groups.iter().filter_map(|mapping| Some(mapping.role?.as_str())).collect();
    let roles = provider.groups.iter().filter(|mapping| is_in(&mapping.group)).filter_map(|mapping| mapping.role);
    let wanted: Vec<Role> = roles.chain(provider.default_role).filter(|role| *role != Role::Owner).collect();
    let had = tx.user_roles(user.id).await?;
    for granted in had.iter().filter(|granted| granted.granted_by.is_none() && granted.role != Role::Owner) {
        if mapped.contains(granted.role.as_str()) && !wanted.contains(&granted.role) {
            tx.revoke_user_role(user.id, granted.role).await?;
            note(tx, user, &format!("role_removed:{}", granted.role.as_str()), provider);
        }
    }
    for role in wanted {
        if tx.grant_user_role(user.id, role, None).await? {
            note(tx, user, &format!("role_assigned:{}", role.as_str()), provider);
        }
    }

    let teams: BTreeSet<TeamId> = provider.groups.iter().filter_map(|mapping| mapping.team).collect();
    for id in teams {
        let Some(team) = tx.team(id).await? else { continue };
        let belongs = provider.groups.iter().any(|mapping| mapping.team == Some(id) && is_in(&mapping.group));
        match (belongs, team.members.contains(&user.id)) {
            (true, false) => {
                tx.add_team_member(id, user.id, None).await?;
                note(tx, user, &format!("team_joined:{}", team.name), provider);
            }
            (false, true) if tx.is_team_member_by_provider(id, user.id).await? => {
                tx.remove_team_member(id, user.id).await?;
                note(tx, user, &format!("team_left:{}", team.name), provider);
            }
            _ => {}
        }
    }
    Ok(())
}

fn note(tx: &mut Tx<'_>, user: &User, action: &str, provider: &IdentityProvider) {
    let body = json!({
        "config_type": "user", "action": action, "id": user.id, "name": user.username, "provider": provider.slug,
    });
    let subject = Subject { user: Some(user.id), ..Subject::default() };
    let (account, body) = (tx.account(), to_raw_value(&body).unwrap_or_default());
    tx.record(Entry { account, kind: EntryKind::KeyChanged, call: None, subject, body, payload: None });
}

/// A name for somebody new: what they are called there, or before the `@`, made fit, with a number if
/// somebody has it.
fn wanted_username(who: &Identified) -> String {
    let local = who.email.as_deref().and_then(|email| email.split('@').next());
    let name = who.username.as_deref().or(local).unwrap_or("user");
    let fit: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).take(40).collect();
    if fit.is_empty() { "user".to_owned() } else { fit }
}

async fn free_username(tx: &mut Tx<'_>, who: &Identified) -> preloop_store::Result<String> {
    let wanted = wanted_username(who);
    for number in 1..=MOST_NAMESAKES {
        let name = numbered(&wanted, number);
        if !tx.is_username_taken(&name).await? {
            return Ok(name);
        }
    }
    Err(preloop_store::Error::Invalid(format!("too many people are called `{wanted}`")))
}

const MOST_NAMESAKES: u32 = 1_000;

fn numbered(name: &str, number: u32) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}
