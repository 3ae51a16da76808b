//! `preloop users`: people of the account, their roles, and invitations.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use preloop_api_types::{
    account::User,
    people::{
        ChangeUser, GrantRole, GrantedRole, GrantedRoles, Invitation, Invitations, Invite, Role, Roles, SentInvitation,
        Users,
    },
};
use preloop_store::{Clock, SystemClock};
use serde_json::Value;

use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::{Exit, Failure, Result},
    instance::DataDir,
    output::{Format, Printer},
    words::{at, find, maybe_at},
};

use super::serve::{default_data_dir, instance_secret};

const USERS: &str = "/api/v1/users";
const INVITATIONS: &str = "/api/v1/invitations";

#[derive(Subcommand)]
pub(crate) enum UsersCommand {
    /// List people
    List,
    /// Invite somebody by mail; prints the link where mail cannot be sent
    Invite(InviteArgs),
    /// List invitations
    Invitations {
        /// Only `pending`, `accepted`, `expired` or `cancelled` ones
        #[arg(long, value_parser = ["pending", "accepted", "expired", "cancelled"])]
        status: Option<String>,
    },
    /// Send an invitation anew
    Resend {
        /// The address or the invitation's id
        #[arg(value_parser = some_text())]
        invitation: String,
    },
    /// Withdraw an invitation
    Uninvite {
        /// The address or the invitation's id
        #[arg(value_parser = some_text())]
        invitation: String,
    },
    /// Keep somebody out: their sessions end, their keys do nothing
    Deactivate {
        /// Their name or id
        #[arg(value_parser = some_text())]
        user: String,
    },
    /// Let somebody in again
    Activate {
        /// Their name or id
        #[arg(value_parser = some_text())]
        user: String,
    },
    /// Show somebody's roles; everybody's roles and what they allow, when nobody is named
    Roles {
        /// Their name or id
        user: Option<String>,
    },
    /// Give somebody a role
    Grant {
        /// Their name or id
        #[arg(value_parser = some_text())]
        user: String,
        /// `owner`, `admin`, `editor`, `executor`, `tracker_manager`, `analyst` or `viewer`
        #[arg(value_parser = some_text())]
        role: String,
    },
    /// Take a role from somebody
    Revoke {
        /// Their name or id
        #[arg(value_parser = some_text())]
        user: String,
        /// The role
        #[arg(value_parser = some_text())]
        role: String,
    },
    /// On the server's own machine, while it is stopped: say who looks after the whole instance
    Superuser(Superuser),
}

#[derive(Args)]
pub(crate) struct InviteArgs {
    /// Their address
    #[arg(value_parser = some_text())]
    email: String,
    /// A role they will have (repeatable)
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The id of a team they will be in (repeatable)
    #[arg(long = "team", value_name = "ID")]
    teams: Vec<preloop_api_types::Uuid>,
}

