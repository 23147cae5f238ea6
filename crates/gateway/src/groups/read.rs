//! What is known of groups.

use std::time::Duration;

use domain::{
    ChatId, SessionId, Timestamp,
    group::{Group, GroupRole, MembershipRequest},
    port::{GroupJoined, GroupWrite, KnownGroup, Page, Write},
};

use super::{GroupError, GroupView, Groups, ListedGroup};
use crate::sessions::ReadySession;

/// Which groups a caller may see; `None` means all.
type SeenGroups<'a> = Option<&'a (dyn Fn(&ChatId) -> bool + Send + Sync)>;

/// A group is asked anew after so long, even when nothing says that the ledger lost track of it.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// Rows read at once while a list is filtered.
const FILTER_PAGE: u32 = 1000;

impl Groups {
    /// The account's groups that the caller may see, by id. Asked of WhatsApp as long as none is known.
    ///
    /// # Errors
    /// [`GroupError`]; the session's state only while no group is known.
    pub async fn list(
        &self,
        session: SessionId,
        page: Page,
        visible: SeenGroups<'_>,
    ) -> Result<Vec<ListedGroup>, GroupError> {
        let first = Page { limit: 1, offset: 0 };
        let any = self.ports.store.known_groups(session, first).await.map_err(GroupError::Store)?;
        if any.is_empty() {
            self.learn_all(session).await?;
        }
        self.known(session, page, visible).await
    }

    async fn known(
        &self,
        session: SessionId,
        page: Page,
        visible: SeenGroups<'_>,
    ) -> Result<Vec<ListedGroup>, GroupError> {
        let sees = |id: &ChatId| visible.is_none_or(|visible| visible(id));
        let (mut found, mut skip, mut offset) = (Vec::new(), page.offset, 0);
        loop {
            let rows = Page { limit: FILTER_PAGE, offset };
            let rows = self.ports.store.known_groups(session, rows).await;
            let rows = rows.map_err(GroupError::Store)?;
            let last = rows.len() < FILTER_PAGE as usize;
            for (id, name, parent) in rows.into_iter().filter(|(id, ..)| sees(id)) {
                if skip > 0 {
                    skip -= 1;
                } else if found.len() < page.limit as usize {
                    found.push(ListedGroup { id, name, parent });
                }
            }
            if last || found.len() >= page.limit as usize {
                return Ok(found);
            }
            offset += FILTER_PAGE;
        }
    }

    async fn learn_all(&self, session: SessionId) -> Result<(), GroupError> {
        let link = self.link(session).await?;
        let as_of = self.ports.clock.now();
        let groups = link.connection.groups().await?;
        let mut writes = Vec::with_capacity(groups.len());
        for known in groups {
            writes.push(know(session, known, as_of));
        }
        if writes.is_empty() {
            return Ok(());
        }
        let done = self.ledger.write(Some(&link.lease), writes).await;
        done.map(drop).map_err(GroupError::Store)
    }

    /// One group, as far as it is known; asked of WhatsApp where the ledger does not have it or lost track of it.
    ///
    /// # Errors
    /// [`GroupError`]; the session's state only when the group is not known.
    pub async fn get(&self, session: SessionId, id: &ChatId) -> Result<GroupView, GroupError> {
        let group = self.current(session, id).await?;
        let mut names = Vec::with_capacity(group.members.len());
        for member in &group.members {
            let known = self.ports.store.contact(session, &member.person.id).await;
            let known = known.map_err(GroupError::Store)?;
            names.push(known.and_then(|one| one.name.or(one.push_name)));
        }
        let is_admin = self.is_admin(session, &group).await?;
        Ok(GroupView { group, names, is_admin })
    }

    pub(super) async fn is_admin(
        &self,
        session: SessionId,
        group: &Group,
    ) -> Result<bool, GroupError> {
        let account = self.ports.store.session(session).await.map_err(GroupError::Store)?;
        let Some(account) = account else { return Err(GroupError::SessionNotFound(session)) };
        let own = [account.phone.map(|phone| phone.chat()), account.lid];
        let own = own.iter().flatten().find_map(|id| group.member(id));
        Ok(own.is_some_and(|member| member.role > GroupRole::Member))
    }

