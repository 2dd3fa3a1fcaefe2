//! SOQL as text: a small parser for what extractors send, with the service's own error texts.
//!
//! `SELECT a, b FROM X [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]`, `COUNT()`, AND/OR/NOT, comparisons,
//! IN, LIKE, literals. No aggregates, no sub-queries, no date functions: they are refused, as text that
//! the grammar does not know.

use chrono::{DateTime, NaiveDate};

use super::answer::{Answer, Refusal};

/// A parsed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) select: Select,
    pub(super) object: Name,
    pub(super) filter: Option<Condition>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<u64>,
    pub(super) offset: Option<u64>,
}

/// What is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Select {
    Count,
    /// `FIELDS(ALL)` and its kin.
    All,
    Fields(Vec<Name>),
}

/// A name and where it stands in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: usize,
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) name: Name,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        name: Name,
        operator: Operator,
        literals: Vec<Literal>,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Like,
}

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    /// Exact text.
    Number(String),
    Text(String),
    /// `YYYY-MM-DD`.
    Date(String),
    /// Whole seconds since the epoch: fractions do not count in comparisons.
    DateTime(i64),
}

/// Most characters of a query.
const MAX_QUERY_CHARS: usize = 100_000;

/// Parses a query.
pub(super) fn parse(text: &str) -> Answer<Query> {
    if text.chars().count() > MAX_QUERY_CHARS {
        return Err(Refusal::new(
            400,
            "QUERY_TOO_COMPLICATED",
            "SOQL statement too complicated: it is longer than 100000 characters.",
        ));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        text,
        tokens: &tokens,
        next: 0,
        depth: 0,
    };
    parser.query()
}

/// The message of an error at a position: the line before, a caret, row and column, and what is wrong.
pub(super) fn at_position(text: &str, at: usize, problem: &str) -> String {
    let before = text.get(..at).unwrap_or(text);
    let row = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |line| line + 1);
    let column = before
        .get(line_start..)
        .map_or(0, |line| line.chars().count())
        + 1;
    // The service shows a window of text around the place, not all of a long query.
    let line: Vec<char> = text
        .get(line_start..)
        .unwrap_or_default()
        .chars()
        .take_while(|character| *character != '\n')
        .collect();
    let from = column.saturating_sub(1).saturating_sub(30);
    let snippet: String = line.iter().skip(from).take(60).collect();
    let indent = " ".repeat(column - 1 - from);
    format!("\n{snippet}\n{indent}^\nERROR at Row:{row}:Column:{column}\n{problem}")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Word,
    Text(String),
    Number,
    Date,
    DateTime(i64),
    Symbol,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: Kind,
    text: String,
    at: usize,
}

fn tokens(text: &str) -> Answer<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        if first.is_whitespace() {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (kind, length) = if first == '\'' {
            quoted(rest).ok_or_else(|| {
                Refusal::malformed(at_position(
                    text,
                    at,
                    "Bind variables only allowed in Apex code: string literal is not closed",
                ))
            })?
        } else if first.is_ascii_digit()
            || (matches!(first, '-' | '+')
                && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()))
        {
            numeric(rest).ok_or_else(|| {
                let word: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
                Refusal::malformed(at_position(
                    text,
                    at,
                    &format!("unexpected token: '{word}'"),
                ))
            })?
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')))
                .unwrap_or(rest.len());
            (Kind::Word, length)
        } else {
            let two = rest.get(..2).unwrap_or_default();
            let length = if matches!(two, "<=" | ">=" | "!=" | "<>") {
                2
            } else {
                first.len_utf8()
            };
            (Kind::Symbol, length)
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        tokens.push(Token {
            kind,
            text: token.to_owned(),
            at,
        });
        rest = after;
    }
    Ok(tokens)
}

/// A literal in single quotes at the start of `text`: its value and length.
fn quoted(text: &str) -> Option<(Kind, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Some((Kind::Text(value), at + 1)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// A number, date or datetime at the start of `text`, and its length.
fn numeric(text: &str) -> Option<(Kind, usize)> {
    let length = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | ':' | '.')))
        .unwrap_or(text.len());
    let token = text.get(..length)?;
    if let Some(seconds) = datetime_seconds(token) {
        return Some((Kind::DateTime(seconds), length));
    }
    if NaiveDate::parse_from_str(token, "%Y-%m-%d").is_ok() {
        return Some((Kind::Date, length));
    }
    let body = token.trim_start_matches(['-', '+']);
    let numeric = body.starts_with(|c: char| c.is_ascii_digit())
        && body
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
        && token.parse::<f64>().is_ok();
    numeric.then_some((Kind::Number, length))
}

