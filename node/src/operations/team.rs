//! `team`: founding one, letting others in, joining, ending memberships.
//!
//! Owns: finding who is meant, and what a person is told. Refuses: what operations mean, and
//! keeping a root key: that goes to whoever asked, and nowhere else.

use data_encoding::HEXLOWER;
use libp2p_identity::ed25519;
use shoal_protocol::access::team::{Invitation, InvitationError, Member, MemberName, TeamName};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::NotWelcomeReason;

use crate::api::{
    ApiError, ErrorKind, InviteRequest, Invited, JoinRequest, MemberInfo, MemberRequest,
    TeamCreateRequest, TeamCreated, TeamInfo, TeamRole,
};
use crate::finding;
use crate::node::{Node, blocking, unix_now_s};
use crate::team::{self, Ended, JoinError, TeamError};

/// What the text of a root key begins with.
const ROOT_KEY: &str = "shoalroot1";
/// How who is out of a team for good comes back.
const ANOTHER_HOME: &str = "it may found or join another team; this one lets in a new home, which \
                            has a new key: set SHOAL_HOME to another directory";

impl Node {
    /// The team, and who is in it. `NotFound` if the node is in none.
    pub async fn team_info(&self) -> Result<TeamInfo, ApiError> {
        let (id, root, name) = self.team().team().ok_or(TeamError::None)?;
        let (me, now) = (self.peer(), unix_now_s());
        let ended = self.team().check_in().err();
        let members = self.team().members();
        let called = |node: &PeerKey| match members.iter().find(|m| m.node == *node) {
            _ if *node == root => "the root key".to_owned(),
            Some(member) => member.name.clone(),
            None => node.to_string(),
        };
        let mut infos: Vec<_> = (members.iter())
            .map(|member| MemberInfo {
                node: member.node,
                name: member.name.clone(),
                role: role(member, now),
                is_me: member.node == me,
                since_unix_s: member.admitted_unix_s,
                expires_unix_s: member.expires_unix_s,
                admitted_by: called(&member.admitted_by),
            })
            .collect();
        infos.sort_by_key(|info| {
            let is_in = matches!(info.role, TeamRole::Admin | TeamRole::Member);
            (!is_in, info.name.clone(), info.node)
        });
        let mine = infos.iter().find(|info| info.is_me);
        Ok(TeamInfo {
            id,
            name,
            role: mine.map_or(TeamRole::Revoked, |info| info.role),
            ended: ended.map(|ended| ended.to_string()),
            told: None,
            members: infos,
        })
    }

    /// Founds a team, with this node as its first admin.
    pub async fn team_create(&self, request: TeamCreateRequest) -> Result<TeamCreated, ApiError> {
        let name: TeamName = given(&request.name, "a team")?;
        let my_name: MemberName = given(&request.my_name, "a node")?;
        let book = self.team().clone();
        let root = blocking(move || book.create(name, my_name)).await?;
        let (id, ..) = self.team().team().ok_or(TeamError::None)?;
        let secret = HEXLOWER.encode(root.secret().as_ref());
        Ok(TeamCreated {
            id,
            root_key: format!("{ROOT_KEY}{secret}"),
        })
    }

    /// Makes an invitation, which this node has to be there for: it redeems it.
    pub async fn team_invite(&self, request: InviteRequest) -> Result<Invited, ApiError> {
        self.team().check_in()?;
        if !self.is_daemon() {
            let message = "an invitation is redeemed at the node that made it, and none runs";
            return Err(ApiError::new(ErrorKind::Usage, message)
                .hint("`shoal up --detach` starts it; then invite again"));
        }
        let addresses = self.plane().dialable().await;
        let name: MemberName = given(&request.name, "a guest")?;
        let expires_unix_s = unix_now_s().saturating_add(request.expires_s);
        let (book, uses, stay_s) = (self.team().clone(), request.uses, request.stay_s);
        let invitation =
            blocking(move || book.invite(addresses, uses, expires_unix_s, stay_s, name)).await?;
        Ok(Invited {
            invitation: invitation.to_text(),
            expires_unix_s,
            uses,
        })
    }

