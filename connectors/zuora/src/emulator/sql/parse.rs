//! The parser, with the error texts of the engine.

use chrono::{NaiveDate, NaiveDateTime};

use super::token::{Kind, Token, tokens};
use super::tree::{
    Condition, Expression, Item, Literal, Name, Operator, Order, Place, Query, Statement,
};

/// Words that are no names unless they are quoted.
const RESERVED: &str = "alter and as between by case cast constraint create cross cube deallocate delete describe \
    distinct drop else end escape except execute exists extract false for from full group grouping \
    having in inner insert intersect into is join left like natural normalize not null on or order \
    outer prepare recursive right rollup select table then true uescape union unnest using values \
    when where with";

/// Deepest nesting of parentheses and functions.
const MAX_DEPTH: usize = 60;

/// Parses a query; the error is the engine's message.
pub(in super::super) fn parse(text: &str) -> Result<Statement, String> {
    let (tokens, end) = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        next: 0,
        depth: 0,
        end,
        microseconds: false,
    };
    let statement = parser.statement()?;
    match parser.peek() {
        None => Ok(statement),
        Some(_) => Err(parser.mismatched("<EOF>")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    depth: usize,
    end: Place,
    microseconds: bool,
}

impl Parser<'_> {
    fn statement(&mut self) -> Result<Statement, String> {
        if self.accept("SHOW") {
            if self.accept("COLUMNS") {
                self.expect("FROM")?;
                return Ok(Statement::Describe(self.name()?));
            }
            self.expect("TABLES")?;
            return Ok(Statement::ShowTables);
        }
        if self.accept("DESCRIBE") || self.accept("DESC") {
            return Ok(Statement::Describe(self.name()?));
        }
        self.expect("SELECT")?;
        self.query().map(Box::new).map(Statement::Select)
    }

    fn query(&mut self) -> Result<Query, String> {
        let items = self.list(Self::item)?;
        self.expect("FROM")?;
        let table = self.name()?;
        let mut query = Query {
            items,
            table,
            alias: self.alias(&["WHERE", "LIMIT", "OFFSET", "FETCH", "GROUP"])?,
            filter: None,
            order: Vec::new(),
            limit: None,
            microseconds: false,
        };
        if self.accept("WHERE") {
            query.filter = Some(self.condition()?);
        }
        if self.accept("ORDER") {
            self.expect("BY")?;
            query.order = self.list(Self::order)?;
        }
        if self.accept("LIMIT") && !self.accept("ALL") {
            query.limit = Some(self.whole_number()?);
        }
        query.microseconds = self.microseconds;
        Ok(query)
    }

    fn list<T>(&mut self, one: fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut all = vec![one(self)?];
        while self.accept(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn item(&mut self) -> Result<Item, String> {
        if self.accept("*") {
            return Ok(Item::All);
        }
        let expression = self.expression()?;
        let alias = self.alias(&["FROM"])?;
        Ok(Item::One { expression, alias })
    }

    /// `AS name`, or a name alone that is none of the words that may follow.
    fn alias(&mut self, not: &[&str]) -> Result<Option<String>, String> {
        if self.accept("AS") {
            return self.identifier().map(Some);
        }
        let free = self.peek().is_some_and(|token| match token.kind {
            Kind::Quoted(_) => true,
            Kind::Word => {
                !is_reserved(&token.text)
                    && !not.iter().any(|not| token.text.eq_ignore_ascii_case(not))
            }
            _ => false,
        });
        if free {
            self.identifier().map(Some)
        } else {
            Ok(None)
        }
    }

    fn order(&mut self) -> Result<Order, String> {
        let expression = self.expression()?;
        let descending = !self.accept("ASC") && self.accept("DESC");
        // The engine puts nulls last in both directions.
        let mut nulls_first = false;
        if self.accept("NULLS") {
            nulls_first = self.accept("FIRST");
            if !nulls_first {
                self.expect("LAST")?;
            }
        }
        Ok(Order {
            expression,
            descending,
            nulls_first,
        })
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.conjunction()?];
        while self.accept("OR") {
            parts.push(self.conjunction()?);
        }
        Ok(joined(parts, Condition::Or))
    }

    fn conjunction(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.negation()?];
        while self.accept("AND") {
            parts.push(self.negation()?);
        }
        Ok(joined(parts, Condition::And))
    }

    fn negation(&mut self) -> Result<Condition, String> {
        self.deeper()?;
        let parsed = if self.accept("NOT") {
            Condition::Not(Box::new(self.negation()?))
        } else if self.accept("(") {
            let inner = self.condition()?;
            self.expect(")")?;
            inner
        } else {
            self.predicate()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn predicate(&mut self) -> Result<Condition, String> {
        let at = self.here();
        let left = self.expression()?;
        if self.accept("IS") {
            let not = self.accept("NOT");
            self.expect("NULL")?;
            return Ok(negated(Condition::IsNull(left), not));
        }
        let not = self.accept("NOT");
        if self.accept("BETWEEN") {
            let low = self.expression()?;
            self.expect("AND")?;
            let high = self.expression()?;
            let both = Condition::And(vec![
                Condition::Compare(left.clone(), Operator::GreaterOrEqual, low, at),
                Condition::Compare(left, Operator::LessOrEqual, high, at),
            ]);
            return Ok(negated(both, not));
        }
        if self.accept("LIKE") {
            let pattern = self.text_literal()?;
            return Ok(negated(Condition::Like(left, pattern), not));
        }
        if self.accept("IN") {
            self.expect("(")?;
            let list = self.list(Self::expression)?;
            self.expect(")")?;
            return Ok(negated(Condition::In(left, list, at), not));
        }
        if not {
            return Err(self.mismatched("'BETWEEN', 'IN', 'LIKE'"));
        }
        let operators = [
            ("=", Operator::Equal),
            ("<>", Operator::NotEqual),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (symbol, operator) in operators {
            if self.accept(symbol) {
                let right = self.expression()?;
                return Ok(Condition::Compare(left, operator, right, at));
            }
        }
        Ok(Condition::Holds(left, at))
    }

    fn expression(&mut self) -> Result<Expression, String> {
        self.deeper()?;
        let at = self.here();
        let parsed = match self.literal()? {
            Some(literal) => Expression::Literal(literal, at),
            None if self.accept("CAST") => {
                self.expect("(")?;
                let inner = self.expression()?;
                self.expect("AS")?;
                self.expect("VARCHAR")?;
                self.expect(")")?;
                Expression::CastText(Box::new(inner))
            }
            None => {
                let name = self.name()?;
                if self.accept("(") {
                    let call = self.function(&name)?;
                    self.expect(")")?;
                    call
                } else {
                    Expression::Column(name)
                }
            }
        };
        self.depth -= 1;
        Ok(parsed)
    }

    /// A function whose name and parenthesis are read.
    fn function(&mut self, name: &Name) -> Result<Expression, String> {
        match name.text.as_str() {
            "count" if self.accept("*") => Ok(Expression::CountRows),
            "count" => Ok(Expression::Count(Box::new(self.expression()?))),
            "min" => Ok(Expression::Min(Box::new(self.expression()?))),
            "max" => Ok(Expression::Max(Box::new(self.expression()?))),
            "at_timezone" => {
                let inner = Box::new(self.expression()?);
                self.expect(",")?;
                let zone = self.text_literal()?;
                Ok(Expression::AtTimezone(inner, zone, name.at))
            }
            other => Err(format!("{}: Function '{other}' not registered", name.at)),
        }
    }

    fn literal(&mut self) -> Result<Option<Literal>, String> {
        let at = self.here();
        let sign = if self.accept("-") { "-" } else { "" };
        let Some(token) = self.peek() else {
            return Ok(None);
        };
        let text = token.text.clone();
        let value = match &token.kind {
            Kind::Number => {
                let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
                if !format!("{whole}{fraction}")
                    .bytes()
                    .all(|byte| byte.is_ascii_digit())
                {
                    return Err(self.mismatched("<expression>"));
                }
                Literal::Number(format!("{sign}{text}"))
            }
            _ if !sign.is_empty() => return Err(self.mismatched("<number>")),
            Kind::Text(value) => Literal::Text(value.clone()),
            Kind::Word if text.eq_ignore_ascii_case("null") => Literal::Null,
            Kind::Word if text.eq_ignore_ascii_case("true") => Literal::Boolean(true),
            Kind::Word if text.eq_ignore_ascii_case("false") => Literal::Boolean(false),
            Kind::Word => return self.typed_literal(at),
            _ => return Ok(None),
        };
        self.next += 1;
        Ok(Some(value))
    }

    /// `TIMESTAMP '…'` or `DATE '…'`; both words are names too.
    fn typed_literal(&mut self, at: Place) -> Result<Option<Literal>, String> {
        let pair = self
            .tokens
            .get(self.next)
            .zip(self.tokens.get(self.next + 1));
        let Some((
            word,
            Token {
                kind: Kind::Text(value),
                ..
            },
        )) = pair
        else {
            return Ok(None);
        };
        let literal = match word.text.to_ascii_lowercase().as_str() {
            "date" => NaiveDate::parse_from_str(value, "%Y-%m-%d")
                .ok()
                .map(|date| Literal::Date(date.to_string()))
                .ok_or_else(|| format!("{at}: '{value}' is not a valid date literal"))?,
            "timestamp" => {
                let (literal, digits) = timestamp(value)
                    .ok_or_else(|| format!("{at}: '{value}' is not a valid timestamp literal"))?;
                self.microseconds |= digits > 3;
                literal
            }
            _ => return Ok(None),
        };
        self.next += 2;
        Ok(Some(literal))
    }

    fn text_literal(&mut self) -> Result<String, String> {
        let Some(Kind::Text(value)) = self.peek().map(|token| &token.kind) else {
            return Err(self.mismatched("<string>"));
        };
        let value = value.clone();
        self.next += 1;
        Ok(value)
    }

    fn whole_number(&mut self) -> Result<usize, String> {
        let number = self.peek().and_then(|token| token.text.parse().ok());
        let number = number.ok_or_else(|| self.mismatched("'ALL', <integer>"))?;
        self.next += 1;
        Ok(number)
    }

    /// A name, in lower case: the engine does not tell cases apart, quoted or not.
    fn identifier(&mut self) -> Result<String, String> {
        let name = match self.peek() {
            Some(token) if token.kind == Kind::Word && !is_reserved(&token.text) => &token.text,
            Some(Token {
                kind: Kind::Quoted(name),
                ..
            }) => name,
            _ => return Err(self.mismatched("<identifier>")),
        };
        let name = name.to_lowercase();
        self.next += 1;
        Ok(name)
    }

    fn name(&mut self) -> Result<Name, String> {
        let at = self.here();
        let mut prefix = Vec::new();
        let mut text = self.identifier()?;
        while self.accept(".") {
            prefix.push(std::mem::replace(&mut text, self.identifier()?));
        }
        Ok(Name { prefix, text, at })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn here(&self) -> Place {
        self.peek().map_or(self.end, |token| token.at)
    }

    /// Takes a word or symbol if it is next.
    fn accept(&mut self, word: &str) -> bool {
        let next = self.peek().is_some_and(|token| {
            matches!(token.kind, Kind::Word | Kind::Symbol) && token.text.eq_ignore_ascii_case(word)
        });
        self.next += usize::from(next);
        next
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.accept(word) {
            Ok(())
        } else {
            Err(self.mismatched(&format!("'{word}'")))
        }
    }

    fn mismatched(&self, expecting: &str) -> String {
        let found = self.peek().map_or("<EOF>", |token| &token.text);
        let at = self.here();
        format!("{at}: mismatched input '{found}'. Expecting: {expecting}")
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!(
                "{}: statement is too large (stack overflow while parsing)",
                self.here()
            ));
        }
        Ok(())
    }
}

fn is_reserved(word: &str) -> bool {
    RESERVED
        .split(' ')
        .any(|reserved| reserved.eq_ignore_ascii_case(word))
}

fn joined(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            join(parts)
        }
    }
}

