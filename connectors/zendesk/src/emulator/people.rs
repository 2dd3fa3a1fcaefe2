//! What happens to users and organizations.

use overlock_core::{Result, Timestamp};

use super::record::{Key, Marks, NIL, Sec, iso};
use super::world::World;

impl World {
    /// Moves a user to another second of the export by a change.
    ///
    /// # Errors
    /// `NotFound` if there is no such user.
    pub fn touch_user(&mut self, user: i64, second: Timestamp) -> Result<()> {
        let details = format!("touched at {second}");
        self.update(
            "users",
            &user.to_string(),
            &[("details", details.into())],
            second,
        )
    }

    /// Deletes a user: `active` is false and `deleted_users` has an entry; `for_good` also removes what is
    /// known about the person, and the entry.
    ///
    /// # Errors
    /// `NotFound` if there is no such user.
    pub fn delete_user(&mut self, user: i64, for_good: bool, at: Timestamp) -> Result<()> {
        let now = at.seconds();
        let key = Key::from(user);
        let name = self.user_name(user);
        self.amend("users", &key, now, Some(now), |body| {
            body.set("active", false);
            body.set("updated_at", iso(now));
            if for_good {
                body.set("permanently_deleted", true);
                body.set("name", "Permanently Deleted User");
                for field in ["email", "phone", "external_id", "photo", "organization_id"] {
                    body.set(field, NIL);
                }
            }
        })?;
        self.mark_deleted("users", &key)?;
        let identities = self.table("user_identities");
        let identities = identities.map_or(Vec::new(), |table| table.of_parent(&key).to_vec());
        for identity in identities {
            self.vanish("user_identities", &identity, now)?;
        }
        self.forget_memberships("user_id", user, now)?;
        self.story.requesters.retain(|known| *known != user);
        let known = self
            .table("deleted_users")
            .is_some_and(|table| table.records.contains_key(&key));
        if for_good && known {
            self.vanish("deleted_users", &key, now)?;
        } else if !for_good && !known {
            self.create(
                "deleted_users",
                &[("id", user.into()), ("name", name.into())],
                now,
            )?;
        }
        Ok(())
    }

    /// Deletes an organization: the export shows it with `deleted_at`, lists do not.
    ///
    /// # Errors
    /// `NotFound` if there is no such organization.
    pub fn delete_organization(&mut self, organization: i64, at: Timestamp) -> Result<()> {
        let now = at.seconds();
        let key = Key::from(organization);
        self.amend("organizations", &key, now, Some(now), |body| {
            body.set("deleted_at", iso(now));
            body.set("updated_at", iso(now));
        })?;
        self.mark_deleted("organizations", &key)?;
        self.story
            .organizations
            .retain(|known| *known != organization);
        self.forget_memberships("organization_id", organization, now)
    }

    /// Lists leave the newest version out; exports show it.
    fn mark_deleted(&mut self, stream: &str, key: &Key) -> Result<()> {
        if let Some(version) = self.record_mut(stream, key)?.versions.last_mut() {
            version.marks = Marks {
                deleted: true,
                ..version.marks
            };
        }
        Ok(())
    }

    /// Memberships vanish with what they join.
    fn forget_memberships(&mut self, field: &str, id: i64, now: Sec) -> Result<()> {
        let rows = self.rows("organization_memberships", now);
        let gone: Vec<Key> = rows
            .filter(|row| row.record.body.number(field) == id)
            .map(|row| row.key.clone())
            .collect();
        for key in gone {
            self.vanish("organization_memberships", &key, now)?;
        }
        Ok(())
    }
}