    /// Makes this node a member of the team that it is invited to.
    pub async fn team_join(&self, request: JoinRequest) -> Result<TeamInfo, ApiError> {
        let invitation = Invitation::from_text(&request.invitation)?;
        let name = match &request.my_name {
            Some(name) => given(name, "a node")?,
            None => MemberName::cut(""),
        };
        let endpoint = self.plane().endpoint()?;
        let (home, minter) = (self.home().to_owned(), invitation.clone());
        // Before the team is known, so that the control plane finds it when it starts.
        blocking(move || {
            finding::remember_minter(&home, &minter);
            Ok::<_, ApiError>(())
        })
        .await?;
        team::join(&endpoint, self.team(), invitation, name).await?;
        self.team_info().await
    }

    /// Ends a membership: another's, as an admin or with the root key, or this node's own. The
    /// latter says how many heard of it.
    pub async fn team_revoke(&self, request: MemberRequest) -> Result<TeamInfo, ApiError> {
        let node = match &request.node {
            Some(text) => self.member(text)?,
            None => self.peer(),
        };
        let root = request.root_key.as_deref().map(root_key).transpose()?;
        if node != self.peer() {
            let book = self.team().clone();
            blocking(move || book.revoke(node, root.as_ref())).await?;
            return self.team_info().await;
        }
        if self.team().is_last_admin() && !request.force {
            return Err(TeamError::LastAdmin.into());
        }
        let told = self.leave_team(root).await?;
        let info = self.team_info().await?;
        Ok(TeamInfo {
            told: Some(told),
            ..info
        })
    }

    /// Makes a member an admin, which takes the root key.
    pub async fn team_admin(&self, request: MemberRequest) -> Result<TeamInfo, ApiError> {
        let node = match &request.node {
            Some(text) => self.member(text)?,
            None => self.peer(),
        };
        let Some(root) = request.root_key.as_deref() else {
            return Err(TeamError::NeedsRoot(node).into());
        };
        let (book, root) = (self.team().clone(), root_key(root)?);
        blocking(move || book.name_admin(node, &root)).await?;
        self.team_info().await
    }

    /// `otherwise`, for which the reason may be that this node is in a team no more.
    pub(super) fn out_of_team(&self, otherwise: ApiError) -> ApiError {
        match self.team().check_in() {
            Err(ended @ TeamError::Ended(..)) => {
                let ended = ApiError::from(ended);
                let message = format!("{}, and {}", otherwise.message, ended.message);
                ApiError { message, ..ended }
            }
            _ => otherwise,
        }
    }

    /// The member that `text` means.
    fn member(&self, text: &str) -> Result<PeerKey, ApiError> {
        self.team().check_in()?;
        let members = self.team().members();
        let means = |member: &&Member| {
            member.name == text || (text.len() > 3 && member.node.to_string().starts_with(text))
        };
        let is_in = |member: &&Member| self.team().is_member(&member.node);
        let found: Vec<_> = members.iter().filter(means).filter(is_in).collect();
        match found[..] {
            [member] => Ok(member.node),
            [] => {
                let any_more = match members.iter().any(|member| means(&member)) {
                    true => " any more",
                    false => "",
                };
                let message = format!("`{text}` is no member of the team{any_more}");
                Err(ApiError::new(ErrorKind::NotFound, message)
                    .hint("`shoal team members` lists them"))
            }
            _ => {
                let message = format!("`{text}` means {} members", found.len());
                let which: Vec<_> = found.iter().map(|m| m.node.to_string()).collect();
                Err(ApiError::new(ErrorKind::Usage, message)
                    .hint(format!("say which by its PeerId: {}", which.join(", "))))
            }
        }
    }
}

fn role(member: &Member, now: u64) -> TeamRole {
    match member.expires_unix_s {
        _ if member.revoked_by == Some(member.node) => TeamRole::Left,
        _ if member.revoked_by.is_some() => TeamRole::Revoked,
        _ if member.is_admin => TeamRole::Admin,
        Some(end) if end < now => TeamRole::Expired,
        _ => TeamRole::Member,
    }
}

