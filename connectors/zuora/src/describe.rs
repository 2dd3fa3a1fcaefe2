//! Describe: which objects there are, and which of their fields can be exported. XML in, plain values out.

use overlock_core::{Error, ErrorKind, Result};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

/// A field as Describe shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// API name.
    pub name: String,
    /// Its type, in small letters.
    pub kind: String,
    /// A query may ask for it.
    pub exportable: bool,
}

/// A relation to a parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// Name of the relation, such as `BillToContact`.
    pub name: String,
    /// The object it leads to, where the link says so.
    pub object: String,
}

/// An object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// API name.
    pub name: String,
    /// Own fields, in the order of Describe.
    pub fields: Vec<Field>,
    /// Parents.
    pub related: Vec<Related>,
}

impl Object {
    /// An exportable field by its name, whatever the case.
    pub fn exportable(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.exportable && field.name.eq_ignore_ascii_case(name))
    }
}

/// Nobody nests so deeply, or has so many fields.
const MAX_DEPTH: usize = 64;
const MAX_FIELDS: usize = 10_000;

/// What is told of an element that has a name: a field, a relation or a listed object.
#[derive(Default)]
struct Told {
    name: String,
    href: String,
    kind: String,
    selectable: bool,
    export: bool,
}

/// Reads the list of objects.
///
/// # Errors
/// `Data` if it is not the documented XML.
pub fn parse_list(xml: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    walk(xml, "objects", |path, told| {
        if path == ["objects", "object"] {
            names.push(told.name.clone());
        }
    })?;
    Ok(names)
}

/// Reads an object.
///
/// # Errors
/// `Data` if it is not the documented XML.
pub fn parse_object(xml: &[u8]) -> Result<Object> {
    let mut object = Object::default();
    walk(xml, "object", |path, told| match path {
        ["object"] => object.name.clone_from(&told.name),
        // Only these: strays occur elsewhere.
        ["object", "fields", "field"] => object.fields.push(Field {
            name: told.name.clone(),
            kind: told.kind.to_lowercase(),
            exportable: told.selectable && told.export,
        }),
        ["object", "related-objects", "object"] => object.related.push(Related {
            name: told.name.clone(),
            object: told
                .href
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .split('?')
                .next()
                .unwrap_or_default()
                .to_owned(),
        }),
        _ => {}
    })?;
    if object.name.is_empty() {
        return Err(refuse("it names no object"));
    }
    let mut seen = std::collections::HashSet::new();
    object
        .fields
        .retain(|field| !field.name.is_empty() && seen.insert(field.name.to_ascii_lowercase()));
    object.related.retain(|related| !related.name.is_empty());
    Ok(object)
}

fn refuse(why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("read a description: {why}"))
}

/// Walks through the elements, and tells of each that closes what it held.
fn walk(xml: &[u8], root: &str, mut tell: impl FnMut(&[&str], &Told)) -> Result<()> {
    let mut reader = Reader::from_reader(xml);
    let mut path: Vec<String> = Vec::new();
    let mut open: Vec<Told> = Vec::new();
    let mut text = String::new();
    let mut count = 0;
    loop {
        let event = reader
            .read_event()
            .map_err(|_| refuse("it is no XML, or cut"))?;
        match event {
            Event::Start(element) => {
                let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
                if path.is_empty() && name != root {
                    return Err(refuse(&format!(
                        "it begins with <{}>",
                        overlock_core::text::printable(&name)
                    )));
                }
                let href = element.try_get_attribute("href").ok().flatten();
                let href = href.map(|href| String::from_utf8_lossy(&href.value).into_owned());
                path.push(name);
                open.push(Told {
                    href: href.unwrap_or_default(),
                    ..Told::default()
                });
                text.clear();
                count += 1;
                if path.len() > MAX_DEPTH || count > MAX_FIELDS * 30 {
                    return Err(refuse("it has no end"));
                }
            }
            Event::Text(piece) => {
                text.push_str(&String::from_utf8_lossy(&piece));
            }
            Event::GeneralRef(reference) => text.push_str(&resolve(&reference)),
            Event::CData(piece) => text.push_str(&String::from_utf8_lossy(&piece)),
            Event::End(_) => {
                let Some(told) = open.pop() else { break };
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                if let Some(above) = open.last_mut() {
                    above.take(names.last().copied().unwrap_or_default(), text.trim());
                    // Contexts are told to the field, not to their list.
                    if let [.., "contexts"] = names.as_slice() {
                        above.export |= told.export;
                    }
                }
                tell(&names, &told);
                path.pop();
                text.clear();
            }
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(_) => return Err(refuse("it has a document type")),
            Event::Eof => break,
        }
    }
    if !path.is_empty() || count == 0 {
        return Err(refuse("it is no XML, or cut"));
    }
    Ok(())
}