#[derive(Args)]
pub(crate) struct Superuser {
    /// What they sign in with
    #[arg(value_parser = some_text())]
    username: String,
    /// Takes it from them instead
    #[arg(long)]
    no_more: bool,
    /// Where the database and the instance's key are kept [default: ~/.local/share/preloop]
    #[arg(long, value_name = "FOLDER", env = "PRELOOP_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// `postgres://…` or `sqlite:///path`; a SQLite file in the data directory when left out
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

pub(crate) async fn run(command: &UsersCommand, global: &Global) -> Result {
    let printer = global.printer();
    if let UsersCommand::Superuser(wanted) = command {
        return superuser(printer, wanted).await;
    }
    let client = Client::new(global)?;
    match command {
        UsersCommand::List => list(&client, printer).await,
        UsersCommand::Invite(wanted) => invite(&client, printer, wanted).await,
        UsersCommand::Invitations { status } => invitations(&client, printer, status.as_deref()).await,
        UsersCommand::Resend { invitation } => {
            let found = find_invitation(&client, invitation).await?;
            let path = format!("{INVITATIONS}/{}/resend", found.id);
            sent(printer, &client.post(&path, &Value::Null).await?)
        }
        UsersCommand::Uninvite { invitation } => {
            let found = find_invitation(&client, invitation).await?;
            client.delete(&format!("{INVITATIONS}/{}", found.id)).await?;
            printer.done(&found, &format!("the invitation of `{}` is withdrawn", found.email))
        }
        UsersCommand::Deactivate { user } => {
            let user = set_active(&client, user, false).await?;
            printer.done(&user, &format!("`{}` is kept out", user.username))
        }
        UsersCommand::Activate { user } => {
            let user = set_active(&client, user, true).await?;
            printer.done(&user, &format!("`{}` is let in", user.username))
        }
        UsersCommand::Roles { user: None } => roles(&client, printer).await,
        UsersCommand::Roles { user: Some(user) } => {
            let user = find_user(&client, user).await?;
            show_roles(printer, &client.get(&format!("{USERS}/{}/roles", user.id)).await?)
        }
        UsersCommand::Grant { user, role } => {
            let (user, role) = (find_user(&client, user).await?, find_role(&client, role).await?);
            let body = GrantRole { role_id: role.id };
            let roles: GrantedRoles = client.post(&format!("{USERS}/{}/roles", user.id), &body).await?;
            printer.done(&roles, &format!("`{}` has role `{}`", user.username, role.name))
        }
        UsersCommand::Revoke { user, role } => {
            let (user, role) = (find_user(&client, user).await?, find_role(&client, role).await?);
            client.delete(&format!("{USERS}/{}/roles/{}", user.id, role.id)).await?;
            printer.done(&user, &format!("`{}` has role `{}` no more", user.username, role.name))
        }
        UsersCommand::Superuser(_) => Ok(()),
    }
}

async fn set_active(client: &Client, user: &str, is_active: bool) -> Result<User> {
    let user = find_user(client, user).await?;
    let body = ChangeUser { is_active: Some(is_active), ..ChangeUser::default() };
    client.patch(&format!("{USERS}/{}", user.id), &body).await
}

pub(super) async fn find_user(client: &Client, wanted: &str) -> Result<User> {
    let all: Users = client.get(&format!("{USERS}?limit=1000")).await?;
    let names =
        |user: &'_ User| -> Vec<String> { std::iter::once(user.username.clone()).chain(user.email.clone()).collect() };
    let named = all.users.iter().find(|user| names(user).iter().any(|name| name == wanted));
    match named {
        Some(user) => Ok(user.clone()),
        None => find("user", &all.users, wanted, |user| user.id, |user| vec![&user.username]).cloned(),
    }
}

pub(super) async fn find_role(client: &Client, wanted: &str) -> Result<Role> {
    let all: Roles = client.get("/api/v1/roles").await?;
    find("role", &all.roles, wanted, |role| role.id, |role| vec![&role.name]).cloned()
}

async fn find_invitation(client: &Client, wanted: &str) -> Result<Invitation> {
    let all: Invitations = client.get(&format!("{INVITATIONS}?limit=1000")).await?;
    // Of several to one address the last counts.
    match all.invitations.iter().find(|invitation| invitation.email.eq_ignore_ascii_case(wanted)) {
        Some(invitation) => Ok(invitation.clone()),
        None => find("invitation", &all.invitations, wanted, |each| each.id, |each| vec![&each.email]).cloned(),
    }
}

async fn list(client: &Client, printer: Printer) -> Result {
    let all: Users = client.get(&format!("{USERS}?limit=1000")).await?;
    printer.list(
        &all.users,
        &[
            ("name", |user| user.username.clone()),
            ("e-mail", |user| user.email.clone().unwrap_or_default()),
            ("full name", |user| user.full_name.clone().unwrap_or_default()),
            ("active", |user| if user.is_active { "yes" } else { "no" }.to_owned()),
            ("from", |user| user.user_source.clone()),
            ("last signed in", |user| maybe_at(user.last_login)),
            ("id", |user| user.id.to_string()),
        ],
        "there is nobody",
    )
}

async fn invite(client: &Client, printer: Printer, wanted: &InviteArgs) -> Result {
    let mut role_ids = Vec::new();
    for role in &wanted.roles {
        role_ids.push(find_role(client, role).await?.id);
    }
    let body = Invite { email: wanted.email.clone(), role_ids, team_ids: wanted.teams.clone() };
    sent(printer, &client.post(INVITATIONS, &body).await?)
}

fn sent(printer: Printer, sent: &SentInvitation) -> Result {
    if printer.format != Format::Table {
        return printer.data(sent);
    }
    let (email, until) = (&sent.invitation.email, at(sent.invitation.expires_at));
    if sent.mailed {
        return printer.say(&format!("`{email}` is invited by mail, until {until}"));
    }
    printer.note(&format!("This server sends no mail. Hand this link to `{email}`; it works once, until {until}:"));
    printer.text(&sent.accept_url)
}

async fn invitations(client: &Client, printer: Printer, status: Option<&str>) -> Result {
    let status = status.map(|status| format!("&status={status}")).unwrap_or_default();
    let all: Invitations = client.get(&format!("{INVITATIONS}?limit=1000{status}")).await?;
    printer.list(
        &all.invitations,
        &[
            ("e-mail", |each: &Invitation| each.email.clone()),
            ("status", |each| each.status.clone()),
            ("until", |each| at(each.expires_at)),
            ("id", |each| each.id.to_string()),
        ],
        "nobody was invited",
    )
}

async fn roles(client: &Client, printer: Printer) -> Result {
    let all: Roles = client.get("/api/v1/roles").await?;
    printer.list(
        &all.roles,
        &[
            ("role", |role| role.name.clone()),
            ("for", |role| role.description.clone()),
            ("permissions", |role| role.permissions.len().to_string()),
            ("id", |role| role.id.to_string()),
        ],
        "there are no roles",
    )
}

pub(super) fn show_roles(printer: Printer, roles: &GrantedRoles) -> Result {
    printer.list(
        &roles.roles,
        &[
            ("role", |role: &GrantedRole| role.name.clone()),
            ("for", |role| role.description.clone()),
            ("since", |role| at(role.granted_at)),
        ],
        "no roles",
    )
}

async fn superuser(printer: Printer, wanted: &Superuser) -> Result {
    let data = DataDir::take(&wanted.data_dir.clone().map_or_else(default_data_dir, Ok)?)?;
    let key = data.instance_key(instance_secret().as_ref(), false)?;
    let database = wanted.database_url.clone().unwrap_or_else(|| data.sqlite_url());
    let writer = data.writer(SystemClock.now())?;
    let (name, is_superuser) = (&wanted.username, !wanted.no_more);
    let known = preloop_server::set_superuser(&database, &key, writer, name, is_superuser).await;
    if !known.context("the database cannot be changed")? {
        return Err(Failure::new(Exit::NotFound, format!("there is no user `{name}`")));
    }
    let sentence = if is_superuser {
        format!("`{name}` looks after this instance")
    } else {
        format!("`{name}` looks after this instance no more")
    };
    printer.done(&serde_json::json!({ "username": name, "is_superuser": is_superuser }), &sentence)
}