/// A name that somebody gave.
fn given(name: &str, whose: &str) -> Result<MemberName, ApiError> {
    let name = name.trim();
    let is_plain = !name.is_empty() && !name.chars().any(char::is_control);
    MemberName::new(name.to_owned())
        .ok()
        .filter(|_| is_plain)
        .ok_or_else(|| {
            let message =
                format!("the name of {whose} has 1 to 64 bytes and no control characters");
            ApiError::new(ErrorKind::Usage, message)
        })
}

fn root_key(text: &str) -> Result<ed25519::Keypair, ApiError> {
    let bytes = (text.trim().strip_prefix(ROOT_KEY))
        .and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok())
        .and_then(|bytes| ed25519::SecretKey::try_from_bytes(bytes).ok());
    bytes.map(ed25519::Keypair::from).ok_or_else(|| {
        let message = format!("this is not a root key: one begins with `{ROOT_KEY}`");
        ApiError::new(ErrorKind::Usage, message)
            .hint("it is in the file that `shoal team create` wrote")
    })
}

impl From<InvitationError> for ApiError {
    fn from(error: InvitationError) -> Self {
        Self::in_two(ErrorKind::Usage, &error.to_string())
    }
}

impl From<TeamError> for ApiError {
    fn from(error: TeamError) -> Self {
        let message = error.to_string();
        match error {
            TeamError::None => Self::new(ErrorKind::NotFound, message)
                .hint("`shoal team create NAME` founds one, `shoal team join` joins one"),
            TeamError::Ended(_, Ended::Expired) => Self::new(ErrorKind::NotPermitted, message)
                .hint("ask an admin for a new invitation: `shoal team invite`"),
            TeamError::Ended(_, Ended::Left | Ended::Revoked) => {
                Self::new(ErrorKind::NotPermitted, message).hint(ANOTHER_HOME)
            }
            TeamError::LastAdmin => Self::new(ErrorKind::Usage, message).hint(
                "`shoal team admin NODE --root-key FILE` makes another; --force goes all the same",
            ),
            TeamError::Another(_) => Self::new(ErrorKind::Usage, message)
                .hint("set SHOAL_HOME to another directory for another team"),
            TeamError::NotAdmin => Self::new(ErrorKind::NotPermitted, message)
                .hint("`shoal team members` shows who is one"),
            TeamError::NoMember(_) => {
                Self::new(ErrorKind::NotFound, message).hint("`shoal team members` lists them")
            }
            TeamError::NeedsRoot(_) => Self::new(ErrorKind::NotPermitted, message)
                .hint("give the file that `shoal team create` wrote with --root-key"),
            TeamError::NotTheRoot => Self::new(ErrorKind::NotPermitted, message),
            TeamError::Refused(_) => Self::new(ErrorKind::NotPermitted, message),
            TeamError::Invitations => Self::new(ErrorKind::Usage, message)
                .hint("they end by themselves; one with more --uses replaces many"),
            TeamError::File(error) => error.into(),
        }
    }
}

impl From<JoinError> for ApiError {
    fn from(error: JoinError) -> Self {
        let message = error.to_string();
        match error {
            JoinError::Unreachable(_) => Self::new(ErrorKind::NoSource, message)
                .hint("is `shoal up` running there, and its port open?"),
            JoinError::NotWelcome(NotWelcomeReason::Revoked) => {
                Self::new(ErrorKind::NotPermitted, message).hint(ANOTHER_HOME)
            }
            JoinError::NotWelcome(_) => Self::new(ErrorKind::NotPermitted, message)
                .hint("ask an admin for a new one: `shoal team invite`"),
            JoinError::Full { .. } => Self::new(ErrorKind::NoSource, message)
                .hint("come back in a minute, with the same command"),
            JoinError::Protocol(_) => Self::new(ErrorKind::Error, message),
            JoinError::Team(error) => error.into(),
        }
    }
}