/// The five entities of XML and numbers; there is no document type that could have others.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    match reference.as_ref() {
        b"amp" => "&",
        b"lt" => "<",
        b"gt" => ">",
        b"quot" => "\"",
        b"apos" => "'",
        _ => "",
    }
    .to_owned()
}

impl Told {
    fn take(&mut self, element: &str, text: &str) {
        match element {
            "name" => text.clone_into(&mut self.name),
            "type" => text.clone_into(&mut self.kind),
            "selectable" => self.selectable = text.eq_ignore_ascii_case("true"),
            "context" => self.export |= text.eq_ignore_ascii_case("export"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<object href="https://rest.zuora.com/v1/describe/Account">
  <name>Account</name><label>Account</label>
  <fields>
    <field><name>Id</name><label>ID</label><selectable>true</selectable><type>text</type><maxlength></maxlength>
      <required>True</required><contexts><context>soap</context><context>export</context></contexts></field>
    <field><name>MRR</name><selectable>TRUE</selectable><type>Decimal</type><contexts><context>export</context></contexts></field>
    <field><name>SoapOnly</name><selectable>true</selectable><type>text</type><contexts><context>soap</context></contexts></field>
    <field><name>NoContexts</name><selectable>true</selectable><type>text</type></field>
    <field><name>Hidden</name><selectable>false</selectable><type>text</type><contexts><context>export</context></contexts></field>
    <field><name>R&amp;D__c</name><selectable>true</selectable><type>picklist</type>
      <options><option>a</option><option>b &lt; c</option></options><contexts><context>export</context></contexts></field>
    <field><name>MRR</name><selectable>true</selectable><type>text</type><contexts><context>export</context></contexts></field>
  </fields>
  <related-objects>
    <object href="https://rest.zuora.com/v1/describe/Contact"><name>BillToContact</name><label>Bill To</label>
      <cardinality>TO_ONE</cardinality><fields><field><name>Stray</name><selectable>true</selectable><type>text</type>
      <contexts><context>export</context></contexts></field></fields></object>
  </related-objects>
</object>"#;

    #[test]
    fn an_object_has_its_own_fields_and_relations_and_no_strays() {
        let object = parse_object(ACCOUNT.as_bytes()).unwrap();
        assert_eq!(object.name, "Account");
        let fields: Vec<_> = object
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.kind.as_str(), field.exportable))
            .collect();
        assert_eq!(
            fields,
            [
                ("Id", "text", true),
                ("MRR", "decimal", true),
                ("SoapOnly", "text", false),
                ("NoContexts", "text", false),
                ("Hidden", "text", false),
                ("R&D__c", "picklist", true),
            ]
        );
        assert_eq!(
            object.related,
            [Related {
                name: "BillToContact".to_owned(),
                object: "Contact".to_owned()
            }]
        );
    }

    #[test]
    fn a_list_of_objects_is_read() {
        let xml = br#"<objects><object href="x/Account"><name>Account</name><label>A</label></object><object><name>Order</name></object></objects>"#;
        assert_eq!(parse_list(xml).unwrap(), ["Account", "Order"]);
    }

    #[test]
    fn what_is_cut_or_something_else_is_refused() {
        // covers: I17
        for cut in 0..ACCOUNT.len() - 3 {
            if ACCOUNT.is_char_boundary(cut) {
                assert!(parse_object(&ACCOUNT.as_bytes()[..cut]).is_err(), "{cut}");
            }
        }
        for bad in [
            "",
            "{}",
            "<html><body>log in</body></html>",
            "<objects></objects>",
            "<!DOCTYPE object [<!ENTITY a \"b\">]><object><name>&a;</name></object>",
            "<object><fields/></object>",
        ] {
            let error = parse_object(bad.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{bad}");
        }
        let deep = "<object>".repeat(10_000);
        assert!(parse_object(deep.as_bytes()).is_err());
    }
}
