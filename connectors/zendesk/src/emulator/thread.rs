//! Audits, events and comments of tickets: one happening, told in the words of three endpoints.

use overlock_core::Result;
use serde_json::{Value, json};

use super::desk::SYSTEM;
use super::record::{Body, Key, Marks, NIL, Sec, body, iso, quote, raw, write_value};
use super::world::World;

/// The account's own host, as it stands in records. Addresses of pages come from the request instead.
pub(super) const ACCOUNT: &str = "https://acme.zendesk.com";

/// A comment.
#[derive(Debug, Clone)]
pub(super) struct Comment {
    author: i64,
    body: String,
    public: bool,
    attachments: Value,
    /// What a call left; for voice comments.
    call: Option<Value>,
}

/// One event of an audit.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub(super) id: i64,
    kind: &'static str,
    field: String,
    value: Value,
    previous: Value,
    comment: Option<Comment>,
}

impl Happening {
    pub(super) fn create(world: &mut World, field: &str, value: &Value) -> Self {
        Self {
            id: world.inner_id(),
            kind: "Create",
            field: field.to_owned(),
            value: value.clone(),
            previous: NIL,
            comment: None,
        }
    }

    pub(super) fn change(world: &mut World, field: &str, value: &Value, previous: &Value) -> Self {
        Self {
            kind: "Change",
            previous: previous.clone(),
            ..Self::create(world, field, value)
        }
    }

    pub(super) fn notification(world: &mut World, recipient: i64) -> Self {
        Self {
            kind: "Notification",
            value: json!([recipient]),
            ..Self::create(world, "Request received: {{ticket.title}}", &NIL)
        }
    }

    /// Events of kinds that most readers do not expect.
    pub(super) fn rare(world: &mut World) -> Vec<Self> {
        let kinds = [
            ("Cc", json!([28_000_000_000_001_i64])),
            ("SatisfactionRating", json!("good")),
            ("External", json!("28000000000777")),
            ("Error", json!("Deliverability failed")),
            ("AgentMacroReference", json!("4711")),
        ];
        let made = kinds.into_iter().map(|(kind, value)| Self {
            kind,
            ..Self::create(world, "rare", &value)
        });
        let mut made: Vec<Self> = made.collect();
        let object = json!({"in_business_hours": true, "minutes": 5});
        made.push(Self::change(world, "sla_policy", &object, &json!([])));
        made
    }

    pub(super) fn comment(world: &mut World, author: i64, text: &str, public: bool) -> Self {
        let mut one = Self::create(world, "", &NIL);
        one.kind = "Comment";
        let mut attachments = Vec::new();
        if one.id % 6 == 0 {
            attachments.push(attachment(world));
        }
        one.comment = Some(Comment {
            author,
            body: text.to_owned(),
            public,
            attachments: Value::Array(attachments),
            call: None,
        });
        one
    }

    pub(super) fn voice(world: &mut World, author: i64, now: Sec) -> Self {
        let mut one = Self::comment(world, author, "Call from: +1 (555) 010-0199", true);
        one.kind = "VoiceComment";
        if let Some(comment) = &mut one.comment {
            comment.call = Some(json!({
                "from": "+15550100199", "to": "+15550100100", "answered_by_id": author,
                "call_duration": 243, "call_id": one.id + 1, "location": "Dublin, Ireland",
                "recording_url": format!("{ACCOUNT}/api/v2/channels/voice/calls/CA{}/twilio/recording", one.id),
                "recorded": true, "started_at": iso(now - 243), "transcription_text": "Hi, it is about \u{2026}",
            }));
        }
        one
    }

    pub(super) fn is_public_comment(&self) -> bool {
        self.comment.as_ref().is_some_and(|comment| comment.public)
    }

    /// As an event of an audit.
    fn of_audit(&self, audit: i64) -> String {
        if let Some(comment) = &self.comment {
            let mut body = body! { id: self.id, type: self.kind };
            comment.write(&mut body, audit);
            return body.render();
        }
        if self.kind == "Notification" {
            return body! {
                id: self.id, type: self.kind, via: raw(RULE), subject: self.field,
                body: "Your request ({{ticket.id}}) has been received.\n\n{{ticket.comments_formatted}}",
                recipients: self.value,
            }
            .render();
        }
        let mut body = body! {
            id: self.id, type: self.kind, value: in_audit(&self.value), field_name: self.field,
        };
        if self.kind == "Change" {
            body.set("previous_value", in_audit(&self.previous));
        }
        body.render()
    }

    /// As a child of an exported event, with or without the comment.
    fn of_export(&self, audit: i64, full: bool) -> String {
        // The channel is a word here, and an object there.
        let via = match self.id % 3 {
            0 => raw(WEB),
            _ => "Web form".into(),
        };
        let mut body = body! { id: self.id, via: via, via_reference_id: NIL };
        match &self.comment {
            Some(comment) => {
                if full {
                    body.set("type", self.kind);
                    comment.write(&mut body, audit);
                }
                body.set("comment_present", true);
                body.set("comment_public", comment.public);
            }
            None if self.field.parse::<i64>().is_ok() => {
                let text = format!("{{{}:{}}}", quote(&self.field), text_of(&self.value));
                body.set("custom_ticket_fields", raw(text));
                body.set("previous_value", in_audit(&self.previous));
            }
            None => {
                body.set(&self.field, in_audit(&self.value));
                body.set("previous_value", in_audit(&self.previous));
            }
        }
        body.set("event_type", self.kind);
        body.render()
    }
}