/// An instant in one of the spellings of the service, as whole seconds since the epoch.
pub(super) fn datetime_seconds(text: &str) -> Option<i64> {
    let formats = ["%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%z"];
    let utc = text
        .strip_suffix(['Z', 'z'])
        .map(|bare| format!("{bare}+00:00"));
    let text = utc.as_deref().unwrap_or(text);
    formats
        .iter()
        .find_map(|format| DateTime::parse_from_str(text, format).ok())
        .map(|time| time.timestamp())
}

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 50;

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn query(&mut self) -> Answer<Query> {
        self.keyword("SELECT")?;
        let select = self.select()?;
        self.keyword("FROM")?;
        let object = self.name()?;
        // An alias behind the object is legal, but means nothing without dots in names.
        let mut query = Query {
            select,
            object,
            filter: None,
            order: Vec::new(),
            limit: None,
            offset: None,
        };
        if self.accept("WHERE") {
            query.filter = Some(self.condition()?);
        }
        if self.accept("ORDER") {
            self.keyword("BY")?;
            query.order.push(self.order()?);
            while self.accept(",") {
                query.order.push(self.order()?);
            }
        }
        if self.accept("LIMIT") {
            query.limit = Some(self.count()?);
        }
        if self.accept("OFFSET") {
            query.offset = Some(self.count()?);
        }
        match self.peek() {
            None => Ok(query),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn select(&mut self) -> Answer<Select> {
        let first = self.name()?;
        if self.accept("(") {
            if first.text.eq_ignore_ascii_case("COUNT") && self.accept(")") {
                return Ok(Select::Count);
            }
            if first.text.eq_ignore_ascii_case("FIELDS") {
                let which = self.name()?;
                if matches!(
                    which.text.to_ascii_uppercase().as_str(),
                    "ALL" | "STANDARD" | "CUSTOM"
                ) {
                    self.keyword(")")?;
                    return Ok(Select::All);
                }
            }
            self.next = self.next.saturating_sub(1);
            return Err(self.unexpected());
        }
        let mut names = vec![first];
        while self.accept(",") {
            names.push(self.name()?);
        }
        Ok(Select::Fields(names))
    }

    fn order(&mut self) -> Answer<Order> {
        let name = self.name()?;
        let descending = !self.accept("ASC") && self.accept("DESC");
        let mut nulls_first = true;
        if self.accept("NULLS") {
            nulls_first = !self.accept("LAST");
            if nulls_first {
                self.keyword("FIRST")?;
            }
        }
        Ok(Order {
            name,
            descending,
            nulls_first,
        })
    }

    fn condition(&mut self) -> Answer<Condition> {
        let first = self.factor()?;
        let and = self.at_word("AND");
        let joint = if and { "AND" } else { "OR" };
        let mut parts = vec![first];
        while self.accept(joint) {
            parts.push(self.factor()?);
        }
        // The service refuses AND and OR on one level without parentheses.
        if parts.len() > 1 && self.at_word(if and { "OR" } else { "AND" }) {
            return Err(self.unexpected());
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ if and => Condition::And(parts),
            _ => Condition::Or(parts),
        })
    }

    fn factor(&mut self) -> Answer<Condition> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Refusal::new(
                400,
                "QUERY_TOO_COMPLICATED",
                "Query is either selecting too many fields or the filter conditions are too complicated.",
            ));
        }
        let parsed = if self.accept("NOT") {
            Condition::Not(Box::new(self.factor()?))
        } else if self.accept("(") {
            let inner = self.condition()?;
            self.keyword(")")?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn comparison(&mut self) -> Answer<Condition> {
        let name = self.name()?;
        let operator = if self.accept("=") {
            Operator::Equal
        } else if self.accept("!=") || self.accept("<>") {
            Operator::NotEqual
        } else if self.accept("<=") {
            Operator::LessOrEqual
        } else if self.accept(">=") {
            Operator::GreaterOrEqual
        } else if self.accept("<") {
            Operator::Less
        } else if self.accept(">") {
            Operator::Greater
        } else if self.accept("LIKE") {
            Operator::Like
        } else if self.accept("IN") {
            Operator::In
        } else if self.accept("NOT") {
            self.keyword("IN")?;
            Operator::NotIn
        } else {
            return Err(self.unexpected());
        };
        let mut literals = Vec::new();
        if matches!(operator, Operator::In | Operator::NotIn) {
            self.keyword("(")?;
            literals.push(self.literal()?);
            while self.accept(",") {
                literals.push(self.literal()?);
            }
            self.keyword(")")?;
        } else {
            literals.push(self.literal()?);
        }
        Ok(Condition::Compare {
            name,
            operator,
            literals,
        })
    }

    fn literal(&mut self) -> Answer<Literal> {
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected());
        };
        let literal = match token.kind {
            Kind::Text(text) => Literal::Text(text),
            Kind::Number => Literal::Number(token.text),
            Kind::Date => Literal::Date(token.text),
            Kind::DateTime(seconds) => Literal::DateTime(seconds),
            Kind::Word if token.text.eq_ignore_ascii_case("null") => Literal::Null,
            Kind::Word if token.text.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Kind::Word if token.text.eq_ignore_ascii_case("false") => Literal::Bool(false),
            Kind::Word | Kind::Symbol => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(literal)
    }

    fn count(&mut self) -> Answer<u64> {
        let number = self
            .peek()
            .filter(|token| token.kind == Kind::Number)
            .and_then(|token| token.text.parse().ok());
        match number {
            Some(number) => {
                self.next += 1;
                Ok(number)
            }
            None => Err(self.unexpected()),
        }
    }

    fn name(&mut self) -> Answer<Name> {
        match self.peek() {
            Some(token) if token.kind == Kind::Word && !is_reserved(&token.text) => {
                let name = Name {
                    text: token.text.clone(),
                    at: token.at,
                };
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn at_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| {
            matches!(token.kind, Kind::Word | Kind::Symbol) && token.text.eq_ignore_ascii_case(word)
        })
    }

    fn accept(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.next += 1;
        }
        found
    }

    fn keyword(&mut self, word: &str) -> Answer<()> {
        if self.accept(word) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> Refusal {
        match self.peek() {
            Some(token) => Refusal::malformed(at_position(
                self.text,
                token.at,
                &format!("unexpected token: '{}'", token.text),
            )),
            None => Refusal::malformed("unexpected token: '<EOF>'"),
        }
    }
}

