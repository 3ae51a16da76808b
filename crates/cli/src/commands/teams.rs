//! `preloop teams`: people who are asked together and have roles together.

use clap::Subcommand;
use preloop_api_types::{
    people::{GrantRole, GrantedRoles},
    teams::{AddMember, ChangeTeam, CreateTeam, Member, Members, Team, Teams},
};

use super::users::{find_role, find_user, show_roles};
use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::Result,
    output::Printer,
    words::{at, find},
};

const TEAMS: &str = "/api/v1/teams";

#[derive(Subcommand)]
pub(crate) enum TeamsCommand {
    /// List teams
    List,
    /// Make a team
    Create {
        /// Its name
        #[arg(value_parser = some_text())]
        name: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// Give a team another name
    Rename {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
        /// The new name
        #[arg(value_parser = some_text())]
        name: String,
    },
    /// Remove a team and the roles it gave
    Remove {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
    },
    /// Show who is in a team
    Members {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
    },
    /// Put somebody in a team
    Add {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
        /// Their name or id
        #[arg(value_parser = some_text())]
        user: String,
    },
    /// Take somebody out of a team
    Drop {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
        /// Their name or id
        #[arg(value_parser = some_text())]
        user: String,
    },
    /// Show the roles a team gives its members
    Roles {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
    },
    /// Give a team's members a role
    Grant {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
        /// `owner`, `admin`, `editor`, `executor`, `tracker_manager`, `analyst` or `viewer`
        #[arg(value_parser = some_text())]
        role: String,
    },
    /// Take a role from a team's members
    Revoke {
        /// Its name or id
        #[arg(value_parser = some_text())]
        team: String,
        /// The role
        #[arg(value_parser = some_text())]
        role: String,
    },
}

pub(crate) async fn run(command: &TeamsCommand, global: &Global) -> Result {
    let (client, printer) = (Client::new(global)?, global.printer());
    match command {
        TeamsCommand::List => list(&client, printer).await,
        TeamsCommand::Create { name, description } => {
            let body = CreateTeam { name: name.clone(), description: description.clone() };
            let team: Team = client.post(TEAMS, &body).await?;
            printer.done(&team, &format!("team `{}` is made", team.name))
        }
        TeamsCommand::Rename { team, name } => {
            let team = find_team(&client, team).await?;
            let body = ChangeTeam { name: Some(name.clone()), ..ChangeTeam::default() };
            let team: Team = client.patch(&path(&team), &body).await?;
            printer.done(&team, &format!("the team is called `{}` now", team.name))
        }
        TeamsCommand::Remove { team } => {
            let team = find_team(&client, team).await?;
            client.delete(&path(&team)).await?;
            printer.done(&team, &format!("team `{}` is removed", team.name))
        }
        TeamsCommand::Members { team } => members(&client, printer, &find_team(&client, team).await?).await,
        TeamsCommand::Add { team, user } => {
            let (team, user) = (find_team(&client, team).await?, find_user(&client, user).await?);
            let body = AddMember { user_id: user.id };
            let member: Member = client.post(&format!("{}/members", path(&team)), &body).await?;
            printer.done(&member, &format!("`{}` is in team `{}`", user.username, team.name))
        }
        TeamsCommand::Drop { team, user } => {
            let (team, user) = (find_team(&client, team).await?, find_user(&client, user).await?);
            client.delete(&format!("{}/members/{}", path(&team), user.id)).await?;
            printer.done(&team, &format!("`{}` is in team `{}` no more", user.username, team.name))
        }
        TeamsCommand::Roles { team } => {
            let team = find_team(&client, team).await?;
            show_roles(printer, &client.get(&format!("{}/roles", path(&team))).await?)
        }
        TeamsCommand::Grant { team, role } => {
            let (team, role) = (find_team(&client, team).await?, find_role(&client, role).await?);
            let body = GrantRole { role_id: role.id };
            let roles: GrantedRoles = client.post(&format!("{}/roles", path(&team)), &body).await?;
            printer.done(&roles, &format!("team `{}` gives role `{}`", team.name, role.name))
        }
        TeamsCommand::Revoke { team, role } => {
            let (team, role) = (find_team(&client, team).await?, find_role(&client, role).await?);
            client.delete(&format!("{}/roles/{}", path(&team), role.id)).await?;
            printer.done(&team, &format!("team `{}` gives role `{}` no more", team.name, role.name))
        }
    }
}

fn path(team: &Team) -> String {
    format!("{TEAMS}/{}", team.id)
}

async fn find_team(client: &Client, wanted: &str) -> Result<Team> {
    let all: Teams = client.get(&format!("{TEAMS}?limit=1000")).await?;
    find("team", &all.teams, wanted, |team| team.id, |team| vec![&team.name]).cloned()
}

async fn list(client: &Client, printer: Printer) -> Result {
    let all: Teams = client.get(&format!("{TEAMS}?limit=1000")).await?;
    printer.list(
        &all.teams,
        &[
            ("name", |team| team.name.clone()),
            ("members", |team| team.member_count.to_string()),
            ("for", |team| team.description.clone().unwrap_or_default()),
            ("id", |team| team.id.to_string()),
        ],
        "there are no teams",
    )
}

async fn members(client: &Client, printer: Printer, team: &Team) -> Result {
    let all: Members = client.get(&format!("{}/members?limit=1000", path(team))).await?;
    printer.list(
        &all.members,
        &[
            ("name", |member| member.user.as_ref().map(|user| user.username.clone()).unwrap_or_default()),
            ("e-mail", |member| member.user.as_ref().and_then(|user| user.email.clone()).unwrap_or_default()),
            ("since", |member| at(member.joined_at)),
            ("id", |member| member.user_id.to_string()),
        ],
        "nobody is in this team",
    )
}