fn negated(condition: Condition, not: bool) -> Condition {
    if not {
        Condition::Not(Box::new(condition))
    } else {
        condition
    }
}

/// `2023-01-02 00:00:00.000 +00:00`, time and zone optional; and how many digits of the second's fraction it has.
fn timestamp(text: &str) -> Option<(Literal, usize)> {
    let mut parts = text.split(' ');
    let date = parts.next()?;
    let time = parts.next().unwrap_or("00:00:00");
    let zone = parts.next().map(str::to_owned);
    if parts.next().is_some() {
        return None;
    }
    let digits = time
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let local = format!("{date} {time}");
    let local = NaiveDateTime::parse_from_str(&local, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some((Literal::Timestamp(local, zone), digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_parses() {
        for text in [
            "SHOW TABLES",
            "show columns from account",
            "DESCRIBE owl.data.account",
            "SELECT count(*) FROM account",
            "select count(*) as n, min(id), max(at_timezone(updateddate, 'UTC')) from account",
            "SELECT id, \"name\", at_timezone(updateddate,'UTC') AS updateddate, CAST(balance AS varchar) balance, * \
             FROM account a WHERE a.updateddate >= TIMESTAMP '2023-01-02 00:00:00.000 +00:00' AND NOT (deleted OR \
             name LIKE 'a%' OR x IS NOT NULL) AND balance BETWEEN -1.5 AND 2 ORDER BY id DESC, 2 LIMIT 7",
            "SELECT id FROM account WHERE status IN ('a', 'it''s') AND day > DATE '2023-01-02' AND on_hold = true",
            "SELECT date, timestamp FROM account",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, expected) in [
            (
                "SELECT FROM account",
                "line 1:8: mismatched input 'FROM'. Expecting: <identifier>",
            ),
            (
                "SELECT id\nFROM",
                "line 2:5: mismatched input '<EOF>'. Expecting: <identifier>",
            ),
            (
                "SELEKT 1",
                "line 1:1: mismatched input 'SELEKT'. Expecting: 'SELECT'",
            ),
            (
                "SELECT id FROM order",
                "line 1:16: mismatched input 'order'. Expecting: <identifier>",
            ),
            (
                "SELECT id FROM a LIMIT x",
                "line 1:24: mismatched input 'x'. Expecting: 'ALL', <integer>",
            ),
            (
                "SELECT id FROM a;",
                "line 1:17: mismatched input ';'. Expecting: <EOF>",
            ),
            (
                "SELECT id FROM a WHERE t > TIMESTAMP '2023-01-02T00:00:00Z'",
                "line 1:28: '2023-01-02T00:00:00Z' is not a valid timestamp literal",
            ),
            (
                "SELECT now(id) FROM a",
                "line 1:8: Function 'now' not registered",
            ),
            (
                "SELECT 'a FROM b",
                "line 1:8: mismatched input '''. Expecting: <expression>",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn digits_behind_the_second_are_counted() {
        for (literal, expected) in [
            ("2023-01-02", false),
            ("2023-01-02 00:00:00", false),
            ("2023-01-02 00:00:00.000 UTC", false),
            ("2023-01-02 00:00:00.000000 +00:00", true),
        ] {
            let text = format!("SELECT id FROM a WHERE t > TIMESTAMP '{literal}'");
            let Ok(Statement::Select(query)) = parse(&text) else {
                panic!("{text}");
            };
            assert_eq!(query.microseconds, expected, "{literal}");
        }
    }

    #[test]
    fn a_nest_of_parentheses_is_refused_not_followed() {
        let text = format!("SELECT id FROM a WHERE {}x", "(".repeat(100_000));
        assert!(parse(&text).unwrap_err().contains("too large"));
        let wide = format!("SELECT id FROM a WHERE x = 1{}", " OR x = 1".repeat(10_000));
        assert!(parse(&wide).is_ok());
    }
}
