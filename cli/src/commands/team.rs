//! `shoal team`: who belongs together.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shoal_node::api::{
    InviteRequest, Invited, JoinRequest, MemberInfo, MemberRequest, TeamCreateRequest, TeamInfo,
    TeamRole,
};

use crate::error::{Code, Failure};
use crate::session::{Context, Session};
use crate::ui::table::{Align, Table};
use crate::ui::{format, out};
use crate::values;

/// More than a root key's file has.
const ROOT_KEY_BYTES_MAX: u64 = 256;

/// Found a team, let others in, join one: members read what is added for the team
///
/// Members' nodes find each other and what any of them has, without a server. What is added
/// on a member's node may be read by all members, unless it is added with --private.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal up --detach && shoal team create lab  # prints where the root key is: keep it offline
  shoal team invite                           # prints one line, good for 15 minutes
  shoal team join shoalinvite1…               # on the other machine
  shoal team revoke old-laptop")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Sub,
}

/// What to do about the team.
#[derive(Debug, clap::Subcommand)]
pub enum Sub {
    /// Found a team, with this node as its first admin
    Create {
        /// What it is called
        name: String,
        /// What this node is called in it [default: this machine's name]
        #[arg(long, value_name = "NAME")]
        my_name: Option<String>,
        /// Where the root key goes, which names and ends admins [default: ./NAME.root-key]
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        root_key: Option<PathBuf>,
    },
    /// Print an invitation; this node, which must be up, redeems it
    Invite {
        /// How long it is good for
        #[arg(long, value_name = "TIME", value_parser = values::some_time, default_value = "15m")]
        expires: Duration,
        /// How many nodes may join with it
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// End their membership this long after they join, give or take ten minutes that clocks
        /// may be apart: for nodes that come and go
        #[arg(long, value_name = "TIME", value_parser = values::some_time)]
        stay: Option<Duration>,
    },
    /// Join the team that an invitation, or - for one on stdin, is for
    Join {
        /// The line that `shoal team invite` printed
        invitation: String,
        /// What this node is called in the team [default: this machine's name]
        #[arg(long, value_name = "NAME")]
        my_name: Option<String>,
    },
    /// List the members
    Members {
        /// Also those who were revoked, left, or whose time is over
        #[arg(long)]
        all: bool,
    },
    /// End a membership for good; what was fetched stays with whom it is
    Revoke {
        /// A member's name, or the beginning of its PeerId
        node: String,
        /// The root key, to revoke an admin
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        root_key: Option<PathBuf>,
    },
    /// Make a member an admin
    Admin {
        /// A member's name, or the beginning of its PeerId
        node: String,
        /// The root key
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        root_key: PathBuf,
    },
    /// Leave the team, for good
    Leave {
        /// Also as the only admin, without whom nobody lets in or revokes others
        #[arg(long)]
        force: bool,
    },
}

/// Does it.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    let command = match args.command {
        Sub::Join {
            invitation,
            my_name,
        } => Sub::Join {
            invitation: context.invitation(invitation).await?,
            my_name,
        },
        command => command,
    };
    context
        .at_node(async |session| {
            match command {
                Sub::Create {
                    name,
                    my_name,
                    root_key,
                } => create(session, name, my_name, root_key).await,
                Sub::Invite {
                    expires,
                    uses,
                    stay,
                } => invite(session, expires, uses, stay).await,
                Sub::Join {
                    invitation,
                    my_name,
                } => join(session, invitation, my_name).await,
                Sub::Members { all } => members(session, all).await,
                Sub::Revoke { node, root_key } => revoke(session, node, root_key).await,
                Sub::Admin { node, root_key } => admin(session, node, &root_key).await,
                Sub::Leave { force } => leave(session, force).await,
            }?;
            Ok(Code::Ok)
        })
        .await
}

async fn create(
    session: &mut Session,
    name: String,
    my_name: Option<String>,
    root_key: Option<PathBuf>,
) -> Result<(), Failure> {
    let file = root_key.unwrap_or_else(|| format!("{}.root-key", plain(&name)).into());
    // Before there is a team: its key must have a place.
    let mut place = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .map_err(|error| {
            Failure::io(format_args!("cannot make {}", file.display()), &error)
                .hint("--root-key FILE puts the team's root key elsewhere")
        })?;
    let request = TeamCreateRequest {
        name,
        my_name: my_name.unwrap_or_else(machine),
    };
    let created = match session.client.team_create(&request).await {
        Ok(created) => created,
        Err(error) => {
            // It is empty: nothing is lost.
            let _ = std::fs::remove_file(&file);
            return Err(error.into());
        }
    };
    writeln!(place, "{}", created.root_key)
        .and_then(|()| place.sync_all())
        .map_err(|error| Failure::io(format_args!("cannot write {}", file.display()), &error))?;
    if session.json {
        out::json(&serde_json::json!({ "id": created.id.to_string(), "root_key": file }))?;
    } else {
        out::line(&created.id.to_string())?;
    }
    let shown = file.display();
    session.console.say(&format!(
        "founded {}; the root key is in {shown}: keep it offline, it names and ends admins, and \
         whoever has it owns the team",
        format::name(&request.name)
    ));
    Ok(())
}