impl Comment {
    /// Body, HTML and plain text of a redacted comment.
    pub(super) fn redacted() -> [String; 3] {
        let cover = "\u{2587}".repeat(8);
        let html = format!("<div class=\"zd-comment\" dir=\"auto\"><p>{cover}</p></div>");
        [cover.clone(), html, cover]
    }

    fn write(&self, body: &mut Body, audit: i64) {
        let safe = self.body.replace('&', "&amp;").replace('<', "&lt;");
        body.set("author_id", self.author);
        body.set("body", self.body.as_str());
        body.set(
            "html_body",
            format!("<div class=\"zd-comment\" dir=\"auto\"><p>{safe}</p></div>"),
        );
        body.set("plain_body", self.body.as_str());
        body.set("public", self.public);
        body.set("attachments", self.attachments.clone());
        body.set("audit_id", audit);
        if let Some(call) = &self.call {
            body.set("data", call.clone());
            body.set("formatted_from", "+1 (555) 010-0199");
            body.set("formatted_to", "+1 (555) 010-0100");
            body.set("transcription_visible", true);
        }
    }
}

pub(super) const WEB: &str =
    "{\"channel\":\"web\",\"source\":{\"to\":{},\"from\":{},\"rel\":null}}";
const RULE: &str = "{\"channel\":\"rule\",\"source\":{\"to\":{},\"from\":{\"id\":28000000000999,\
    \"title\":\"Notify requester of new request\"},\"rel\":\"trigger\"}}";

impl World {
    /// Writes an audit, the event of the export, and the comments among the happenings.
    pub(super) fn write_audit(
        &mut self,
        ticket: i64,
        author: i64,
        happenings: &[Happening],
        now: Sec,
    ) -> Result<()> {
        let id = self.next_id("ticket_audits")?;
        let parent = Some(Key::from(ticket));
        let metadata = raw(METADATA);
        let events = |make: &dyn Fn(&Happening) -> String| {
            let events: Vec<String> = happenings.iter().map(make).collect();
            raw(format!("[{}]", events.join(",")))
        };
        let audit = body! {
            id: id, ticket_id: ticket, created_at: iso(now), author_id: author, metadata: metadata,
            events: events(&|one| one.of_audit(id)), via: raw(WEB),
        };
        let key = Key::from(id);
        self.put(
            "ticket_audits",
            &key,
            parent.clone(),
            now,
            now,
            audit,
            Marks::default(),
        )?;
        let row = self.row("tickets", &Key::from(ticket), now);
        let ai_agent = row.is_some_and(|row| row.version.marks.ai_agent);
        let via = if id % 4 == 0 {
            raw(WEB)
        } else {
            "Web form".into()
        };
        let export = |full: bool| {
            body! {
                id: id, instance_id: ticket, ticket_id: ticket, timestamp: now, created_at: iso(now),
                updater_id: if id % 9 == 0 { SYSTEM } else { author }, via: via, via_reference_id: NIL,
                system: raw(SYSTEM_OF_EVENT), metadata: raw("{}"), event_type: "Audit",
                merged_ticket_ids: Value::Array(Vec::new()),
                child_events: events(&|one| one.of_export(id, full)),
            }
        };
        let marks = Marks {
            ai_agent,
            ..Marks::default()
        };
        let (full, lean) = (export(true), export(false));
        self.put("ticket_events", &key, parent.clone(), now, now, full, marks)?;
        if let Some(version) = self.record_mut("ticket_events", &key)?.versions.last_mut() {
            version.lean = Some(lean.render().into());
        }
        for one in happenings {
            let Some(comment) = &one.comment else {
                continue;
            };
            let mut body = body! { id: one.id, type: one.kind };
            comment.write(&mut body, id);
            body.set("via", raw(WEB));
            body.set("created_at", iso(now));
            body.set("metadata", raw(METADATA));
            if one.id % 7 == 0 {
                // Some answers have the field, and nothing in it.
                body.set("ticket_id", NIL);
            }
            let key = Key::from(one.id);
            self.put(
                "ticket_comments",
                &key,
                parent.clone(),
                now,
                now,
                body,
                Marks::default(),
            )?;
        }
        Ok(())
    }
}

const METADATA: &str = "{\"system\":{\"client\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"ip_address\":\"192.0.2.17\",\
    \"location\":\"Dublin, L, Ireland\",\"latitude\":53.3440956,\"longitude\":-6.26720},\"custom\":{}}";
const SYSTEM_OF_EVENT: &str = "{\"client\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"location\":\"Dublin, L, Ireland\",\
    \"latitude\":53.3440956,\"longitude\":-6.26720}";

/// Ids and numbers inside audits are texts.
fn in_audit(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.to_string().into(),
        Value::Bool(holds) => (if *holds { "1" } else { "0" }).into(),
        Value::String(text) if text.starts_with('\u{1}') => {
            text.trim_start_matches('\u{1}').to_owned().into()
        }
        other => other.clone(),
    }
}

fn text_of(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn attachment(world: &mut World) -> Value {
    let id = world.inner_id();
    let name = match id % 3 {
        0 => "log \u{2013} Größe.txt",
        1 => "screenshot.png",
        _ => "invoice;2026.pdf",
    };
    json!({
        "url": format!("{ACCOUNT}/api/v2/attachments/{id}.json"), "id": id, "file_name": name,
        "content_url": format!("{ACCOUNT}/attachments/token/T{id}/?name=file"),
        "mapped_content_url": format!("https://help.acme.example/attachments/token/T{id}/?name=file"),
        "content_type": "application/octet-stream", "size": id % 90_000, "width": null, "height": null,
        "inline": false, "deleted": false, "malware_access_override": false,
        "malware_scan_result": "malware_not_found", "thumbnails": [],
    })
}
