//! What happens to tickets: each action writes the ticket, its audit with the events, the export of events,
//! comments, metrics and metric events, so that all of them tell one story.

use overlock_core::{Error, ErrorKind, Result, Timestamp};
use serde_json::Value;

use super::data;
use super::record::{Body, Key, Marks, NIL, Sec, body, iso};
use super::thread::{Comment, Happening};
use super::world::{Change, World, unknown};

/// Author of what the system does.
pub(super) const SYSTEM: i64 = -1;

/// A deleted ticket can be restored for thirty days.
const BIN_SECS: Sec = 30 * 86_400;

impl World {
    /// Creates a ticket with its first comment and returns its id. Values that are not given are made up;
    /// `requester_id`, `status`, `custom_fields` and all other fields of a ticket can be given.
    ///
    /// # Errors
    /// `NotFound` never, but the signature is that of all mutations.
    pub fn insert_ticket(&mut self, changes: &[Change<'_>], at: Timestamp) -> Result<i64> {
        let now = at.seconds();
        let id = self.next_id("tickets")?;
        let mut body = data::blank_ticket(self, id, now);
        let mut marks = Marks::default();
        for (name, value) in changes {
            body.set(name, value.clone());
        }
        note_marks(&body, &mut marks, now);
        let requester = body.number("requester_id");
        let description = body.text("description").to_owned();
        let mut happenings = vec![Happening::comment(self, requester, &description, true)];
        for name in [
            "subject",
            "status",
            "priority",
            "type",
            "requester_id",
            "group_id",
            "tags",
        ] {
            happenings.push(Happening::create(self, name, body.get(name)));
        }
        let fields = body
            .get("custom_fields")
            .as_array()
            .cloned()
            .unwrap_or_default();
        for field in fields.iter().filter(|field| !field["value"].is_null()) {
            let name = field["id"].to_string();
            happenings.push(Happening::create(self, &name, &field["value"]));
        }
        happenings.push(Happening::notification(self, requester));
        let group = body.number("group_id");
        let key = Key::from(id);
        self.put("tickets", &key, None, now, now, body, marks)?;
        self.story.tickets.push(id);
        self.story.open.push(id);
        self.write_audit(id, requester, &happenings, now)?;
        self.start_metrics(id, group, now)?;
        Ok(id)
    }

    /// Changes a ticket as a person does: an audit with one change per field; `updated_at` moves. A change
    /// of `custom_fields` is given as the whole list.
    ///
    /// # Errors
    /// `NotFound` if there is no such ticket; `Config` if it is deleted.
    pub fn update_ticket(
        &mut self,
        ticket: i64,
        changes: &[Change<'_>],
        at: Timestamp,
    ) -> Result<()> {
        let author = self.some_agent(ticket, at.seconds());
        self.change_ticket(ticket, author, changes, Vec::new(), at.seconds())
    }

    /// Changes a ticket as the system does: no audit, `updated_at` stands, `generated_timestamp` moves.
    ///
    /// # Errors
    /// `NotFound` if there is no such ticket.
    pub fn system_update(&mut self, ticket: i64, at: Timestamp) -> Result<()> {
        self.write_ticket(ticket, at.seconds(), |_, _| {})
    }

    /// Adds a comment and returns its id. Without an author an agent writes it.
    ///
    /// # Errors
    /// `NotFound` if there is no such ticket; `Config` if it is deleted.
    pub fn add_comment(
        &mut self,
        ticket: i64,
        text: &str,
        public: bool,
        author: Option<i64>,
        at: Timestamp,
    ) -> Result<i64> {
        let now = at.seconds();
        let author = author.unwrap_or_else(|| self.some_agent(ticket, now));
        let happening = Happening::comment(self, author, text, public);
        let id = happening.id;
        self.change_ticket(ticket, author, &[], vec![happening], now)?;
        Ok(id)
    }

    /// Adds the comment that a phone call leaves and returns its id.
    ///
    /// # Errors
    /// `NotFound` if there is no such ticket; `Config` if it is deleted.
    pub fn add_voice_comment(&mut self, ticket: i64, at: Timestamp) -> Result<i64> {
        let now = at.seconds();
        let author = self.some_agent(ticket, now);
        let happening = Happening::voice(self, author, now);
        let id = happening.id;
        self.change_ticket(ticket, author, &[], vec![happening], now)?;
        Ok(id)
    }

    /// Redacts a comment: its text changes where it stands, no comment is added. The ticket moves in its
    /// export as after a system update; the export of events does not tell.
    ///
    /// # Errors
    /// `NotFound` if there is no such comment.
    pub fn redact_comment(&mut self, comment: i64, at: Timestamp) -> Result<()> {
        let now = at.seconds();
        let key = Key::from(comment);
        let record = self.record_mut("ticket_comments", &key)?;
        let ticket = record.parent.clone().unwrap_or(Key::from(0));
        let audit = Key::from(record.body.number("audit_id"));
        let redacted = Comment::redacted();
        let old = ["body", "html_body", "plain_body"].map(|name| record.body.text(name).to_owned());
        let mut words = Vec::new();
        for (old, new) in old.into_iter().zip(redacted) {
            if !old.is_empty() {
                words.push((old, new));
            }
        }
        for (stream, key) in [
            ("ticket_comments", &key),
            ("ticket_audits", &audit),
            ("ticket_events", &audit),
        ] {
            self.redact_text(stream, key, &words, now)?;
        }
        self.write_ticket(ticket.number(), now, |_, _| {})
    }

    /// Puts a ticket into the bin: `status` becomes `deleted`, its children answer 404, its metrics are
    /// gone, its metric events are marked.
    ///
    /// # Errors
    /// `NotFound` if there is no such ticket.
    pub fn delete_ticket(&mut self, ticket: i64, at: Timestamp) -> Result<()> {
        let now = at.seconds();
        let key = Key::from(ticket);
        let before = self.record_mut("tickets", &key)?.body.clone();
        let actor = self.some_agent(ticket, now);
        let entry = body! {
            id: ticket, subject: before.text("subject"), description: before.text("description"),
            actor: serde_json::json!({"id": actor, "name": self.user_name(actor)}), deleted_at: iso(now),
            previous_state: before.text("status"),
        };
        self.table_mut("deleted_tickets")?
            .order
            .retain(|known| *known != key);
        self.put(
            "deleted_tickets",
            &key,
            None,
            now,
            now,
            entry,
            Marks::default(),
        )?;
        self.vanish("deleted_tickets", &key, now + BIN_SECS)?;
        self.write_ticket(ticket, now, |body, marks| {
            body.set("status", "deleted");
            body.set("updated_at", iso(now));
            marks.deleted = true;
        })?;
        self.mark_metric_events(&key, true, now)?;
        self.story.open.retain(|open| *open != ticket);
        Ok(())
    }

    /// Takes a ticket back out of the bin.
    ///
    /// # Errors
    /// `NotFound` if it is not there.
    pub fn restore_ticket(&mut self, ticket: i64, at: Timestamp) -> Result<()> {
        let now = at.seconds();
        let key = Key::from(ticket);
        let entry = self.row("deleted_tickets", &key, now);
        let entry = entry.ok_or_else(|| unknown("deleted ticket", &key.to_string()))?;
        let status = entry.record.body.get("previous_state").clone();
        let is_closed = status == "closed";
        self.vanish("deleted_tickets", &key, now)?;
        self.write_ticket(ticket, now, |body, marks| {
            body.set("status", status);
            body.set("updated_at", iso(now));
            marks.deleted = false;
        })?;
        self.mark_metric_events(&key, false, now)?;
        if !is_closed {
            self.story.open.push(ticket);
        }
        Ok(())
    }

    fn mark_metric_events(&mut self, ticket: &Key, deleted: bool, now: Sec) -> Result<()> {
        let events = self.table("ticket_metric_events");
        let events = events.map_or(Vec::new(), |table| table.of_parent(ticket).to_vec());
        for event in events {
            self.amend("ticket_metric_events", &event, now, None, |body| {
                body.set("deleted", deleted);
            })?;
        }
        Ok(())
    }

    /// Removes a deleted ticket for good: what is left of it says `SCRUBBED`.
    ///
    /// # Errors
    /// `NotFound` if there is no such ticket.
    pub fn scrub_ticket(&mut self, ticket: i64, at: Timestamp) -> Result<()> {
        let now = at.seconds();
        let key = Key::from(ticket);
        if self.row("deleted_tickets", &key, now).is_some() {
            self.vanish("deleted_tickets", &key, now)?;
        }
        self.write_ticket(ticket, now, |body, marks| {
            for name in ["subject", "raw_subject", "description"] {
                body.set(name, "SCRUBBED");
            }
            body.set("status", "deleted");
            body.set("requester_id", SYSTEM);
            body.set("submitter_id", SYSTEM);
            for name in ["external_id", "recipient", "assignee_id", "organization_id"] {
                body.set(name, NIL);
            }
            body.set("tags", Value::Array(Vec::new()));
            marks.deleted = true;
        })
    }

    /// Merges `loser` into `winner`: both get a comment, the loser is closed.
    ///
    /// # Errors
    /// `NotFound` if there is no such ticket; `Config` if one is deleted.
    pub fn merge_tickets(&mut self, winner: i64, loser: i64, at: Timestamp) -> Result<()> {
        let now = at.seconds();
        let author = self.some_agent(winner, now);
        let text = format!("Requests #{loser} were closed and merged into this request.");
        let happening = Happening::comment(self, author, &text, false);
        self.change_ticket(winner, author, &[], vec![happening], now)?;
        let text = format!("This request was closed and merged into request #{winner}.");
        let happening = Happening::comment(self, author, &text, false);
        let tags = serde_json::json!(["closed_by_merge"]);
        let changes = [("status", "closed".into()), ("tags", tags)];
        self.change_ticket(loser, author, &changes, vec![happening], now)
    }

    /// Writes changes and events of one author as one audit.
    pub(super) fn change_ticket(
        &mut self,
        ticket: i64,
        author: i64,
        changes: &[Change<'_>],
        mut happenings: Vec<Happening>,
        now: Sec,
    ) -> Result<()> {
        let before = self.record_mut("tickets", &Key::from(ticket))?.body.clone();
        if before.text("status") == "deleted" {
            return Err(Error::new(
                ErrorKind::Config,
                format!("change ticket {ticket}: it is deleted"),
            ));
        }
        for (name, value) in changes {
            if *name == "custom_fields" {
                let old = before.get(name).as_array().cloned().unwrap_or_default();
                for field in value.as_array().into_iter().flatten() {
                    let was = old.iter().find(|old| old["id"] == field["id"]);
                    let was = was.map_or(NIL, |was| was["value"].clone());
                    if was != field["value"] {
                        let name = field["id"].to_string();
                        happenings.push(Happening::change(self, &name, &field["value"], &was));
                    }
                }
            } else {
                happenings.push(Happening::change(self, name, value, before.get(name)));
            }
        }
        let replies = happenings
            .iter()
            .filter(|one| one.is_public_comment())
            .count();
        self.write_ticket(ticket, now, |body, _| {
            for (name, value) in changes {
                body.set(name, value.clone());
            }
            body.set("updated_at", iso(now));
        })?;
        self.write_audit(ticket, author, &happenings, now)?;
        let is_agent = self.story.agents.contains(&author);
        self.move_metrics(ticket, changes, replies > 0 && is_agent, &before, now)
    }

    /// Writes a version of a ticket: `generated_timestamp` always moves.
    fn write_ticket(
        &mut self,
        ticket: i64,
        now: Sec,
        change: impl FnOnce(&mut Body, &mut Marks),
    ) -> Result<()> {
        let record = self.record_mut("tickets", &Key::from(ticket))?;
        let last = record.versions.last().cloned();
        let mut marks = last.map(|last| last.marks).unwrap_or_default();
        change(&mut record.body, &mut marks);
        record.body.set("generated_timestamp", now);
        note_marks(&record.body, &mut marks, now);
        let version = super::record::Version {
            at: now,
            stamp: now,
            marks,
            text: record.body.render().into(),
            lean: None,
        };
        record.push(version);
        if marks.closed.is_some() {
            self.story.open.retain(|open| *open != ticket);
        }
        Ok(())
    }

    fn start_metrics(&mut self, ticket: i64, group: i64, now: Sec) -> Result<()> {
        let id = self.next_id("ticket_metrics")?;
        let body = data::blank_metrics(id, ticket, now);
        let parent = Some(Key::from(ticket));
        self.put(
            "ticket_metrics",
            &Key::from(id),
            parent,
            now,
            now,
            body,
            Marks::default(),
        )?;
        for metric in [
            "reply_time",
            "requester_wait_time",
            "resolution_time",
            "agent_work_time",
        ] {
            self.metric_event(ticket, metric, "measure", now)?;
            self.metric_event(ticket, metric, "activate", now)?;
        }
        self.metric_event(ticket, "reply_time", "apply_sla", now)?;
        if group % 3 == 0 {
            self.metric_event(ticket, "group_ownership_time", "apply_group_sla", now)?;
        }
        Ok(())
    }

    fn move_metrics(
        &mut self,
        ticket: i64,
        changes: &[Change<'_>],
        replied: bool,
        before: &Body,
        now: Sec,
    ) -> Result<()> {
        let metrics = self.table("ticket_metrics");
        let metrics =
            metrics.and_then(|table| table.of_parent(&Key::from(ticket)).first().cloned());
        let Some(metrics) = metrics else {
            return Ok(());
        };
        let status = changes.iter().find(|(name, _)| *name == "status");
        let status = status
            .and_then(|(_, value)| value.as_str())
            .map(str::to_owned);
        let is_assigned = changes.iter().any(|(name, _)| *name == "assignee_id");
        let was = before.text("status").to_owned();
        let mut first_reply = false;
        self.amend("ticket_metrics", &metrics, now, Some(now), |body| {
            let created = Timestamp::parse(body.text("created_at")).map_or(now, Timestamp::seconds);
            let minutes = (now - created) / 60;
            body.set("updated_at", iso(now));
            body.set("latest_comment_added_at", iso(now));
            if replied {
                first_reply = body.number("replies") == 0;
                body.set("replies", body.number("replies") + 1);
            }
            if first_reply {
                body.set("reply_time_in_minutes", data::both(minutes));
                let seconds = serde_json::json!({"calendar": now - created});
                body.set("reply_time_in_seconds", seconds);
            }
            if is_assigned {
                body.set("assignee_stations", body.number("assignee_stations") + 1);
                body.set("assigned_at", iso(now));
                body.set("assignee_updated_at", iso(now));
            }
            if let Some(status) = &status {
                body.set("status_updated_at", iso(now));
                body.set("custom_status_updated_at", iso(now));
                if status == "solved" {
                    body.set("solved_at", iso(now));
                    body.set("full_resolution_time_in_minutes", data::both(minutes));
                    body.set("first_resolution_time_in_minutes", data::both(minutes));
                } else if was == "solved" && status == "open" {
                    body.set("reopens", body.number("reopens") + 1);
                }
            }
        })?;
        if first_reply {
            self.metric_event(ticket, "reply_time", "fulfill", now)?;
        }
        match status.as_deref() {
            Some("pending") => self.metric_event(ticket, "requester_wait_time", "pause", now)?,
            Some("solved") => {
                self.metric_event(ticket, "resolution_time", "fulfill", now)?;
                self.metric_event(ticket, "resolution_time", "update_status", now)?;
            }
            Some("open") => self.metric_event(ticket, "periodic_update_time", "breach", now)?,
            _ => {}
        }
        Ok(())
    }

    fn metric_event(&mut self, ticket: i64, metric: &str, kind: &str, now: Sec) -> Result<()> {
        let changes = [
            ("ticket_id", ticket.into()),
            ("metric", metric.into()),
            ("type", kind.into()),
        ];
        self.create("ticket_metric_events", &changes, now).map(drop)
    }

    /// An agent who works on a ticket.
    pub(super) fn some_agent(&self, ticket: i64, now: Sec) -> i64 {
        let agents = &self.story.agents;
        let count = i64::try_from(agents.len()).unwrap_or(1).max(1);
        let index = usize::try_from((ticket + now / 3_600).rem_euclid(count)).unwrap_or(0);
        agents.get(index).copied().unwrap_or(SYSTEM)
    }

    pub(super) fn user_name(&self, user: i64) -> String {
        let users = self.table("users");
        let user = users.and_then(|table| table.records.get(&Key::from(user)));
        user.map_or_else(
            || "System".to_owned(),
            |user| user.body.text("name").to_owned(),
        )
    }
}

/// What follows from a ticket's fields: when it was closed, whether an AI agent had it.
fn note_marks(body: &Body, marks: &mut Marks, now: Sec) {
    marks.ai_agent = body.text("support_type") == "ai_agent";
    marks.closed = match body.text("status") {
        "closed" => marks.closed.or(Some(now)),
        _ => None,
    };
}