async fn invite(
    session: &mut Session,
    expires: Duration,
    uses: u32,
    stay: Option<Duration>,
) -> Result<(), Failure> {
    let request = InviteRequest {
        expires_s: expires.as_secs(),
        uses,
        stay_s: stay.map(|stay| stay.as_secs()),
        name: "guest".to_owned(),
    };
    let invited: Invited = session.client.team_invite(&request).await?;
    if session.json {
        out::json(&invited)?;
    } else {
        out::line(&invited.invitation)?;
    }
    let who = match invited.uses {
        1 => "one node".to_owned(),
        uses => format!("{uses} nodes"),
    };
    session.console.say(&format!(
        "lets {who} in until {}, as long as this node is up: `shoal team join` there",
        format::utc(invited.expires_unix_s)
    ));
    Ok(())
}

async fn join(
    session: &mut Session,
    invitation: String,
    my_name: Option<String>,
) -> Result<(), Failure> {
    let request = JoinRequest {
        invitation,
        my_name: Some(my_name.unwrap_or_else(machine)),
    };
    let team = session.client.team_join(&request).await?;
    said(
        session,
        &team,
        &format!("joined {}", format::name(&team.name)),
    )
}

async fn members(session: &mut Session, all: bool) -> Result<(), Failure> {
    let mut team = session.client.team().await?;
    team.members.retain(|member| all || is_in(member));
    if session.json {
        return out::json(&team);
    }
    out::text(&render(&team.members))?;
    if let Some(ended) = &team.ended {
        session
            .console
            .say(&format!("{ended}: this is what it knew then"));
    }
    Ok(())
}

async fn revoke(session: &mut Session, node: String, key: Option<PathBuf>) -> Result<(), Failure> {
    let request = MemberRequest {
        node: Some(node.clone()),
        force: false,
        root_key: key.as_deref().map(root_key).transpose()?,
    };
    let team = session.client.team_revoke(&request).await?;
    let node = format::name(&node);
    said(
        session,
        &team,
        &format!("revoked {node}: it reads nothing more; what it fetched it keeps"),
    )
}

async fn admin(session: &mut Session, node: String, key: &Path) -> Result<(), Failure> {
    let request = MemberRequest {
        node: Some(node.clone()),
        force: false,
        root_key: Some(root_key(key)?),
    };
    let team = session.client.team_admin(&request).await?;
    said(
        session,
        &team,
        &format!("{} is an admin", format::name(&node)),
    )
}

async fn leave(session: &mut Session, force: bool) -> Result<(), Failure> {
    let request = MemberRequest {
        node: None,
        force,
        root_key: None,
    };
    let team = session.client.team_revoke(&request).await?;
    let name = format::name(&team.name);
    let others = team.members.iter().filter(|member| is_in(member)).count();
    said(
        session,
        &team,
        &match (others, team.told.unwrap_or_default()) {
            (0, _) => format!("left {name}, in which nobody is now"),
            (_, 0) => format!(
                "left {name}; none of its members could be told: they list this node until one \
                 of its admins revokes it"
            ),
            (_, told) => format!(
                "left {name}; {} heard it",
                format::counted(told as u64, "member")
            ),
        },
    )
}

fn said(session: &Session, team: &TeamInfo, sentence: &str) -> Result<(), Failure> {
    if session.json {
        out::json(team)?;
    }
    session.console.say(sentence);
    Ok(())
}

/// What a role is called.
pub(super) fn role(role: TeamRole) -> &'static str {
    match role {
        TeamRole::Admin => "admin",
        TeamRole::Member => "member",
        TeamRole::Expired => "expired",
        TeamRole::Revoked => "revoked",
        TeamRole::Left => "left",
    }
}

fn is_in(member: &MemberInfo) -> bool {
    matches!(member.role, TeamRole::Admin | TeamRole::Member)
}

fn render(members: &[MemberInfo]) -> String {
    let mut table = Table::new([Align::Left, Align::Left, Align::Left, Align::Left]);
    for member in members {
        let role = role(member.role);
        let role = match member.is_me {
            true => format!("{role}, this node"),
            false => role.to_owned(),
        };
        let mut since = format!("since {}", format::utc(member.since_unix_s));
        if let Some(end) = member.expires_unix_s {
            since.push_str(&format!(", until {}", format::utc(end)));
        }
        let name = format::name(&member.name);
        table.row([name, role, member.node.to_string(), since]);
    }
    table.render(0)
}

/// What is in a root key's file.
fn root_key(file: &Path) -> Result<String, Failure> {
    let read = || {
        let mut text = String::new();
        std::fs::File::open(file)?
            .take(ROOT_KEY_BYTES_MAX)
            .read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    };
    read().map_err(|error: std::io::Error| {
        Failure::io(format_args!("cannot read {}", file.display()), &error)
    })
}

/// What this machine is called.
fn machine() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    match name.is_empty() {
        true => "node".to_owned(),
        false => name.to_owned(),
    }
}

/// A team's name as a file may be called.
fn plain(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_".contains(c) {
            c
        } else {
            '-'
        }
    };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_columns() {
        let member = |name: &str, role, is_me| MemberInfo {
            node: shoal_protocol::peer::PeerKey::from_bytes([1; 32]),
            name: name.to_owned(),
            role,
            is_me,
            since_unix_s: 0,
            expires_unix_s: None,
            admitted_by: "x".to_owned(),
        };
        let text = render(&[
            member("a", TeamRole::Admin, true),
            member("gpu-17", TeamRole::Member, false),
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("a       admin, this node"), "{text}");
        assert!(lines[1].starts_with("gpu-17  member"), "{text}");
    }

    #[test]
    fn a_file_is_called_after_the_team_whatever_that_is_called() {
        assert_eq!(plain("../lab a"), "---lab-a");
    }
}