fn is_reserved(word: &str) -> bool {
    const RESERVED: [&str; 13] = [
        "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "LIMIT", "OFFSET", "NULL",
        "TRUE", "FALSE",
    ];
    RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_grammar_parses() {
        let query = parse(
            "select Id, Owner.Name from Account where (IsDeleted = true OR Name LIKE 'A\\'%') and \
             SystemModstamp >= 2024-01-01T00:00:00.999Z AND Amount != null AND Id NOT IN ('a','b') \
             order by SystemModstamp desc nulls last, Id limit 10 offset 5",
        )
        .unwrap();
        assert_eq!(query.object.text, "Account");
        assert_eq!((query.limit, query.offset), (Some(10), Some(5)));
        assert_eq!(query.order.len(), 2);
        assert!(query.order[0].descending && !query.order[0].nulls_first);
        assert!(!query.order[1].descending && query.order[1].nulls_first);
        let Some(Condition::And(parts)) = query.filter else {
            panic!("not a conjunction");
        };
        assert_eq!(parts.len(), 4);
        assert!(matches!(&parts[0], Condition::Or(either) if either.len() == 2));
        assert!(matches!(&parts[1], Condition::Compare { literals, .. }
            if literals[0] == Literal::DateTime(1_704_067_200)));
    }

    #[test]
    fn count_and_fields_are_told_from_names() {
        assert_eq!(
            parse("SELECT COUNT() FROM X").unwrap().select,
            Select::Count
        );
        assert_eq!(
            parse("SELECT FIELDS(ALL) FROM X LIMIT 200").unwrap().select,
            Select::All
        );
        assert!(parse("SELECT COUNT(Id) FROM X").is_err());
    }

    #[test]
    fn instants_have_many_spellings() {
        for text in [
            "2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00.000Z",
            "2024-01-01T01:00:00+01:00",
            "2024-01-01T00:00:00.000+0000",
            "2024-01-01T00:00:00+00:00",
        ] {
            assert_eq!(datetime_seconds(text), Some(1_704_067_200), "{text}");
        }
        for text in ["2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z"] {
            assert_eq!(datetime_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn an_error_names_row_column_and_token() {
        let refusal = parse("SELECT Id FORM Account").unwrap_err();
        assert_eq!(refusal.code, "MALFORMED_QUERY");
        assert_eq!(
            refusal.message,
            "\nSELECT Id FORM Account\n          ^\nERROR at Row:1:Column:11\nunexpected token: 'FORM'"
        );
        let refusal = parse("SELECT Id\nFROM Account WHERE a ~ 1").unwrap_err();
        assert!(
            refusal.message.contains("ERROR at Row:2:Column:22"),
            "{}",
            refusal.message
        );
    }

    #[test]
    fn hostile_text_is_refused_without_harm() {
        let deep = format!("SELECT Id FROM X WHERE {}a = 1", "(".repeat(500));
        for text in [
            "",
            "SELECT",
            "SELECT Id FROM X WHERE a = 'open",
            "SELECT Id FROM X LIMIT -1",
            "SELECT Id FROM X WHERE a = 1 OR b = 2 AND c = 3",
            "SELECT Id FROM X WHERE a = 2024-99-99",
            "SELECT Id FROM X; DROP TABLE X",
            "SELECT (SELECT Id FROM Contacts) FROM Account",
            "SELECT Id FROM X GROUP BY Id",
            "SELECT é'ß FROM \u{0}",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