    /// The group as the ledger has it, or as WhatsApp says where that may be out of date.
    ///
    /// # Errors
    /// [`GroupError`]; the session's state only when the group is not known.
    pub async fn current(&self, session: SessionId, id: &ChatId) -> Result<Group, GroupError> {
        let known = self.ports.store.known_group(session, id).await.map_err(GroupError::Store)?;
        let now = self.ports.clock.now();
        let known = match known {
            Some(KnownGroup { group, as_of, stale: false }) if now.since(as_of) < FRESH => {
                return Ok(group);
            }
            known => known.map(|known| known.group),
        };
        let asked = match self.link(session).await {
            Ok(link) => self.ask(&link, session, id).await,
            Err(error) => Err(error),
        };
        match (asked, known) {
            (Err(error), _) if error.is_gone() => Err(GroupError::NotFound(id.clone())),
            // What was known last is better than nothing.
            (Err(_), Some(known)) => Ok(known),
            (asked, _) => asked,
        }
    }

    /// Asks WhatsApp, and remembers what it says.
    pub(super) async fn ask(
        &self,
        link: &ReadySession,
        session: SessionId,
        id: &ChatId,
    ) -> Result<Group, GroupError> {
        let as_of = self.ports.clock.now();
        let asked = link.connection.group(id).await.map_err(GroupError::from);
        let write = match &asked {
            Ok(group) => know(session, group.clone(), as_of),
            Err(error) if error.is_gone() => {
                let change = Box::new(GroupWrite::Forget);
                Write::Group { session, group: id.clone(), change, events: vec![] }
            }
            Err(_) => return asked,
        };
        let done = self.ledger.write(Some(&link.lease), vec![write]).await;
        done.map_err(GroupError::Store)?;
        asked
    }

    /// The group behind an invite code.
    ///
    /// # Errors
    /// [`GroupError`]; [`GroupError::Refused`] for a code that WhatsApp does not know.
    pub async fn by_code(&self, session: SessionId, code: &str) -> Result<Group, GroupError> {
        let link = self.link(session).await?;
        Ok(link.connection.group_by_code(invite(code)).await?)
    }

    /// Joins a group by its invite code, or asks to be let in.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn join(&self, session: SessionId, code: &str) -> Result<GroupJoined, GroupError> {
        let link = self.link(session).await?;
        let joining = link.connection.join_group(invite(code));
        let joined = match self.echoed(session, (None, "create"), joining).await {
            // It is in it already.
            Err(GroupError::Refused { code: 304 | 409, .. }) => {
                return Ok(GroupJoined::Member(self.by_code(session, code).await?.id));
            }
            joined => joined?,
        };
        if let GroupJoined::Member(group) = &joined {
            // Only to know it at once: WhatsApp describes it to all devices.
            let _ = self.ask(&link, session, group).await;
        }
        Ok(joined)
    }

    /// The code of a group's invite link; a new one with `reset`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn invite_code(
        &self,
        session: SessionId,
        group: &ChatId,
        reset: bool,
    ) -> Result<String, GroupError> {
        let link = self.link(session).await?;
        let asked = link.connection.invite_code(group, reset);
        let code = match reset {
            true => self.echoed(session, (Some(group), "invite"), asked).await,
            false => asked.await.map_err(GroupError::from),
        };
        code.map_err(|error| error.about(group))
    }

    /// Who waits to be let in.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn requests(
        &self,
        session: SessionId,
        group: &ChatId,
    ) -> Result<Vec<MembershipRequest>, GroupError> {
        let link = self.link(session).await?;
        let requests = link.connection.membership_requests(group).await;
        requests.map_err(|error| GroupError::from(error).about(group))
    }

    /// Where a group's picture can be fetched, if it has one.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn picture(
        &self,
        session: SessionId,
        group: &ChatId,
    ) -> Result<Option<String>, GroupError> {
        let link = self.link(session).await?;
        let picture = link.connection.group_picture(group).await;
        picture.map_err(|error| GroupError::from(error).about(group))
    }
}

fn know(session: SessionId, known: Group, as_of: Timestamp) -> Write {
    let group = known.id.clone();
    let change = Box::new(GroupWrite::Know(Box::new(known), as_of));
    Write::Group { session, group, change, events: vec![] }
}

/// The code in an invite link, or the code.
fn invite(text: &str) -> &str {
    let text = text.trim();
    let code = text.rsplit_once("chat.whatsapp.com/").map_or(text, |(_, code)| code);
    code.strip_prefix("invite/").unwrap_or(code).split(['?', '#']).next().unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::invite;

    #[test]
    fn an_invite_is_a_code_or_a_link() {
        for text in [
            "AbC123",
            " AbC123 ",
            "https://chat.whatsapp.com/AbC123",
            "https://chat.whatsapp.com/invite/AbC123?mode=ac",
            "chat.whatsapp.com/AbC123#x",
        ] {
            assert_eq!(invite(text), "AbC123", "{text}");
        }
    }
}
